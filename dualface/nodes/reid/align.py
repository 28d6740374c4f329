"""Faces cut out upright, straight from NV12: as recognition sees them, or for a closer look.

Positions are continuous: sample ``i`` covers ``i`` to ``i + 1``.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.types import Floats, Video

Matrix = npt.NDArray[np.float64]

CHIP = 150  # pixels a side, of the picture that dlib's network was trained with
# Eye, eye, nose, corners of the mouth in such a chip, from the picture's left.
POINTS = np.array(
    [(44.57, 45.54), (101.27, 45.36), (74.32, 76.25), (47.88, 101.53), (96.44, 101.98)], np.float64
)


def template(size: int, share: float = 1.0) -> Matrix:
    """The five points ``[5, 2]`` in an upright picture of ``size`` pixels a side, of which what
    dlib sees takes ``share``, in the middle."""
    return (POINTS / CHIP - 0.5) * share * size + size / 2


def similarity(points: Matrix, places: Matrix) -> Matrix:
    """``[2, 3]``: the turn, scale and shift that bring ``points`` ``[n, 2]`` nearest to ``places``
    (least squares). Never a mirror image.

    >>> similarity(np.array([(0, 0), (1, 0)]), np.array([(5, 5), (5, 7)])).round(6).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    middle, there = points.mean(0), places.mean(0)
    # A turn and scale is one complex factor.
    old, new = ((p - m) @ np.array([1, 1j]) for p, m in ((points, middle), (places, there)))
    factor = np.vdot(old, new) / max(np.vdot(old, old).real, 1e-12)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, there - turn @ middle])


def from_display(video: Video) -> Matrix:
    """``[2, 3]``: from upright positions with square pixels to those in the stored planes, the way
    back from ``rotation`` and pixel aspect."""
    width, height = video.width, video.height
    turned = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, 1, 0], [-1, 0, height]],
        180: [[-1, 0, width], [0, -1, height]],
        270: [[0, -1, width], [1, 0, 0]],
    }[video.rotation]
    return np.asarray(np.array(turned, np.float64) / [*square(video), 1])


def square(video: Video) -> Matrix:
    """How many square pixels a pixel of the upright picture is wide and high, ``[2]``."""
    return np.array([float(video.display_aspect), 1.0])


def after(second: Matrix, first: Matrix) -> Matrix:
    """The affine map that does ``first``, then ``second``; ``[2, 3]`` each."""
    return np.asarray(second @ np.vstack([first, [0, 0, 1]]))


def invert(matrix: Matrix) -> Matrix:
    """The way back of an affine map ``[2, 3]``."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def apply(matrix: Matrix, points: Any) -> Matrix:
    """``points`` ``[..., 2]`` moved by ``matrix`` ``[2, 3]``."""
    return np.asarray(np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2])


def upright(landmarks: Any, video: Video, places: Matrix) -> Matrix:
    """``[2, 3]``: from a picture in which the face's ``landmarks`` ``[5, 2]`` (source pixels, as in
    `Faces`) lie at ``places`` to positions in the stored planes."""
    seen = np.asarray(landmarks, np.float64) * square(video)
    return after(from_display(video), similarity(places, seen))


def to_source(points: Any, video: Video, way: Matrix) -> Matrix:
    """``points`` ``[..., 2]`` of a picture from which ``way`` leads, in source pixels."""
    return apply(after(invert(from_display(video)), way), points) / square(video)


def cut_out(picture: Any, video: Video, way: Matrix, size: int, rows: Matrix) -> Floats:
    """``[3, size, size]`` float32: the part of ``picture`` (``[H*3/2, W]`` uint8, NV12) from which
    ``way`` leads (as `upright` gives it), in the channels that ``rows`` ``[3, 4]`` make of Y, U, V
    and 1, from 0 to 255. Beyond the edge, its last pixels are repeated.
    """
    height = picture.shape[0] * 2 // 3
    luma = picture[:height][: video.height, : video.width]
    pairs = picture[height:].reshape(height // 2, -1, 2)[: (video.height + 1) // 2, : (video.width + 1) // 2]
    # A chroma sample lies at the left of its two columns, between its two rows.
    halved = after(np.array([[0.5, 0, 0.25], [0, 0.5, 0]]), way)
    y, uv = _warp(luma, way, size), _warp(pairs, halved, size)
    seen = rows @ np.vstack([y.reshape(1, -1), uv.reshape(-1, 2).T, np.ones((1, size * size))])
    return np.asarray(np.clip(seen, 0, 255), np.float32).reshape(3, size, size)


def block_of(way: Matrix) -> int:
    """The side of the blocks of samples that are averaged before what ``way`` leads to is made smaller."""
    scale = float(np.sqrt(abs(np.linalg.det(way[:, :2]))))
    return int(2 ** max(0, int(np.log2(max(scale, 1e-6)) + 0.5)))


def _warp(plane: Any, way: Matrix, size: int) -> Floats:
    """``[size, size(, 2)]`` float32, bilinear; what is made smaller is averaged first."""
    corners = apply(way, [(0, 0), (size, 0), (0, size), (size, size)])
    block = block_of(way)
    # Only this part is read: whole blocks, and one more around for what lies between samples.
    limits = np.array([plane.shape[1], plane.shape[0]])
    low = np.clip(np.floor(corners.min(0) / block - 2), 0, np.maximum(limits // block - 1, 0)).astype(int)
    high = np.clip(np.ceil(corners.max(0) / block + 2), low + 1, np.maximum(limits // block, 1)).astype(int)
    (left, top), (right, bottom) = low * block, np.minimum(high * block, limits)
    part = plane[top:bottom, left:right]
    if block > 1:
        part = cv2.resize(part, tuple(int(n) for n in high - low), interpolation=cv2.INTER_AREA)
    inside = after(np.array([[1 / block, 0, -left / block], [0, 1 / block, -top / block]]), way)
    inside[:, 2] += inside[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts from the middle of samples
    return np.asarray(
        cv2.warpAffine(
            part.astype(np.float32), inside, (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )
    )  # fmt: skip
