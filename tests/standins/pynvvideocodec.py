"""A PyNvVideoCodec that encodes on the CPU, for machines without the chip.

It has the names, arguments and answers of 2.2.4 that encode/nvenc uses (`nvenc_contract` holds both to
one list), the same refusals of shapes, strides and types, and is stricter where the real one would
write rubbish in silence: memory must be a `Device`'s and unchanged until the frame's packet is out,
numbers must rise, options must be known, nothing follows `EndEncode`. What it writes is x264's,
x265's or SVT-AV1's work, Annex B or OBUs, headers in band.
"""

from __future__ import annotations

import ctypes
import threading
import types
import zlib
from collections import deque
from fractions import Fraction
from typing import Any

import av
import numpy as np

from standins import nvenc_contract as contract
from standins.device import Device

SURFACES = 4  # the encoder's own: the packet of a frame comes with the third frame after it
QUICK = {"preset": "ultrafast", "tune": "zerolatency"}
ENCODERS = {
    "h264": ("libx264", {**QUICK, "profile": "high", "x264-params": "8x8dct=1"}),
    "hevc": ("libx265", {**QUICK, "x265-params": "log-level=none:bframes=0"}),
    "av1": ("libsvtav1", {"preset": "10", "svtav1-params": "pred-struct=1"}),
}


class PyNvVCException(Exception):
    pass


class PyNvVCExceptionUnsupported(Exception):
    pass


def failure(where: str, code: int, kind: str) -> PyNvVCException:
    """As the real ones are worded, down to the lines."""
    return PyNvVCException(
        f"{where} : \nError code : {code}\nError Type : {kind}\nat /project/src/{where}.cpp:1\n"
    )


class NV_ENC_PIC_PARAMS:
    def __init__(self) -> None:
        self._time = 0

    @property
    def inputTimeStamp(self) -> int:
        return self._time

    @inputTimeStamp.setter
    def inputTimeStamp(self, value: int) -> None:
        if not isinstance(value, int) or not 0 <= value < 2**64:
            raise TypeError("incompatible function arguments")
        self._time = value


class Chip:
    """One machine's encoder: ``limit`` sessions at a time; ``refuse`` is NVENC's error for each new
    one; ``fail_at`` is a frame at which it gives up. ``module`` is what to import."""

    def __init__(self, device: Device, limit: int = 12, refuse: int = 0, fail_at: int | None = None) -> None:
        self.device, self.limit, self.refuse, self.fail_at = device, limit, refuse, fail_at
        self.lock = threading.RLock()  # sessions are closed by whoever drops them
        self.open = self.most = 0
        self.flushed: list[bool] = []  # whether each closed session was flushed
        self.options: list[dict[str, str]] = []
        chip = self

        class PyNvEncoder(_Encoder):
            def __init__(self, *args: Any) -> None:
                super().__init__(chip, *args)

        self.module: Any = types.ModuleType("PyNvVideoCodec")
        self.module.PyNvEncoder = PyNvEncoder
        self.module.NV_ENC_PIC_PARAMS = NV_ENC_PIC_PARAMS
        self.module.PyNvVCException = PyNvVCException
        self.module.PyNvVCExceptionUnsupported = PyNvVCExceptionUnsupported

        def CreateEncoder(width: int, height: int, fmt: str, usecpuinputbuffer: bool, **kwargs: Any) -> Any:
            context, stream = (int(kwargs.pop(name, 0)) for name in ("cudacontext", "cudastream"))
            given = {key: str(value).replace("[", "").replace("]", "") for key, value in kwargs.items()}
            return PyNvEncoder(width, height, fmt, context, stream, usecpuinputbuffer, given)

        self.module.CreateEncoder = CreateEncoder


class _Encoder:
    def __init__(
        self,
        chip: Chip,
        width: int,
        height: int,
        fmt: str,
        context: int,
        stream: int,
        cpu: bool,
        given: dict[str, str],
    ) -> None:
        self.chip, self.flushed, self.opened = chip, False, False
        with chip.lock:
            code = chip.refuse or (10 if chip.open >= chip.limit else 0)
            if not code:
                self.opened = True
                chip.open += 1
                chip.most = max(chip.most, chip.open)
        if code:
            call = "m_nvenc.nvEncOpenEncodeSessionEx(&encodeSessionExParams, &hEncoder)"
            raise failure("PyNvEncoderCaps", code, f"{call} returned error {code}")
        assert fmt == "NV12", fmt
        assert cpu is False
        assert stream, "the default stream would wait for all others"
        assert (width % 2, height % 2) == (0, 0), (width, height)
        for key, value in given.items():
            assert key in (*contract.OPTIONS, "gpu_id"), f"{key} is no option that is known to work"
            assert value in contract.VALUES.get(key, (value,)), f"{key}={value}"
        assert given["bf"] == "0", "there is no DTS, so no B-frames"
        assert given["codec"] != "av1" or given["use_ivf_container"] == "0"
        self.size, self.given = (width, height), given
        self.waiting: deque[tuple[int, int, int]] = deque()  # number, address, checksum
        self.last = -1
        self.codec = self._open_codec()
        chip.options.append(given)

    def _open_codec(self) -> Any:
        name, options = ENCODERS[self.given["codec"]]
        codec = av.CodecContext.create(name, "w")
        codec.width, codec.height = self.size
        codec.pix_fmt = "nv12" if name == "libx264" else "yuv420p"
        codec.framerate = Fraction(self.given["fps"])
        codec.time_base = 1 / codec.framerate
        codec.gop_size, codec.max_b_frames = int(self.given["gop"]), 0
        if self.given["rc"] == "constqp":
            scale = 4 if name == "libsvtav1" else 1  # SVT counts quantisers to 63
            options = {**options, "qp": str(int(self.given["constqp"]) // scale)}
        elif name != "libsvtav1" and "bitrate" in self.given:  # SVT has no low delay with it
            codec.bit_rate = int(self.given["bitrate"])
        codec.options = options
        return codec

    def __del__(self) -> None:
        if self.opened:
            with self.chip.lock:
                self.chip.open -= 1
            self.chip.flushed.append(self.flushed)

    def Encode(self, frame: Any, picParams: Any = None) -> list[dict[str, Any]]:
        """Encode(self: PyNvEncoder, frame: object, picParams: NV_ENC_PIC_PARAMS) -> list

        Returns list of dicts, each with keys: 'data' (bytes), 'timestamp' (uint64), 'picture_type' (int).
        """
        assert not self.flushed, "nothing may follow EndEncode"
        assert isinstance(picParams, NV_ENC_PIC_PARAMS)
        number = picParams.inputTimeStamp
        assert number > self.last, f"frame {number} after frame {self.last}"
        if number == self.chip.fail_at:
            raise failure("EncodeFrame", 20, "nvEncEncodePicture API failed")
        self.last = number
        if not hasattr(frame, "cuda"):
            raise failure("Encode", 8, "incorrect usage of CPU input buffer")
        address = self._address(frame.cuda())
        self.waiting.append((number, address, self._checksum(address)))
        return self._next() if len(self.waiting) >= SURFACES else []

    def EndEncode(self) -> list[dict[str, Any]]:
        assert not self.flushed, "flushed twice"
        self.flushed = True
        packets = []
        while self.waiting:
            packets += self._next()
        return packets + self._packets(self.codec.encode(None))

    def _address(self, planes: Any) -> int:
        width, height = self.size
        wanted = [(height, width, 1), (height // 2, width // 2, 2)]
        places = []
        for plane, shape in zip(planes, wanted, strict=True):
            about = plane.__cuda_array_interface__
            if about["typestr"] != "|u1":
                raise RuntimeError(f"Could not encode CUDA array! Invalid typstr: {about['typestr']}")
            if tuple(about["shape"]) != shape:
                raise RuntimeError(f"Invalid shape: {list(about['shape'])}, expected: {list(shape)}")
            strides = (shape[1] * shape[2], shape[2], 1)
            if tuple(about["strides"] or strides) != strides:
                raise RuntimeError(f"Invalid strides: {list(about['strides'])}, expected: {list(strides)}")
            places.append(about["data"][0])
        if places[1] != places[0] + width * height:
            raise failure("GetEncoderInput", 8, "Unsupported surface allocation. u plane must follow yplane.")
        return int(places[0])

    def _pixels(self, address: int) -> np.ndarray[Any, Any]:
        width, height = self.size
        size = width * height * 3 // 2
        assert self.chip.device.holds(address, size), "this is not the device's memory, or was given back"
        return np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8).reshape(-1, width)

    def _checksum(self, address: int) -> int:
        return zlib.crc32(self._pixels(address))

    def _next(self) -> list[dict[str, Any]]:
        number, address, checksum = self.waiting.popleft()
        assert self._checksum(address) == checksum, f"frame {number} was overwritten before it was read"
        frame = av.VideoFrame.from_ndarray(self._pixels(address), "nv12")
        if self.codec.pix_fmt != "nv12":
            frame = frame.reformat(format=self.codec.pix_fmt)
        frame.pts, frame.time_base = number, self.codec.time_base
        return self._packets(self.codec.encode(frame))

    @staticmethod
    def _packets(packets: Any) -> list[dict[str, Any]]:
        return [
            {"data": bytes(p), "timestamp": p.pts, "picture_type": contract.IDR if p.is_keyframe else 0}
            for p in packets
        ]
