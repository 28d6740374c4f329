"""NVDEC's surfaces, copied into batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.errors import DeviceError
from dualface.graph.job import Job
from dualface.kernels import kernel


class Copy:
    """Copies surfaces of the ``job``'s video on the stream ``own``, those of format ``wide`` (P016)
    rounded to 8 bits."""

    def __init__(self, job: Job, gpu: int, wide: Any, own: Any) -> None:
        import cupy

        self.job, self.wide, self.own, self.runtime = job, wide, own, cupy.cuda.runtime
        self._narrow = kernel(Path(__file__).with_name("nvdec.cu"), "narrow", gpu)

    def __call__(self, surface: Any, out: Any) -> None:
        """Fill ``out`` ``[H*3/2, W]``. Raises `DeviceError` for a surface of another size."""
        (rows, width), high = surface.shape[:2], self.job.video.height
        wanted, even = self.job.video.width + self.job.video.width % 2, high + high % 2
        # Of an odd height PyNvVideoCodec says half a row less than there is.
        if (rows, width) != (high * 3 // 2, wanted):
            raise DeviceError(
                f"{self.job.input}: the pictures change from {wanted}x{high} to "
                f"{width}x{rows * 2 // 3}; node/decode@graph.nodes.decode=pyav can decode that"
            )
        wide = surface.format == self.wide
        pitch = surface.strides[0] * (2 if wide and surface.strides[1] == 1 else 1)  # in bytes
        source = surface.GetPtrToPlane(0)
        if high == even:
            self._rows(source, pitch, wide, out)
        else:  # a row is missing between luma and chroma
            self._rows(source, pitch, wide, out[:high])
            self._rows(source + high * pitch, pitch, wide, out[even:])

    def _rows(self, source: int, pitch: int, wide: bool, out: Any) -> None:
        rows, width = out.shape
        if wide:
            given = (np.uint64(source), np.int32(pitch), out.data.ptr, np.int32(width))
            self._narrow((-(-width // 256), rows, 1), (256, 1, 1), given, stream=self.own)
        else:
            there = self.runtime.memcpyDeviceToDevice
            self.runtime.memcpy2DAsync(out.data.ptr, width, source, pitch, width, rows, there, self.own.ptr)
