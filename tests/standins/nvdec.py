"""A PyNvVideoCodec that decodes on the CPU, and as much of CuPy as decode/nvdec takes from it.

Pictures come as surfaces that are used again with the next call, `LATE` of them late, with the pts of
their packets; what does not decode is left out in silence.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest

from dualface.graph.node import Device
from dualface.nodes.decode import nvdec, surfaces
from standins.device import STREAM

LATE = 3  # pictures that a decoder keeps back
CODECS = {"H264": "h264", "HEVC": "hevc", "VP9": "vp9", "AV1": "libdav1d"}


class PacketData:
    bsl_data = bsl = pts = 0


class Surface:
    """One of the decoder's own pictures."""

    format = "NV12"

    def __init__(self, pixels: np.ndarray[Any, Any], timestamp: int) -> None:
        self.pixels, self.timestamp = pixels, timestamp
        self.shape, self.strides = pixels.shape, pixels.strides

    def GetPtrToPlane(self, plane: int) -> int:
        return int(self.pixels.ctypes.data)


class Decoder:
    def __init__(self, codec: str) -> None:
        self.codec = av.CodecContext.create(CODECS[codec], "r")
        self.codec.thread_count = 1
        self.waiting: deque[Any] = deque()
        self.given: list[Surface] = []

    def Decode(self, packet: PacketData) -> list[Surface]:
        for surface in self.given:
            surface.pixels[:] = 77  # they are used again
        if packet.bsl:
            one = av.Packet(ctypes.string_at(packet.bsl_data, packet.bsl))
            one.pts = packet.pts
            with contextlib.suppress(av.error.FFmpegError):
                self.waiting.extend(self.codec.decode(one))
        else:
            with contextlib.suppress(av.error.FFmpegError):
                self.waiting.extend(self.codec.decode(None))
        late = LATE if packet.bsl else 0
        self.given = []
        while len(self.waiting) > late:
            frame = self.waiting.popleft()
            pixels = frame.reformat(format="nv12").to_ndarray()
            self.given.append(Surface(np.ascontiguousarray(pixels), frame.pts))
        return self.given


class Pool:
    """In place of `DevicePool`: fresh memory each time."""

    total_mb = 1.0

    def __init__(self, device: Device, height: int, width: int, *rest: Any) -> None:
        self.size = height * 3 // 2, width

    def take(self, n: int) -> Any:
        return _Array(np.zeros((n, *self.size), np.uint8))

    def close(self) -> None: ...


class _Array(np.ndarray[Any, Any]):
    """An array whose memory is at ``data.ptr``, as CuPy's."""

    def __new__(cls, array: Any) -> Any:
        return np.asarray(array).view(cls)

    @property
    def data(self) -> Any:
        return types.SimpleNamespace(ptr=self.ctypes.data)


def _copy_rows(
    target: int, pitch: int, source: int, apart: int, width: int, rows: int, kind: int, stream: int
) -> None:
    for row in range(rows):
        ctypes.memmove(target + row * pitch, source + row * apart, width)


@contextlib.contextmanager
def nvdec_machine() -> Iterator[tuple[Device, list[Decoder]]]:
    """A device on which decode/nvdec can be opened, and the decoders that it makes."""
    made: list[Decoder] = []

    def create(codec: str, **given: Any) -> Decoder:
        assert given["cudastream"], "the default stream would wait for all others"
        made.append(Decoder(codec))
        return made[-1]

    nvc: Any = types.ModuleType("PyNvVideoCodec")
    nvc.CreateDecoder, nvc.PacketData = create, PacketData
    nvc.cudaVideoCodec = types.SimpleNamespace(**{name: name for name in CODECS})
    nvc.Pixel_Format = types.SimpleNamespace(P016="P016")
    cupy: Any = types.ModuleType("cupy")
    nothing = types.SimpleNamespace(record=lambda stream: None, ptr=STREAM)
    cupy.cuda = types.SimpleNamespace(
        Device=lambda gpu: contextlib.nullcontext(),
        Stream=lambda **given: nothing,
        Event=lambda **given: nothing,
        runtime=types.SimpleNamespace(memcpy2DAsync=_copy_rows, memcpyDeviceToDevice=3),
    )
    waits = types.SimpleNamespace(wait_event=lambda event: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy)
        patch.setitem(sys.modules, "PyNvVideoCodec", nvc)
        patch.setattr(nvdec, "DevicePool", Pool)
        patch.setattr(nvdec, "context_of", lambda gpu: 1)
        patch.setattr(nvdec, "stream_of", lambda device: waits)
        patch.setattr(surfaces, "kernel", lambda *about: None)
        yield Device(0, STREAM), made
