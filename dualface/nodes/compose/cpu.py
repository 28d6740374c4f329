"""compose/cpu: crops of the source into the tiles of the output, NV12 all the way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from dualface.graph.node import Context, Node, NodeConfig
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Frames, Layout, Shots, Video
from dualface.nodes.buffers import FramePool
from dualface.nodes.compose.resample import Plane, Resampler
from dualface.nodes.layout import SIDE_BY_SIDE

Box = tuple[float, float, float, float]


@dataclass
class ComposeConfig(NodeConfig):
    """Where the tiles are in the output."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # the output's size and tiles

    def __post_init__(self) -> None:
        for tile in self.layout.tiles:
            if any(v % 2 or v < 0 for v in (tile.x, tile.y, tile.width, tile.height)):
                raise ValueError(f"tile '{tile.name}' has an odd or negative number; 4:2:0 needs even ones")
            if tile.x + tile.width > self.layout.width or tile.y + tile.height > self.layout.height:
                size = f"{self.layout.width}x{self.layout.height}"
                raise ValueError(f"tile '{tile.name}' leaves the output of {size}")
        if self.layout.width % 2 or self.layout.height % 2:
            raise ValueError("the layout's width and height have to be even, as 4:2:0 needs")


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


def stored(crop: np.ndarray[tuple[int, ...], np.dtype[np.float32]], video: Video) -> Box:
    """A crop in display orientation as one of the picture as stored."""
    x0, y0, x1, y1 = (float(v) for v in crop)
    width, height = float(video.width), float(video.height)
    if video.rotation == 90:
        return y0, height - x1, y1, height - x0
    if video.rotation == 180:
        return width - x1, height - y1, width - x0, height - y0
    if video.rotation == 270:
        return width - y1, x0, width - y0, x1
    return x0, y0, x1, y1


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
