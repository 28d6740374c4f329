"""Any decoded picture to NV12, straight into a batch; NV12 turned."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from dualface.graph.types import Color, Video
from dualface.nodes.decode.color import is_full, is_rgb

Pixels = npt.NDArray[np.uint8]

SWS_MATRIX = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
    "bt2020c": Colorspace.BT2020,
}


class ToNv12:
    """Writes pictures of any format and size as NV12 of ``video``'s size and colour."""

    def __init__(self, video: Video, threads: int) -> None:
        self.width, self.height, self.color = video.width, video.height, video.color
        self.even_width, self.even_height = video.width + video.width % 2, video.height + video.height % 2
        self.threads = threads
        self._scaler = VideoReformatter()

    def write(self, frame: Any, target: Pixels) -> None:
        """Fill ``target`` ``[H*3/2, W]``; a last odd row or column is written twice."""
        same = frame.width == self.width and frame.height == self.height
        name = frame.format.name
        if not (same and name in ("yuv420p", "yuvj420p", "nv12") and frame.planes[0].line_size > 0):
            frame = self._scale(frame)
            name = "nv12"
        w, h = self.width, self.height
        cw, ch = self.even_width // 2, self.even_height // 2
        target[:h, :w] = _rows(frame.planes[0], h, w)
        chroma = target[self.even_height :]
        if name == "nv12":
            chroma[:] = _rows(frame.planes[1], ch, 2 * cw)
        else:
            u, v = _rows(frame.planes[1], ch, cw), _rows(frame.planes[2], ch, cw)
            cv2.merge((u, v), dst=chroma.reshape(ch, cw, 2))
        if w % 2:
            target[:h, w] = target[:h, w - 1]
        if h % 2:
            target[h] = target[h - 1]

    def _scale(self, frame: Any) -> Any:
        source_range, target_range = _ranges(frame, self.color)
        matrix = SWS_MATRIX.get(self.color.matrix or "")
        return self._scaler.reformat(
            frame,
            self.width,
            self.height,
            "nv12",
            src_colorspace=None if is_rgb(frame.format.name) else matrix,
            dst_colorspace=matrix,
            interpolation=int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND),
            src_color_range=source_range,
            dst_color_range=target_range,
            threads=self.threads,
        )


def _ranges(frame: Any, color: Color) -> tuple[ColorRange, ColorRange]:
    """Range of the picture and of the NV12 made from it; named, or swscale would squeeze one."""
    name = frame.format.name
    full = is_rgb(name) or is_full(name) or int(frame.color_range) == ColorRange.JPEG
    return (
        ColorRange.JPEG if full else ColorRange.MPEG,
        ColorRange.JPEG if color.range == "pc" else ColorRange.MPEG,
    )


def _rows(plane: Any, rows: int, columns: int) -> Pixels:
    """The visible part of a plane, as a view."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:rows, :columns]


TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def upright(picture: Pixels, rotation: int) -> Pixels:
    """An NV12 picture turned clockwise by ``rotation`` degrees (0, 90, 180 or 270)."""
    if rotation == 0:
        return picture
    rows, width = picture.shape
    height = rows * 2 // 3
    luma = cv2.rotate(picture[:height], TURNS[rotation])
    chroma = cv2.rotate(picture[height:].reshape(height // 2, width // 2, 2), TURNS[rotation])
    return np.concatenate([luma, chroma.reshape(-1, luma.shape[1])])
