"""The few things a network needs of CUDA, through CuPy; a test puts a stand-in in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from dualface.infer.engines import Target
from dualface.infer.shapes import Shape


class Cuda(Protocol):
    """One GPU."""

    def use(self) -> None:
        """Make it this thread's current GPU."""

    def empty(self, shape: Shape, dtype: str) -> Any:
        """Device memory, aligned to 256 bytes, with ``__cuda_array_interface__``."""

    def capture(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        """What ``work`` enqueues on ``stream``, as a CUDA graph; the answer launches it there."""

    def wait(self, stream: int) -> None:
        """Return when everything on ``stream`` is done."""


class CupyCuda:
    """GPU ``gpu`` by CuPy."""

    def __init__(self, gpu: int) -> None:
        import cupy

        self._cupy, self._gpu = cupy, gpu

    def use(self) -> None:
        self._cupy.cuda.runtime.setDevice(self._gpu)

    def target(self) -> Target:
        """What engines for this GPU are built for."""
        import pynvml

        found = self._cupy.cuda.runtime.getDeviceProperties(self._gpu)
        pynvml.nvmlInit()
        try:
            driver = pynvml.nvmlSystemGetDriverVersion()
        finally:
            pynvml.nvmlShutdown()
        name = found["name"].decode() if isinstance(found["name"], bytes) else str(found["name"])
        return Target(name, f"{found['major']}.{found['minor']}", str(driver))

    def empty(self, shape: Shape, dtype: str) -> Any:
        with self._cupy.cuda.Device(self._gpu):
            return self._cupy.empty(shape, dtype)

    def capture(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        runtime = self._cupy.cuda.runtime
        with self._cupy.cuda.Device(self._gpu):
            ours = self._cupy.cuda.ExternalStream(stream, self._gpu)
            # Other threads may allocate meanwhile.
            ours.begin_capture(runtime.streamCaptureModeThreadLocal)
            try:
                work()
            finally:
                graph = ours.end_capture()
            return lambda: graph.launch(ours)

    def wait(self, stream: int) -> None:
        self._cupy.cuda.runtime.streamSynchronize(stream)


def address(array: Any) -> int:
    """Where a device array begins."""
    return int(array.__cuda_array_interface__["data"][0])
