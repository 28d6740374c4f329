"""Networks by torch: on the CPU as a cross-check, on an NVIDIA GPU as one captured CUDA graph."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualface.infer.program import Program
from dualface.infer.session import Arrays
from dualface.infer.shapes import Shape, inputs, load

WARM_UPS = 3  # runs before the capture, in which cuDNN and cuBLAS choose and set up
_opening = threading.Lock()  # one capture at a time, so that memory is counted where it belongs


class TorchSession:
    """An ONNX file on the CPU, for any shapes; the answers are those of ONNX Runtime within
    rounding. Raises ValueError with one sentence where the file cannot be run."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        torch.set_num_threads(max(1, threads))
        self._path = path
        model = load(path)
        self.inputs = tuple(inputs(model))
        self.outputs = tuple(value.name for value in model.graph.output)
        self._program: tuple[Mapping[str, Shape], Program] | None = None

    def run(self, arrays: Mapping[str, Any]) -> Arrays:
        """All outputs by name, for float32 arrays by input name."""
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        if self._program is None or self._program[0] != shapes:
            self._program = shapes, Program(self._path, shapes)
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return {name: x.numpy() for name, x in self._program[1](given).items()}

    def close(self) -> None:
        self._program = None


class TorchNetwork:
    """A `DeviceSession` by torch: an ONNX file for ``shapes`` on GPU ``gpu`` and its ``stream``.

    The whole network is one CUDA graph, captured on a stream of its own. 16-bit networks keep
    channels innermost, as tensor cores like it, unless ``channels_last`` says otherwise. With
    ``gpu`` None it is a stand-in on the CPU, which works at once instead of later.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, Shape],
        *,
        gpu: int | None,
        stream: int,
        channels_last: bool | None = None,
    ) -> None:
        self.inputs = tuple(shapes)
        self.vram_bytes = 0
        self._graph: Any = None
        last = _is_half(path) if channels_last is None else channels_last
        if gpu is None:
            self._ready: Any = None
            self._program = Program(path, shapes, channels_last=last)
            self._given = self._program.zeros()
            self._answer = self._program(self._given)
        else:
            if not stream:
                raise ValueError("a network on a GPU needs a stream of its own, not the default stream 0")
            with _opening, torch.cuda.device(gpu):
                self._ready = torch.cuda.ExternalStream(stream, device=f"cuda:{gpu}")
                self._open(path, shapes, f"cuda:{gpu}", last)
        self.outputs = tuple(self._answer)

    def _open(self, path: Path, shapes: Mapping[str, Shape], device: str, last: bool) -> None:
        before = torch.cuda.memory_reserved(device)
        aside = torch.cuda.Stream(device)
        # TF32 rounds to 10 bits, which a network in 32-bit floats did not ask for.
        with torch.cuda.stream(aside), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            self._program = Program(path, shapes, device, channels_last=last)
            self._given = self._program.zeros()
            for _ in range(WARM_UPS):
                self._program(self._given)
            aside.synchronize()
            graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile.
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                self._answer = self._program(self._given)
            finally:
                graph.capture_end()
        aside.synchronize()
        self._graph = graph
        self.vram_bytes = max(0, torch.cuda.memory_reserved(device) - before)

    def input(self, name: str) -> Any:
        """The input's tensor, float32 ``[batch, ...]``."""
        return self._given[name]

    def output(self, name: str) -> Any:
        """The output's tensor, float32 ``[batch, ...]``."""
        return self._answer[name]

    def launch(self) -> None:
        """Enqueue one run on the session's stream."""
        if self._graph is None:
            for name, x in self._program(self._given).items():
                self._answer[name].copy_(x)
            return
        with torch.cuda.stream(self._ready):
            self._graph.replay()

    def close(self) -> None:
        """Wait for what was launched, then give the memory back."""
        if self._graph is not None:
            self._ready.synchronize()
            self._graph.reset()
        self._graph, self._given, self._answer = None, {}, {}


def _is_half(path: Path) -> bool:
    return any(tensor.data_type == 10 for tensor in load(path).graph.initializer)  # 10: FLOAT16
