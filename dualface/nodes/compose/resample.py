"""One plane's crop, at any sub-pixel place and zoom, into a tile.

Resizers start and end on whole pixels. A crop rarely does; but somewhat outside it there are mostly
whole pixels that fall on whole pixels of the enlarged picture too. So a little more is resized and
cut off again, and slow moves glide instead of stepping (`align`). Where there are none, as for a zoom
of exactly 1, the picture is first shifted by its fraction of a pixel with a four-tap cubic. Measured
in docs/decisions/compose-cpu.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

Plane = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
REACH = 2  # pixels that the shift filter reads beyond the crop
FURTHER = 16  # pixels beyond the crop in which a whole one is looked for
NEAR = 0.1  # pixels of the tile; what is nearer to a whole one is taken for one


class Span(NamedTuple):
    """Along one axis: ``first`` to ``last`` of the source becomes ``size`` pixels, of which the tile
    starts at ``before``."""

    first: int
    last: int
    size: int
    before: int


def align(begin: float, end: float, size: int) -> Span | None:
    """Whole pixels around ``begin..end`` that fall on whole pixels when that becomes ``size`` ones.

    Both ends of the tile are then within `NEAR` of where they belong. ``None`` where there are none.

    >>> align(100.0, 580.0, 960)
    Span(first=100, last=580, size=960, before=0)
    >>> align(100.7, 580.7, 720)  # 0.7 pixels to the left are 1.05 in the tile, 1.3 to the right 1.95
    Span(first=100, last=582, size=723, before=1)
    >>> align(100.4, 820.4, 720)  # not enlarged, no pixel ever falls on another
    """
    zoom = size / (end - begin)
    first = _whole(begin, -1, zoom)
    last = _whole(end, 1, zoom)
    if first is None or last is None:
        return None
    before = round((begin - first) * zoom)
    return Span(first, last, before + size + round((last - end) * zoom), before)


def _whole(edge: float, way: int, zoom: float) -> int | None:
    """The pixel nearest to ``edge``, outwards, that is a whole one in the tile too."""
    start = math.floor(edge + 0.5 * NEAR / zoom) if way < 0 else math.ceil(edge - 0.5 * NEAR / zoom)
    for pixel in range(start, start + way * (FURTHER + 1), way):
        there = (edge - pixel) * zoom
        if abs(there - round(there)) <= NEAR:
            return pixel
    return None


def cubic(shift: float) -> Floats:
    """Catmull-Rom taps for samples -1, 0, 1, 2 at ``shift`` in 0..1.

    >>> cubic(0.0).tolist()
    [0.0, 1.0, 0.0, 0.0]
    """
    t = shift
    taps = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    return np.array([tap / 2 for tap in taps], np.float32)


class Resampler:
    """Fills ``out`` from ``plane`` at ``x0, y0, x1, y1``; keeps swscale's tables between calls.

    Planes are ``[h, w]`` luma or ``[h, w, 2]`` chroma. Enlarging is bicubic for luma and bilinear for
    chroma, which eyes do not tell apart there; reducing averages areas, so that nothing aliases.
    """

    def __init__(self) -> None:
        self._swscale = VideoReformatter()

    def __call__(self, plane: Plane, crop: tuple[float, float, float, float], out: Plane) -> None:
        x0, y0, x1, y1 = crop
        height, width = out.shape[:2]
        across, down = align(x0, x1, width), align(y0, y1, height)
        if across is None or down is None:
            self._shifted(plane, crop, out)
            return
        source = cut(plane, across.first, down.first, across.last, down.last)
        zoomed = self._zoomed(source, across.size, down.size)
        out[:] = zoomed[down.before : down.before + height, across.before : across.before + width]

    def _zoomed(self, source: Plane, width: int, height: int) -> Plane:
        if (height, width) == source.shape[:2]:
            return source
        if width < source.shape[1] or height < source.shape[0]:
            return cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
        if source.ndim == 3:
            return cv2.resize(source, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]
        view = av.VideoFrame.from_numpy_buffer(source, format="gray")
        done = self._swscale.reformat(
            view, width, height, "gray", interpolation=Interpolation.BICUBIC, threads=1
        )
        rows = np.frombuffer(memoryview(done.planes[0]), np.uint8)
        return rows.reshape(-1, done.planes[0].line_size)[:height, :width]

    def _shifted(self, plane: Plane, crop: tuple[float, float, float, float], out: Plane) -> None:
        x0, y0, x1, y1 = crop
        height, width = out.shape[:2]
        left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
        source = cut(plane, left - REACH, top - REACH, right + REACH, bottom + REACH)
        shifted = cv2.sepFilter2D(source, -1, cubic(x0 - left), cubic(y0 - top), anchor=(1, 1))
        scale = (width / (x1 - x0), height / (y1 - y0))
        # The area filter knows whole grids only; a crop in motion that is reduced is blurred instead.
        if min(scale) < 0.75:
            sigma = 0.35 * np.sqrt(np.maximum(1 / np.array(scale) ** 2 - 1, 1e-6))
            shifted = cv2.GaussianBlur(shifted, (0, 0), sigma[0], sigmaY=sigma[1])
        ways = cv2.INTER_CUBIC if plane.ndim == 2 and min(scale) >= 1 else cv2.INTER_LINEAR
        zoomed = cv2.resize(shifted[REACH:, REACH:], None, fx=scale[0], fy=scale[1], interpolation=ways)
        out[:] = zoomed[:height, :width]


def cut(plane: Plane, left: int, top: int, right: int, bottom: int) -> Plane:
    """The region of a plane; what lies beyond its edges repeats them."""
    height, width = plane.shape[:2]
    inside = plane[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    border = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if not any(border):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE), np.uint8)
