"""compose/cuda: crops of the source into the tiles of the output on the GPU, one launch a batch."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.node import Context, Needs, Node
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Shots, Video
from dualface.hw.cuda import on
from dualface.kernels import kernel
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.stored import stored
from dualface.nodes.device_buffers import DevicePool

ACROSS, DOWN, THREADS, MOST = 64, 32, 128, 64  # of a block; and crops of a launch, as in cuda.cu
SOURCE = Path(__file__).with_name("cuda.cu")
PICTURE = np.dtype(
    {
        "names": ["source", "out", "source_rows", "source_pitch", "source_width", "source_height", "out_rows",
                  "out_pitch", "source_step", "out_step", "rotation", "black", "tiles", "across", "luma_down",
                  "down"],
        "formats": ["u8", "u8"] + ["i4"] * 6 + ["i8", "i8"] + ["i4"] * 6,
    },
    align=True,
)  # fmt: skip
CROPS = np.dtype([("at", "f4", (MOST, 4))])


@node("compose/cuda", rank=20)
class ComposeCuda(Node[ComposeConfig]):
    """Crops, scales and places with one CUDA kernel; NV12 all the way."""

    @staticmethod
    def needs(config: ComposeConfig, memory: Memory) -> Needs:
        return Needs(engine="cuda", features=("cuda",), packages=("cupy",), threads=0.1)

    def open(self, context: Context) -> None:
        import cupy

        assert context.device is not None
        self.device, layout = context.device, self.config.layout
        self._pool = DevicePool(self.device, layout.height, layout.width, context.batch, context.held)
        context.count("vram_mb", self._pool.total_mb)
        self._compose = kernel(SOURCE, "compose", self.device.gpu)
        self._blacken = kernel(SOURCE, "blacken", self.device.gpu)
        tiles = layout.tiles
        self._covered = sum(t.width * t.height for t in tiles) == layout.width * layout.height
        self._picture = picture = np.zeros((), PICTURE)
        picture["out_rows"], picture["out_pitch"] = layout.height, layout.width
        picture["tiles"] = len(tiles)
        widest, highest = max(t.width for t in tiles), max(t.height for t in tiles)
        picture["across"] = -(-widest // ACROSS)
        picture["luma_down"] = -(-highest // DOWN)
        picture["down"] = picture["luma_down"] + -(-(highest // 2) // DOWN)
        with on(self.device):
            self._tiles = cupy.asarray(np.array([[t.x, t.y, t.width, t.height] for t in tiles], np.int32))

    def process(self, frames: Frames[NV12, Cuda], shots: Shots) -> Frames[NV12, Cuda]:
        layout, video, count = self.config.layout, frames.video, len(frames)
        picture, source = self._picture, frames.data
        with on(self.device):
            out = self._pool.take(count)
            picture["source"], picture["out"] = source.data.ptr, out.data.ptr
            picture["source_rows"], picture["source_pitch"] = source.shape[1] * 2 // 3, source.strides[1]
            picture["source_width"], picture["source_height"] = video.width, video.height
            picture["source_step"], picture["out_step"] = source.strides[0], out.strides[0]
            picture["rotation"] = video.rotation
            picture["black"] = 0 if video.color.range == "pc" else 16
            if not self._covered:
                self._blacken((-(-out.strides[0] // 1024), 1, count), (256, 1, 1), (picture,))
            crops = _crops(shots, video)
            for first in range(0, len(crops), MOST):
                some = crops[first : first + MOST]
                given = np.zeros((), CROPS)
                given["at"][: len(some)] = some
                grid = (int(picture["across"]), int(picture["down"]), len(some))
                self._compose(grid, (THREADS, 1, 1), (picture, self._tiles, given, np.int32(first)))
        made = replace(video, width=layout.width, height=layout.height, rotation=0, pixel_aspect=Fraction(1))
        return Frames(out, frames.pts, made, frames.first)

    def close(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.close()


def _crops(shots: Shots, video: Video) -> Any:
    """Crops ``[n * tiles, 4]`` of the pictures as stored, NaN where a tile is blank."""
    crops = shots.crops.astype(np.float32)
    if video.rotation:
        crops = np.array([[stored(crop, video) for crop in tiles] for tiles in crops], np.float32)
    return np.where(shots.blank[..., None], np.float32(np.nan), crops).reshape(-1, 4)
