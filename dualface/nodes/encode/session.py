"""One session of NVENC through PyNvVideoCodec: pictures on the device in, packets out.

What is relied on was read in PyNvVideoCodec 2.2.4 and watched in it over a driver that only writes
down its calls; ``tests/standins`` holds the list:

- A frame is anything with ``cuda()`` that gives its planes, each with ``__cuda_array_interface__``,
  rows without padding, chroma right behind luma.
- `Encode` copies it to a surface of the encoder's own, on the stream it was given, and answers with
  packets of earlier frames: it has `DELAY` + 1 surfaces. A packet's coming out therefore means that
  its frame has been read.
- Times are unsigned, so frames are numbered and the caller knows when each is shown.
- Options are strings; unknown ones are passed over in silence. There is none for the profile. One
  for colour exists, but not the flags without which it is not written.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dualface.graph.errors import DeviceError
from dualface.graph.node import Device

DELAY = 3  # frames that wait in the encoder without B-frames and look-ahead
KEY = 3  # an IDR picture, of NVENC's picture types
SAYS = {  # NVENC's errors that have a meaning for people
    1: "this GPU has no encoder (NVENC)",
    2: "this GPU has no encoder (NVENC)",
    8: "it does not take this size or these options",
    10: "all its sessions are in use, or its memory is full",
    12: "it does not know this codec or option",
    15: "the driver is too old",
    21: "all its sessions are in use",
}


@dataclass(frozen=True, slots=True)
class Coded:
    """A frame by its number, as coded: H.264 or HEVC in Annex B, or AV1 in OBUs."""

    index: int
    data: bytes
    key: bool


class Plane:
    """Rows in device memory without padding, as PyNvVideoCodec takes them."""

    __slots__ = ("__cuda_array_interface__",)

    def __init__(self, address: int, shape: tuple[int, int, int]) -> None:
        _, width, samples = shape
        self.__cuda_array_interface__: dict[str, Any] = {
            "version": 3,
            "typestr": "|u1",
            "shape": shape,
            "strides": (width * samples, samples, 1),
            "data": (address, False),
        }


class Surface:
    """One NV12 picture of ``width`` x ``height`` at ``address``."""

    __slots__ = ("planes",)

    def __init__(self, address: int, width: int, height: int) -> None:
        chroma = address + width * height
        self.planes = [Plane(address, (height, width, 1)), Plane(chroma, (height // 2, width // 2, 2))]

    def cuda(self) -> list[Plane]:
        return self.planes


class Session:
    """An open encoder for pictures of one size. Raises `DeviceError` where the machine refuses it
    or gives up. Dropping the object closes it.

    ``options`` are PyNvVideoCodec's. Frames are held until they have been read.
    """

    def __init__(self, device: Device, width: int, height: int, options: Mapping[str, str]) -> None:
        self.width, self.height = width, height
        self._held: deque[tuple[int, Any]] = deque()  # number of a batch's last frame, the batch
        self._next = 0
        self._out = 0
        try:
            import PyNvVideoCodec as nvc

            self._nvc = nvc
            # In the primary context, which is that of the stream.
            self._encoder = nvc.CreateEncoder(
                width, height, "NV12", False, gpu_id=device.gpu, cudastream=device.stream, **options
            )
        except Exception as error:  # PyNvVideoCodec's own classes, and whatever the driver's loading raises
            raise DeviceError(f"NVENC refused a session: {_reason(error)}") from error

    def encode(self, batch: Any) -> Iterator[Coded]:
        """Encode NV12 ``[n, H*3/2, W]`` uint8 in device memory; gives what is ready."""
        address, step = self._layout(batch)
        self._held.append((self._next + len(batch) - 1, batch))
        for i in range(len(batch)):
            about = self._nvc.NV_ENC_PIC_PARAMS()
            about.inputTimeStamp = self._next
            self._next += 1
            surface = Surface(address + i * step, self.width, self.height)
            yield from self._told(lambda s=surface, a=about: self._encoder.Encode(s, a))

    def finish(self) -> Iterator[Coded]:
        """What is still in the encoder. It takes nothing more."""
        if self._next:  # without a frame there is nothing to flush
            yield from self._told(self._encoder.EndEncode)
        if self._out != self._next:
            raise DeviceError(f"NVENC gave {self._out} packets for {self._next} frames")

    def close(self) -> None:
        self._encoder = None
        self._held.clear()

    def _told(self, call: Any) -> Iterator[Coded]:
        try:
            packets = call()
        except Exception as error:
            raise DeviceError(f"NVENC gave up at frame {self._next - 1}: {_reason(error)}") from error
        for packet in packets:
            index = int(packet["timestamp"])
            if index != self._out:
                raise DeviceError(f"NVENC gave frame {index} where frame {self._out} was due")
            self._out += 1
            while self._held and self._held[0][0] <= index:
                self._held.popleft()
            yield Coded(index, bytes(packet["data"]), int(packet["picture_type"]) == KEY)

    def _layout(self, batch: Any) -> tuple[int, int]:
        """Where the batch is, and the bytes from one frame to the next."""
        about = batch.__cuda_array_interface__
        count, rows, width = shape = tuple(about["shape"])
        frame = rows * width
        strides = about.get("strides") or (frame, width, 1)
        if shape[1:] != (self.height * 3 // 2, self.width) or about["typestr"] != "|u1":
            raise ValueError(
                f"frames {shape} of {about['typestr']} are no NV12 of {self.width}x{self.height} in 8 bits"
            )
        if tuple(strides[1:]) != (width, 1) or (count > 1 and strides[0] < frame):
            raise ValueError(
                f"frames with strides {tuple(strides)}: rows must follow each other without gaps"
            )
        return int(about["data"][0]), int(strides[0])


def _reason(error: Exception) -> str:
    """What PyNvVideoCodec's exceptions say, as a clause.

    >>> _reason(Exception('''PyNvEncoder :
    ... Error code : 10
    ... Error Type : m_nvenc.nvEncOpenEncodeSessionEx(&p, &h) returned error 10
    ... at /project/src/PyNvEncoder.cpp:1103'''))
    'all its sessions are in use, or its memory is full (nvEncOpenEncodeSessionEx returned error 10)'
    >>> _reason(ImportError("No module named 'PyNvVideoCodec'"))
    "No module named 'PyNvVideoCodec'"
    """
    text = str(error)
    code = re.search(r"Error code : (\d+)", text)
    kind = re.search(r"Error Type : (.*)", text)
    if kind is None:
        return " ".join(text.split("=== TROUBLESHOOTING")[0].split()) or type(error).__name__
    told = re.sub(r"m_nvenc\.|\(.*\)", "", kind[1]).strip()
    says = SAYS.get(int(code[1])) if code else None
    return f"{says} ({told})" if says else told
