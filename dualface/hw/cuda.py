"""A slot's GPU: its primary context, its stream, and memory that is counted.

What a job computes goes to its slot's one stream, so that whoever gets a buffer next is behind whoever
had it before: on one stream, order is all the safety that memory needs. A node with another stream
(decoding waits for its own at each picture) joins the two by events.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dualface.graph.errors import DeviceError, Problem, RequestError
from dualface.graph.node import Device

# What a call may answer without harm to the context: invalid value, out of memory, invalid
# configuration, too many resources for a launch (cuda.h, CUresult). After others nothing works any more.
HARMLESS = frozenset({1, 2, 9, 701})


@dataclass(frozen=True, slots=True)
class CudaDevice(Device):
    """A `Device` that keeps its CuPy stream alive for as long as somebody holds it."""

    owner: Any = field(default=None, compare=False, repr=False)


def open_device(gpu: int) -> CudaDevice:
    """A stream of its own on ``gpu``, in the primary context. Raises `RequestError` where CUDA does
    not start there."""
    import cupy

    try:
        with cupy.cuda.Device(gpu):
            stream = cupy.cuda.Stream(non_blocking=True)
    except Exception as error:  # CuPy's own classes, and whatever the driver's loading raises
        message = f"GPU {gpu} does not start: {error}."
        raise RequestError([Problem("no-gpu", "hw", message, "action=doctor says what is wrong.")]) from error
    return CudaDevice(gpu, stream.ptr, owner=stream)


def context_of(gpu: int) -> int:
    """The handle of the primary context of ``gpu``, made current on this thread.

    ``cudaSetDevice`` alone would not do: a library may have left a context of its own on the thread.
    """
    import cupy

    device = cupy.cuda.Device(gpu)
    device.use()
    cupy.cuda.runtime.free(0)
    return int(cupy.cuda.driver.ctxGetCurrent())


def stream_of(device: Device) -> Any:
    """The slot's stream as CuPy's."""
    import cupy

    return getattr(device, "owner", None) or cupy.cuda.ExternalStream(device.stream, device.gpu)


@contextmanager
def on(device: Device) -> Iterator[Any]:
    """CuPy works on the slot's GPU and stream within this block; gives the stream."""
    import cupy

    with cupy.cuda.Device(device.gpu), stream_of(device) as stream:
        yield stream


def gave_up(error: BaseException) -> bool:
    """Whether an error is CUDA's, and such that the context is of no more use."""
    status = getattr(error, "status", None)
    return isinstance(status, int) and type(error).__name__.startswith("CUDA") and status not in HARMLESS


@contextmanager
def giving_up(who: str) -> Iterator[None]:
    """Raise `DeviceError` for an error after which the GPU's context is of no more use."""
    try:
        yield
    except Exception as error:
        if gave_up(error):
            text = " ".join(str(error).split())
            raise DeviceError(f"{who}: the GPU gave up ({text})") from error
        raise
