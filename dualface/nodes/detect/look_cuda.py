"""Looking for faces on a GPU: one kernel before the network, one after it, one small copy a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface.graph.node import Context
from dualface.graph.types import Bools
from dualface.hw.cuda import on
from dualface.infer.device import open_network
from dualface.kernels import kernel
from dualface.nodes.detect import faces_cuda
from dualface.nodes.detect.cuts import THUMB, CutFinder
from dualface.nodes.detect.faces_cuda import PICK, VALUES, Answer
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import LookConfig, Seen
from dualface.nodes.detect.small import SmallPlan

SOURCE = Path(__file__).with_name("look.cu")
SHRINK = np.dtype(
    {
        "names": ["source", "out", "luma", "step", "apart", "rows", "pitch", "crop_width", "crop_height",
                  "stored_width", "stored_height", "rotation", "halvings", "white", "weights"],
        "formats": ["u8", "u8", "u8", "i8", ("i8", (4,))] + ["i4"] * 8 + ["f4", ("f4", (12,))],
    },
    align=True,
)  # fmt: skip


@dataclass(frozen=True)
class DeviceNetwork:
    """A network that finds faces, by the name of its ``model``: what it is shown (as `Network`
    says), and how its outputs read. It takes ``batch`` pictures at a time; 0: any number."""

    model: str
    backend: str
    half: bool
    plan: SmallPlan
    rows: npt.NDArray[np.float64]
    read: Callable[[Mapping[str, Any]], Answer]
    white: float = 255.0
    fill: float = 0.0
    batch: int = 0


class CudaEyes:
    """Looks with ``network`` on the slot's stream."""

    def __init__(self, network: DeviceNetwork, config: LookConfig, cuts: CutFinder, context: Context) -> None:
        import cupy

        assert context.device is not None
        device, batch, plan = context.device, context.batch, network.plan
        self.config, self.cuts, self.device, self.cupy, self.plan = config, cuts, device, cupy, plan
        self.count, self.at_a_time = context.count, network.batch or batch
        # Waiting for it leaves the core to others.
        self.done = cupy.cuda.Event(block=True, disable_timing=True)
        self._shrink, self._thumbs = (kernel(SOURCE, name, device.gpu) for name in ("shrink", "thumbs"))
        with on(device) as stream:
            self.session = open_network(
                network.backend,
                network.model,
                device,
                batch=self.at_a_time,
                size=plan.padded,
                half=network.half,
                most=network.batch or context.infer_batch,
            )
            image = cupy.asarray(self.session.input(self.session.inputs[0]))
            image.fill(network.fill)  # right and below, what no picture reaches keeps it
            self.luma = cupy.empty((batch, plan.stored[1], plan.stored[0]), np.uint8)
            # One array for both answers, so that one copy brings them.
            self.answers = cupy.empty((batch * (config.most * VALUES + THUMB[0] * THUMB[1]),), np.float32)
            self.host = cupy.cuda.alloc_pinned_memory(self.answers.nbytes)
            outputs = {name: cupy.asarray(self.session.output(name)) for name in self.session.outputs}
            self.answer = answer = network.read(outputs)
            self.scratch = cupy.empty((self.at_a_time, answer.candidates), np.float32)
            stream.synchronize()
        self._pick = kernel(faces_cuda.SOURCE, answer.kernel, device.gpu)
        self.count("vram_mb", self.session.vram_bytes / (1 << 20))
        self.shrink_call, self.pick_call = np.zeros((), SHRINK), np.zeros((), PICK)
        call = self.shrink_call
        call["out"], call["apart"] = image.data.ptr, [s // image.itemsize for s in image.strides]
        call["crop_width"], call["crop_height"] = plan.crop
        call["stored_width"], call["stored_height"] = plan.stored
        call["rotation"], call["halvings"], call["white"] = plan.rotation, plan.halvings, network.white
        call["weights"] = network.rows.astype(np.float32).ravel()
        call = self.pick_call
        call["candidates"], call["most"] = answer.candidates, config.most
        call["least"], call["overlap"] = config.score, config.nms
        call["scratch"] = self.scratch.data.ptr
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
        shrink, pick, most = self.shrink_call, self.pick_call, self.config.most
        shrink["step"] = data.strides[0]
        shrink["rows"], shrink["pitch"] = data.shape[1] * 2 // 3, data.strides[1]
        width, height = self.plan.stored
        size = count * most * VALUES
        with on(self.device) as stream:
            for first in range(0, count, self.at_a_time):
                some = min(self.at_a_time, count - first)
                shrink["source"] = data.data.ptr + first * data.strides[0]
                shrink["luma"] = self.luma.data.ptr + first * width * height
                pick["out"] = self.answers.data.ptr + first * most * VALUES * 4
                self._shrink((-(-width // 32), -(-height // 8), some), (32, 8, 1), (shrink,))
                self.session.launch()
                self._pick((some,), (256,), (self.answer.record, pick))
            # Thumbnails stand right behind the faces of this batch.
            thumbs = self.answers.data.ptr + size * 4
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
        self.count("device_to_host_bytes", total * 4)
        host = np.frombuffer(self.host, np.float32, total).copy()
        return (
            host[:size].reshape(count, most, VALUES),
            host[size:].reshape(count, THUMB[1], THUMB[0]),
        )


def _found(rows: Any) -> Found:
    """The faces of one picture; rows of score 0 are none."""
    kept = rows[: int(np.argmin(rows[:, 0] > 0)) if not (rows[:, 0] > 0).all() else len(rows)]
    return Found(kept[:, 1:5], kept[:, 0], kept[:, 5:].reshape(-1, 5, 2))
