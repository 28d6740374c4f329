"""Faces to numbers on a GPU: pictures stay there, what the networks answer comes to the host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dualface import zoo
from dualface.graph.errors import DeviceError
from dualface.graph.node import Device
from dualface.graph.types import Floats, Video
from dualface.hw.cuda import on
from dualface.infer.device import open_network
from dualface.infer.session import Arrays, DeviceSession
from dualface.infer.shapes import FREE
from dualface.kernels import kernel
from dualface.nodes.reid import align
from dualface.nodes.reid.described import Described
from dualface.nodes.reid.embed import batch_of

SOURCE = Path(__file__).with_name("chips.cu")
MOST = 8  # faces of a launch, as in chips.cu
CUT = np.dtype(
    {
        "names": ["source", "out", "apart", "rows", "pitch", "width", "height", "size", "mean", "scale",
                  "weights", "ways", "blocks"],
        "formats": ["u8", "u8", ("i8", (4,))] + ["i4"] * 5 + ["f4", "f4", ("f4", (12,)),
                    ("f4", (MOST, 6)), ("i4", (MOST, 2))],
    },
    align=True,
)  # fmt: skip


class DeviceNetworks:
    """`Networks` of an `Embedder` on ``device``, by torch in 16-bit floats, on the slot's stream.
    ``count`` adds to the job's figures."""

    def __init__(self, device: Device, count: Callable[[str, float], None]) -> None:
        self._device, self._count = device, count
        self._open: dict[str, tuple[DeviceSession, int]] = {}

    def look(self, picture: Any, video: Video, ways: list[align.Matrix], rows: Any, size: int) -> Arrays:
        return self._ask("yunet", picture, video, ways, rows, size)

    def number(
        self, picture: Any, video: Video, ways: list[align.Matrix], rows: Any, shown: Described
    ) -> Floats:
        answers = self._ask(shown.name, picture, video, ways, rows, shown.size, shown.mean, shown.scale)
        return next(iter(answers.values()))

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][0].close()

    def _ask(self, model: str, *shown: Any) -> Arrays:
        try:
            return self._run(model, *shown)
        except zoo.ModelError:
            raise
        except Exception as error:  # torch's and CuPy's own classes
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise DeviceError(f"the network '{model}' does not run on the GPU: {told}") from error

    def _run(
        self, model: str, picture: Any, video: Video, ways: list[align.Matrix], rows: Any, size: int,
        mean: float = 0.0, scale: float = 1.0,
    ) -> Arrays:  # fmt: skip
        """Everything the network called ``model`` answers to the faces, ``[k, ...]`` by name."""
        import cupy

        with on(self._device) as stream:
            data = cupy.asarray(picture)
            session, at_a_time = self._session(model, size)
            shown = cupy.asarray(session.input(session.inputs[0]))
            parts: list[Arrays] = []
            across = -(-size // 16)
            for first in range(0, len(ways), at_a_time):
                some = ways[first : first + at_a_time]
                for at in range(0, len(some), MOST):
                    ways_at = some[at : at + MOST]
                    call = _call(data, video, ways_at, rows, size, mean, scale, shown[at:])
                    kernel(SOURCE, "cut_out", self._device.gpu)(
                        (across, across, len(ways_at)), (16, 16, 1), (call,)
                    )
                session.launch()
                parts.append(
                    {
                        name: cupy.asarray(session.output(name))[: len(some)].get(stream=stream)
                        for name in session.outputs
                    }
                )
        answers = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        self._count("device_to_host_bytes", sum(array.nbytes for array in answers.values()))
        return answers

    def _session(self, model: str, size: int) -> tuple[DeviceSession, int]:
        """The network, opened when it is first asked, and how many faces it takes at a time."""
        if model not in self._open:
            batch = batch_of(zoo.onnx_path(model))
            at_a_time = MOST if batch == FREE else batch
            session = open_network("torch", model, self._device, batch=at_a_time, size=(size, size))
            self._count("vram_mb", session.vram_bytes / (1 << 20))
            self._open[model] = session, at_a_time
        return self._open[model]


def _call(
    data: Any,
    video: Video,
    ways: list[align.Matrix],
    rows: Any,
    size: int,
    mean: float,
    scale: float,
    out: Any,
) -> Any:
    """The kernel's argument."""
    call = np.zeros((), CUT)
    call["source"], call["out"] = data.data.ptr, out.data.ptr
    call["apart"] = [stride // out.itemsize for stride in out.strides]
    call["rows"], call["pitch"] = data.shape[0] * 2 // 3, data.strides[0]
    call["width"], call["height"], call["size"] = video.width, video.height, size
    call["mean"], call["scale"], call["weights"] = mean, scale, rows.astype(np.float32).ravel()
    for n, way in enumerate(ways):
        call["ways"][n] = way.astype(np.float32).ravel()
        call["blocks"][n] = align.block_of(way), align.block_of(way / 2)
    return call
