"""One plane's crop, at any sub-pixel place and zoom, into a tile.

Two ways, measured in docs/decisions/compose-cpu.md: a crop on whole pixels goes to swscale
(luma) or straight to ``cv2.resize``; a crop in motion is first shifted by its fraction of a pixel
with a four-tap cubic, then zoomed by its exact scale, so that slow moves glide instead of stepping.
"""

from __future__ import annotations

import math

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

Plane = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
REACH = 2  # pixels that the shift filter reads beyond the crop
WHOLE = 1e-4  # pixels; single-precision coordinates nearer to a whole number are one


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
        x0, y0, x1, y1 = (round(v) if abs(v - round(v)) < WHOLE else v for v in crop)
        height, width = out.shape[:2]
        left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
        if all(isinstance(v, int) for v in (x0, y0, x1, y1)):
            self._whole(_cut(plane, left, top, right, bottom), out)
            return
        source = _cut(plane, left - REACH, top - REACH, right + REACH, bottom + REACH)
        shifted = cv2.sepFilter2D(source, -1, cubic(x0 - left), cubic(y0 - top), anchor=(1, 1))
        scale = (width / (x1 - x0), height / (y1 - y0))
        # The area filter knows whole grids only; a crop in motion that is reduced is blurred instead.
        if min(scale) < 0.75:
            sigma = 0.35 * np.sqrt(np.maximum(1 / np.array(scale) ** 2 - 1, 1e-6))
            shifted = cv2.GaussianBlur(shifted, (0, 0), sigma[0], sigmaY=sigma[1])
        ways = cv2.INTER_CUBIC if plane.ndim == 2 and min(scale) >= 1 else cv2.INTER_LINEAR
        zoomed = cv2.resize(shifted[REACH:, REACH:], None, fx=scale[0], fy=scale[1], interpolation=ways)
        out[:] = zoomed[:height, :width]

    def _whole(self, source: Plane, out: Plane) -> None:
        height, width = out.shape[:2]
        if width < source.shape[1] or height < source.shape[0]:
            cv2.resize(source, (width, height), dst=out, interpolation=cv2.INTER_AREA)
        elif source.ndim == 3:
            cv2.resize(source, (width, height), dst=out, interpolation=cv2.INTER_LINEAR)
        else:
            view = av.VideoFrame.from_numpy_buffer(source, format="gray")
            done = self._swscale.reformat(
                view, width, height, "gray", interpolation=Interpolation.BICUBIC, threads=1
            )
            stride = done.planes[0].line_size
            out[:] = np.frombuffer(memoryview(done.planes[0]), np.uint8).reshape(-1, stride)[:height, :width]


def _cut(plane: Plane, left: int, top: int, right: int, bottom: int) -> Plane:
    """The region of a plane; what lies beyond its edges repeats them."""
    height, width = plane.shape[:2]
    inside = plane[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    border = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if not any(border):
        return inside
    return np.asarray(cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE), np.uint8)
