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

from dualface.graph.errors import Problem, RequestError
from dualface.graph.node import Device


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
