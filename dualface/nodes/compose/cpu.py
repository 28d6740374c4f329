"""compose/cpu: crops of the source into the tiles of the output, NV12 all the way."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from dualface.graph.node import Context, Node
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Frames, Shots, Video
from dualface.nodes.buffers import FramePool
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.resample import Plane, Resampler
from dualface.nodes.compose.stored import Box, stored


@node("compose/cpu", rank=50)
class ComposeCpu(Node[ComposeConfig]):
    """Crops, scales and places with swscale and OpenCV on one thread."""

    def open(self, context: Context) -> None:
        layout = self.config.layout
        self._pool = FramePool(layout.height, layout.width, context.batch)
        self._resamplers = [(Resampler(), Resampler()) for _ in layout.tiles]

    def process(self, frames: Frames[NV12, Cpu], shots: Shots) -> Frames[NV12, Cpu]:
        layout, video = self.config.layout, frames.video
        out = self._pool.take(len(frames))
        covered = sum(tile.width * tile.height for tile in layout.tiles) == layout.width * layout.height
        for picture, source, crops, blanks in zip(out, frames.data, shots.crops, shots.blank, strict=True):
            canvas, chroma = planes(picture)
            if not covered:
                black(canvas, chroma, video)
            for index, tile in enumerate(layout.tiles):
                x, y, w, h = tile.x, tile.y, tile.width, tile.height
                luma_out = canvas[y : y + h, x : x + w]
                chroma_out = chroma[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2]
                if blanks[index]:
                    black(luma_out, chroma_out, video)
                else:
                    self._tile(source, video, stored(crops[index], video), index, luma_out, chroma_out)
        made = replace(video, width=layout.width, height=layout.height, rotation=0, pixel_aspect=Fraction(1))
        return Frames(out, frames.pts, made, frames.first)

    def _tile(
        self, source: Plane, video: Video, crop: Box, index: int, luma_out: Plane, chroma_out: Plane
    ) -> None:
        luma, chroma = planes(source)
        luma, chroma = luma[: video.height, : video.width], chroma[: (video.height + 1) // 2]
        chroma = chroma[:, : (video.width + 1) // 2]
        pairs = ((luma, luma_out, crop), (chroma, chroma_out, siting(crop, luma_out.shape, video.rotation)))
        for resample, (plane, target, box) in zip(self._resamplers[index], pairs, strict=True):
            if video.rotation == 0:
                resample(plane, box, target)
                continue
            turns = video.rotation // 90
            shape = target.shape[1::-1] if turns % 2 else target.shape[:2]
            upright = np.empty((*shape, *target.shape[2:]), np.uint8)
            resample(plane, box, upright)
            target[:] = np.rot90(upright, -turns)


def planes(picture: Plane) -> tuple[Plane, Plane]:
    """Luma ``[h, w]`` and chroma ``[h/2, w/2, 2]`` of one NV12 picture."""
    rows, width = picture.shape
    height = rows * 2 // 3
    return picture[:height], picture[height:].reshape(height // 2, width // 2, 2)


def black(luma: Plane, chroma: Plane, video: Video) -> None:
    luma[:] = 0 if video.color.range == "pc" else 16
    chroma[:] = 128


def siting(crop: Box, size: tuple[int, ...], rotation: int) -> Box:
    """The crop on the chroma plane, so that left-sited samples fall on left-sited samples.

    Such a sample sits a quarter of a chroma pixel left of its pixel's middle, before and after; a zoom
    about the crop's corner alone would move colours by ``(1 - crop/tile)/4`` of a chroma pixel. Below
    an eighth of one nobody sees it, and the crop stays on whole pixels for the quick way.
    """
    x0, y0, x1, y1 = (v / 2 for v in crop)
    if rotation:
        return x0, y0, x1, y1
    zoom = (crop[2] - crop[0]) / size[1]
    shift = 0.25 * (1 - zoom)
    return (x0, y0, x1, y1) if abs(shift) <= 0.125 else (x0 + shift, y0, x1 + shift, y1)
