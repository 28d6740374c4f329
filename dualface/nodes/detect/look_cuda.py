"""Looking for faces on a GPU: one kernel before the network, one after it, one small copy a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.node import Context
from dualface.graph.types import Bools, Video
from dualface.hw.cuda import on
from dualface.infer.device import open_network
from dualface.kernels import kernel
from dualface.nodes.detect.cuts import THUMB, CutFinder
from dualface.nodes.detect.heads import STRIDES, Found
from dualface.nodes.detect.looking import Seen, YunetConfig
from dualface.nodes.detect.small import bgr_rows, plan_small

SOURCE = Path(__file__).with_name("yunet.cu")
VALUES = 15  # of a face: score, box, five landmarks
SHRINK = np.dtype(
    {
        "names": ["source", "out", "luma", "step", "rows", "pitch", "crop_width", "crop_height",
                  "stored_width", "stored_height", "width", "height", "rotation", "halvings", "weights"],
        "formats": ["u8", "u8", "u8", "i8"] + ["i4"] * 10 + [("f4", (12,))],
    },
    align=True,
)  # fmt: skip
CELLS = np.dtype(
    {
        "names": ["score", "object", "box", "points", "cells", "across", "stride", "most", "least",
                  "overlap", "scratch", "out"],
        "formats": [("u8", (3,))] * 4 + [("i4", (3,))] * 3 + ["i4", "f4", "f4", "u8", "u8"],
    },
    align=True,
)  # fmt: skip


class CudaEyes:
    """Looks at batches of pictures like ``video`` on the slot's stream."""

    def __init__(self, config: YunetConfig, video: Video, cuts: CutFinder, context: Context) -> None:
        import cupy

        assert context.device is not None
        device, batch = context.device, context.batch
        self.config, self.cuts, self.device, self.cupy = config, cuts, device, cupy
        self._count = context.count
        # Waiting for it leaves the core to others.
        self.done = cupy.cuda.Event(block=True, disable_timing=True)
        self.plan = plan = plan_small(video, config.size)
        width, height = plan.padded
        self._shrink, self._thumbs, self._best = (
            kernel(SOURCE, name, device.gpu) for name in ("shrink", "thumbs", "faces")
        )
        with on(device) as stream:
            self.session = open_network(
                config.backend,
                "yunet",
                device,
                batch=batch,
                size=(width, height),
                half=config.half,
                most=context.infer_batch,
            )
            image = cupy.asarray(self.session.input(self.session.inputs[0]))
            image.fill(0)  # right and below, what no picture reaches stays zero
            self.luma = cupy.empty((batch, plan.stored[1], plan.stored[0]), np.uint8)
            # One array for both answers, so that one copy brings them.
            self.answers = cupy.empty((batch * (config.most * VALUES + THUMB[0] * THUMB[1]),), np.float32)
            self.host = cupy.cuda.alloc_pinned_memory(self.answers.nbytes)
            self.batch = batch
            across = [width // s for s in STRIDES]
            cells = [a * (height // s) for a, s in zip(across, STRIDES, strict=True)]
            self.scratch = cupy.empty((batch, sum(cells)), np.float32)
            outputs = {name: cupy.asarray(self.session.output(name)) for name in self.session.outputs}
            stream.synchronize()
        self._count("vram_mb", self.session.vram_bytes / (1 << 20))
        self.shrink_call, self.cells_call = np.zeros((), SHRINK), np.zeros((), CELLS)
        call = self.shrink_call
        call["out"], call["luma"] = image.data.ptr, self.luma.data.ptr
        call["crop_width"], call["crop_height"] = plan.crop
        call["stored_width"], call["stored_height"] = plan.stored
        call["width"], call["height"], call["rotation"] = width, height, plan.rotation
        call["halvings"] = plan.halvings
        call["weights"] = bgr_rows(video.color, video.height).astype(np.float32).ravel()
        call = self.cells_call
        for key, name in (("score", "cls"), ("object", "obj"), ("box", "bbox"), ("points", "kps")):
            call[key] = [outputs[f"{name}_{s}"].data.ptr for s in STRIDES]
        call["cells"], call["across"], call["stride"] = cells, across, STRIDES
        call["most"], call["least"], call["overlap"] = config.most, config.score, config.nms
        call["scratch"], call["out"] = self.scratch.data.ptr, self.answers.data.ptr
        self._keep = (image, outputs)

    def look(self, data: Any, wanted: Bools) -> Seen:
        count = len(data)
        faces, thumbs = self._launch(data, count)
        flags = np.zeros(count, bool)
        if self.config.cut > 0:
            for i in range(count):
                flags[i] = self.cuts.look(thumbs[i])
        looked = wanted | flags
        return Seen([_found(faces[i]) for i in np.flatnonzero(looked)], looked, flags)

    def close(self) -> None:
        self.session.close()

    def _launch(self, data: Any, count: int) -> tuple[Any, Any]:
        """``[count, most, VALUES]`` and thumbnails ``[count, 18, 32]`` on the host."""
        plan, call, config = self.plan, self.shrink_call, self.config
        call["source"], call["step"] = data.data.ptr, data.strides[0]
        call["rows"], call["pitch"] = data.shape[1] * 2 // 3, data.strides[1]
        width, height = plan.stored
        size = count * config.most * VALUES
        with on(self.device) as stream:
            self._shrink((-(-width // 32), -(-height // 8), count), (32, 8, 1), (call,))
            self.session.launch()
            self._best((count,), (256,), (self.cells_call,))
            thumbs = self.answers.data.ptr + size * 4
            # Thumbnails stand right behind the faces of this batch.
            self._thumbs((count,), THUMB, (self.luma, np.uint64(thumbs), np.int32(width), np.int32(height)))
            total = size + count * THUMB[0] * THUMB[1]
            self.cupy.cuda.runtime.memcpyAsync(
                self.host.ptr,
                self.answers.data.ptr,
                total * 4,
                self.cupy.cuda.runtime.memcpyDeviceToHost,
                stream.ptr,
            )
            self.done.record(stream)
            self.done.synchronize()
        self._count("device_to_host_bytes", total * 4)
        host = np.frombuffer(self.host, np.float32, total).copy()
        return (
            host[:size].reshape(count, config.most, VALUES),
            host[size:].reshape(count, THUMB[1], THUMB[0]),
        )


def _found(rows: Any) -> Found:
    """The faces of one picture; rows of score 0 are none."""
    kept = rows[: int(np.argmin(rows[:, 0] > 0)) if not (rows[:, 0] > 0).all() else len(rows)]
    return Found(kept[:, 1:5], kept[:, 0], kept[:, 5:].reshape(-1, 5, 2))
