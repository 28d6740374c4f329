"""The small picture a detector looks at, made straight from NV12."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.types import Color, Floats, Video

Plane = npt.NDArray[np.uint8]
Size = tuple[int, int]

# Kr and Kb of the matrices that occur (ITU-T H.273); green takes the rest.
_LUMA = {"bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593), "bt2020c": (0.2627, 0.0593),
         "smpte240m": (0.212, 0.087), "fcc": (0.30, 0.11)}  # fmt: skip
_BT601 = (0.299, 0.114)
_TURN = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class SmallPlan:
    """How a picture is made small: which part of the stored planes, to what size, and back.

    ``crop`` is the part of the planes that is read (the visible picture less the few samples
    that do not divide); ``stored`` its small size before, ``size`` after rotation; ``padded``
    that of the network's input, whose top left it fills. ``scale`` and ``offset`` turn small
    into source pixels.
    """

    halvings: int
    crop: tuple[int, int]
    stored: tuple[int, int]
    size: tuple[int, int]
    padded: tuple[int, int]
    scale: tuple[float, float]
    offset: tuple[float, float]
    rotation: int


STEP = 32  # the coarsest stride of the network
MAX_ENLARGE = 2.0


def plan_small(video: Video, size: int | Size, *, whole: bool = False) -> SmallPlan:
    """The small picture of ``video`` that, upright and with square pixels, fits into ``size``
    (width, height; a number is a square); enlarged by at most `MAX_ENLARGE`.

    It is padded to whole ``STEP`` s, or where ``whole`` is set to all of ``size``.
    """
    width, height = video.width, video.height
    aspect = float(video.pixel_aspect)
    box = (size, size) if isinstance(size, int) else size
    turned = video.rotation in (90, 270)
    sides = box[::-1] if turned else box
    shrink = min(sides[0] / (width * aspect), sides[1] / height, MAX_ENLARGE)
    across, down = shrink * aspect, shrink
    halvings = 0
    while max(across, down) * 2 ** (halvings + 1) <= 1.0 + 1e-9 and min(width, height) >> (halvings + 1) >= 2:
        halvings += 1
    # Chroma has half the samples, so that the part that is read must be even in any case, but
    # for pictures of one sample.
    block = 2 ** max(halvings, 1)
    crop = (width // block * block or width, height // block * block or height)
    stored = (max(1, round(crop[0] * across)), max(1, round(crop[1] * down)))
    small = stored[::-1] if turned else stored
    ratio = (crop[0] / stored[0], crop[1] / stored[1])
    left_out = (float(width - crop[0]), float(height - crop[1]))
    # What is left out lies right and below in the stored picture, wherever that turns to.
    offset = {
        0: (0.0, 0.0),
        90: (left_out[1], 0.0),
        180: left_out,
        270: (0.0, left_out[0]),
    }[video.rotation]
    return SmallPlan(
        halvings,
        crop,
        stored,
        small,
        box if whole else (-(-small[0] // STEP) * STEP, -(-small[1] // STEP) * STEP),
        ratio[::-1] if turned else ratio,
        offset,
        video.rotation,
    )


def small_luma(plane: Plane, plan: SmallPlan) -> Plane:
    """The small luma plane ``[h, w]``, upright, of a full one.

    Exact halves are what OpenCV averages with vector instructions (0.07 ms for 1080p where one
    INTER_AREA to an odd ratio takes 3.5); what remains is a factor above one half, where
    bilinear samples do not alias yet.
    """
    small = plane[: plan.crop[1], : plan.crop[0]]
    for _ in range(plan.halvings):
        half = (small.shape[1] // 2, small.shape[0] // 2)
        small = cv2.resize(small, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if (small.shape[1], small.shape[0]) != plan.stored:
        small = cv2.resize(small, plan.stored, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    return _turn(small, plan)


def small_chroma(plane: Plane, plan: SmallPlan) -> tuple[Plane, Plane]:
    """U and V ``[h, w]`` each, upright, from the interleaved plane ``[H/2, W]``.

    Pairs are picked, not averaged: that costs a tenth, and a face detector cannot tell.
    """
    pairs: Any = plane[: max(1, plan.crop[1] // 2), : max(2, plan.crop[0])].view(np.uint16)
    picked = cv2.resize(pairs, plan.stored, interpolation=cv2.INTER_NEAREST)
    u, v = cv2.split(picked.view(np.uint8).reshape(*picked.shape, 2))
    return _turn(u, plan), _turn(v, plan)


def _turn(plane: Plane, plan: SmallPlan) -> Plane:
    return cv2.rotate(plane, _TURN[plan.rotation]) if plan.rotation else plane  # type: ignore[return-value]


def bgr_rows(color: Color, height: int) -> npt.NDArray[np.float64]:
    """``[3, 4]``: weights of Y, U, V and 1 for B, G and R in 0..255.

    Where the source does not name its matrix, BT.709 is meant from 720 lines up and BT.601
    below, as players do.
    """
    kr, kb = _LUMA.get(
        color.matrix or "", (0.2126, 0.0722) if color.matrix is None and height >= 720 else _BT601
    )
    kg = 1 - kr - kb
    full = color.range == "pc"
    y_gain, c_gain, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    rows = np.array(
        [
            [y_gain, 2 * (1 - kb) * c_gain, 0.0],
            [y_gain, -2 * kb * (1 - kb) / kg * c_gain, -2 * kr * (1 - kr) / kg * c_gain],
            [y_gain, 0.0, 2 * (1 - kr) * c_gain],
        ]
    )
    return np.column_stack([rows, rows @ [-black, -128.0, -128.0]])


def write_channels(
    y: Plane, u: Plane, v: Plane, rows: npt.NDArray[np.float64], out: Floats, white: float = 255.0
) -> None:
    """Fill the top left of ``out`` ``[3, H, W]`` float32 with the channels that ``rows`` make,
    from 0 to ``white``."""
    height, width = y.shape
    for plane, (of_y, of_u, of_v, one) in zip(out, rows, strict=True):
        area = plane[:height, :width]
        first, of_first = (u, of_u) if of_u else (v, of_v)
        mixed = cv2.addWeighted(y, of_y, first, of_first, one, dtype=cv2.CV_32F)
        if of_u and of_v:
            mixed = cv2.addWeighted(mixed, 1.0, v, of_v, 0.0, dtype=cv2.CV_32F)
        np.clip(mixed, 0.0, white, out=area)
