"""compose/cuda: crops of the source into the tiles of the output on the GPU, one launch a batch."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.node import Context, Needs, Node
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Shots
from dualface.hw.cuda import on
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.stored import stored
from dualface.nodes.device_buffers import DevicePool
from dualface.nodes.kernels import kernel

ACROSS, DOWN = 32, 8  # threads of a block, as in cuda.cu
PICTURE = np.dtype(
    [("source", "u8"), ("out", "u8"), ("source_rows", "i4"), ("source_pitch", "i4"), ("source_width", "i4"),
     ("source_height", "i4"), ("out_rows", "i4"), ("out_pitch", "i4"), ("source_step", "i8"),
     ("out_step", "i8"), ("rotation", "i4"), ("black", "i4"), ("tiles", "i4"), ("", "i4")],
)  # fmt: skip


@node("compose/cuda", rank=70)
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
        self._compose = kernel(Path(__file__).with_name("cuda.cu"), "compose", self.device.gpu)
        tiles = [[t.x, t.y, t.width, t.height] for t in layout.tiles]
        with on(self.device):
            self._tiles = cupy.asarray(np.array(tiles, np.int32))

    def process(self, frames: Frames[NV12, Cuda], shots: Shots) -> Frames[NV12, Cuda]:
        layout, video, count = self.config.layout, frames.video, len(frames)
        with on(self.device) as stream:
            out = self._pool.take(count)
            crops, blank = self._upload(shots, video, stream)
            source = frames.data
            step, pitch, _ = source.strides
            picture = np.zeros((), PICTURE)
            picture[()] = (
                source.data.ptr, out.data.ptr, source.shape[1] * 2 // 3, pitch, video.width, video.height,
                layout.height, layout.width, step, out.strides[0], video.rotation,
                0 if video.color.range == "pc" else 16, len(layout.tiles), 0,
            )  # fmt: skip
            rows = -(-layout.height // DOWN) + -(-(layout.height // 2) // DOWN)
            self._compose(
                (-(-layout.width // ACROSS), rows, count),
                (ACROSS, DOWN, 1),
                (picture, self._tiles, crops, blank),
            )
        made = replace(video, width=layout.width, height=layout.height, rotation=0, pixel_aspect=Fraction(1))
        return Frames(out, frames.pts, made, frames.first)

    def _upload(self, shots: Shots, video: Any, stream: Any) -> tuple[Any, Any]:
        """Crops (of the pictures as stored) and blanks of a batch, a few hundred bytes."""
        import cupy

        crops = np.array([[stored(crop, video) for crop in crops] for crops in shots.crops], np.float32)
        return cupy.asarray(crops), cupy.asarray(shots.blank.astype(np.uint8))

    def close(self) -> None:
        self._pool = self._tiles = None  # type: ignore[assignment]
