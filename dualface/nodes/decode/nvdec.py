"""decode/nvdec: video on the GPU's decoder, as NV12 in its memory.

PyAV reads the file, so that sound and timestamps are those of decode/pyav. The decoder's surfaces are
its own and are used again with its next call; they are copied into our batches on the decoder's stream,
so that the copy is done before a surface changes. That stream is not the slot's, because each call waits
for all that is on it. Packets are fed one by one with their times, which come back with the pictures:
one that does not decode takes no other's time.
"""

from __future__ import annotations

import ctypes
import sys
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from dualface.graph.errors import DeviceError, InputError
from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Source
from dualface.hw.cuda import context_of, stream_of
from dualface.kernels import kernel
from dualface.nodes.decode.ending import broken_off
from dualface.nodes.decode.feed import feed
from dualface.nodes.decode.probe import UNDECODABLE, duration, video_stream
from dualface.nodes.decode.resume import CHANGED, NOWHERE, CatchUp, Keys, Place
from dualface.nodes.decode.source import open_input
from dualface.nodes.decode.streams import Media
from dualface.nodes.decode.timeline import Timeline
from dualface.nodes.device_buffers import DevicePool
from dualface.nodes.roles import Decoded

CODECS = {"h264": "H264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1"}
FORMATS = {"yuv420p": 8, "yuvj420p": 8, "nv12": 8, "yuv420p10le": 10, "p010le": 10}
AHEAD = 3  # batches that wait here: one to be given, one behind it, one in the making
LATER = 1 << 40  # added to times on their way through the decoder, which may take a negative one for none
SPARE = "decode/nvdec"  # where a decoder waits for the slot's next job
SURFACES_MB = 200  # the decoder's own for 1080p, as part of what docs/gpu.md measured


@dataclass
class NvdecConfig(NodeConfig):
    """Hardware decoding by NVDEC."""


@node("decode/nvdec", rank=10)
class Nvdec(Node[NvdecConfig]):
    """Decodes 4:2:0 video of 8 and 10 bits; 10 bits are rounded to 8."""

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(
            engine="nvdec",
            features=("nvdec", "cuda"),
            packages=("PyNvVideoCodec", "cupy", "av"),
            resources={"decode_sessions": 1},
            vram_mb=SURFACES_MB,
            threads=0.3,
        )

    @staticmethod
    def state(config: Any) -> State:
        return Unbounded()

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        if job.codec in CODECS and job.pixel_format in FORMATS:
            return ()
        what = f"{job.codec} video of format {job.pixel_format}"
        return (
            f"{job.input}: {what} is nothing that NVDEC decodes; node/decode@graph.nodes.decode=pyav does.",
        )

    def open(self, context: Context) -> None:
        import cupy
        import PyNvVideoCodec as nvc

        assert context.device is not None
        self.context, self.device, self.nvc, self.cuda = context, context.device, nvc, cupy.cuda
        self.video = context.job.video
        self.width, self.height = (v + v % 2 for v in (self.video.width, self.video.height))
        self.media: Media | None = None
        self.pool: DevicePool | None = None
        self.known, self.lost = 0, 0  # packets of which all is told; pictures lost before a restart
        self._start()
        self.decoder, self.own = self._decoder()
        self._narrow = kernel(Path(__file__).with_name("nvdec.cu"), "narrow", self.device.gpu)
        buffers = context.held + AHEAD
        self.pool = DevicePool(self.device, self.height, self.width, context.batch, buffers, self.own)
        context.count("vram_mb", self.pool.total_mb)
        self.timeline = Timeline(self.video.time_base, self.video.frame_rate)
        self.total = 0
        self.shown = NOWHERE, NOWHERE  # pts of the last two pictures
        self.given: Snapshot = {}

    def _start(self, start: int = 0, catch_up: CatchUp | None = None) -> None:
        """Open the input, whose packets are decoded from number ``start`` on."""
        self.catch_up = catch_up
        name = self.context.job.input
        container = open_input(name, self.context.job.protocols)
        try:
            self.stream = video_stream(container, name)
            self.media = Media(container, self.stream)
            self.expected = duration(container, self.stream)
        except BaseException:
            container.close()
            raise
        self.packets: list[Any] = []
        self.keys, self.read = Keys(), 0  # packets of the video so far, the empty last one included
        self.newest = 0
        self.fed: Counter[int] = Counter()  # pts of pictures that have not come out
        self.came: deque[int] = deque(maxlen=32)  # and of the last that have
        # Whole batches, with the timeline behind each and the pts of its last two pictures.
        self.ready: deque[tuple[Any, list[int], Snapshot, tuple[int, int]]] = deque()
        self.batch: Any = None
        self.filled: list[int] = []  # pts of the pictures in `batch`
        self.coded = feed(self.stream, self._packets(self.media, start))
        self.ended = False

    def process(self) -> Decoded[NV12, Cuda] | None:
        with self.cuda.Device(self.device.gpu):
            # One more than is given, so that packets behind the last picture still travel with it.
            while len(self.ready) < 2 and not self.ended:
                self._advance()
        if not self.ready:
            if self.total == 0:
                raise InputError(f"{self.context.job.input}: {UNDECODABLE}")
            return None
        data, pts, self.given, self.shown = self.ready.popleft()
        first, self.total = self.total, self.total + len(pts)
        packets = tuple(self.packets)
        self.packets.clear()
        assert self.media is not None
        frames: Frames[NV12, Cuda] = Frames(data[: len(pts)], np.array(pts, np.int64), self.video, first)
        return Decoded(frames, Source(self.media, packets))

    def close(self) -> None:
        self.coded = iter(())
        self.ready = deque()
        if getattr(self, "ended", False) and not self.fed.total():
            self.device.spare[SPARE] = self._like(), self.decoder, self.own
        self.batch = self.decoder = self.media = self.stream = None
        if self.pool is not None:
            self.pool.close()

    def _decoder(self) -> tuple[Any, Any]:
        """A decoder and its stream: those of the slot's last job where its video was of the same kind,
        which saves what a new session takes."""
        spare = self.device.spare.pop(SPARE, None)
        if spare is not None and spare[0] == self._like():
            return spare[1], spare[2]
        del spare  # its session ends before a new one begins
        primary = context_of(self.device.gpu)
        own = self.cuda.Stream(non_blocking=True)
        return self._session(primary, own), own

    def _session(self, primary: int, own: Any) -> Any:
        try:
            return self.nvc.CreateDecoder(
                gpuid=self.device.gpu,
                codec=getattr(self.nvc.cudaVideoCodec, CODECS[self._like()[0]]),
                cudacontext=primary,
                cudastream=own.ptr,
                usedevicememory=True,
            )
        except Exception as error:  # PyNvVideoCodec's own classes
            name = self.context.job.input
            raise DeviceError(f"{name}: NVDEC refused a session ({_first_line(error)})") from error

    def _like(self) -> tuple[str, str, int, int]:
        """What a decoder is made for."""
        job = self.context.job
        return job.codec, job.pixel_format, self.video.width, self.video.height

    def _advance(self) -> None:
        """Decode the next picture, or what is left at the end."""
        if self.catch_up is not None and self.catch_up.missed(self.read):
            self._from_the_first()
        coded = next(self.coded, None)
        packet = self.nvc.PacketData()
        if coded is not None:
            data, pts = coded  # `data` has to live until it is decoded
            self.newest = self.newest + self.timeline.step if pts is None else pts
            self.fed[self.newest] += 1
            if not data:
                return
            packet.bsl_data, packet.bsl, packet.pts = _address(data), len(data), self.newest + LATER
        try:
            surfaces = self.decoder.Decode(packet)
        except Exception as error:  # PyNvVideoCodec's own classes
            name = self.context.job.input
            raise DeviceError(f"{name}: NVDEC cannot decode this ({_first_line(error)})") from error
        self._keep(surfaces)
        if coded is None and not surfaces:
            self._finish()

    def _finish(self) -> None:
        stopping = self.context.stopping()
        if self.catch_up is not None and not stopping:
            if not self.catch_up.start:
                raise InputError(f"{self.context.job.input}: {CHANGED}")
            self._from_the_first()
            return
        self.ended = True
        self._close_batch()
        if self.read <= self.known and not stopping:
            return
        if lost := self.lost + self.fed.total():
            self.context.count("damaged", lost)
            self._emit("warning", f"{lost} pictures did not decode")
        self._tell_end()

    def _from_the_first(self) -> None:
        """Decode everything again, up to the last picture that was given."""
        assert self.catch_up is not None
        place, self.decoder = self.catch_up.place, None  # its session ends before a new one begins
        self._start(catch_up=CatchUp(place, 0))
        self.decoder = self._session(context_of(self.device.gpu), self.own)

    def snapshot(self) -> Snapshot:
        if not self.total:
            return {}
        before, last = self.shown
        start = self.keys.before(before) if NOWHERE < before < last else 0
        place = Place(self.total, self.read, start, before, last, 0, self.ended and not self.ready)
        lost = self.lost + sum(count for pts, count in self.fed.items() if pts <= last)
        return {**self.given, "place": place.array(), "lost": np.array(lost, np.int64)}

    def restore(self, snapshot: Snapshot) -> None:
        if not snapshot:
            return
        place = Place.read(snapshot["place"])
        self.given, self.shown = {"timeline": snapshot["timeline"]}, (place.before, place.last)
        self.timeline.restore(snapshot)
        self.total, self.known = place.pictures, place.packets
        if place.ended:
            self._start(sys.maxsize)
        else:
            self._start(place.start, CatchUp(place, place.start))
            self.lost = int(snapshot["lost"]) if place.start else 0  # else they are lost once more

    def _tell_end(self) -> None:
        assert self.media is not None
        if self.timeline.last is None or self.context.stopping():
            return
        base = self.video.time_base
        length = self.media.last_length or self.timeline.step * base
        came = (self.timeline.last - (self.stream.start_time or 0)) * base + length
        if told := broken_off(self.context.job.input, self.media, float(came), self.expected):
            self._emit("warning", told)

    def _keep(self, surfaces: list[Any]) -> None:
        for surface in surfaces:
            pts = surface.timestamp - LATER
            if pts not in self.fed and pts in self.came:
                continue  # made up by the decoder in place of one that was lost
            self.came.append(pts)
            if pts in self.fed:
                self.fed[pts] -= 1
                if not self.fed[pts]:
                    del self.fed[pts]
            if self.catch_up is not None:
                self._catch_up(self.catch_up, pts)
                continue
            if self.batch is None:
                assert self.pool is not None
                self.batch = self.pool.take(self.context.batch)
            self._copy(surface, self.batch[len(self.filled)])
            self.filled.append(self.timeline.place(pts))
            if len(self.filled) == self.context.batch:
                self._close_batch()

    def _catch_up(self, catch_up: CatchUp, pts: int) -> None:
        """Pass over a picture that was given before."""
        if not catch_up.reached(pts):
            return
        self.catch_up = None
        if catch_up.start:  # those before it that did not come were counted, or look at what was left out
            self.fed = Counter({later: count for later, count in self.fed.items() if later > pts})

    def _copy(self, surface: Any, out: Any) -> None:
        (rows, width), high = surface.shape[:2], self.video.height
        # Of an odd height PyNvVideoCodec says half a row less than there is.
        if (rows, width) != (high * 3 // 2, self.width):
            raise DeviceError(
                f"{self.context.job.input}: the pictures change from {self.width}x{high} to "
                f"{width}x{rows * 2 // 3}; node/decode@graph.nodes.decode=pyav can decode that"
            )
        wide = surface.format == self.nvc.Pixel_Format.P016
        pitch = surface.strides[0] * (2 if wide and surface.strides[1] == 1 else 1)  # in bytes
        source = surface.GetPtrToPlane(0)
        if high == self.height:
            self._copy_rows(source, pitch, wide, out)
        else:  # a row is missing between luma and chroma
            self._copy_rows(source, pitch, wide, out[:high])
            self._copy_rows(source + high * pitch, pitch, wide, out[self.height :])

    def _copy_rows(self, source: int, pitch: int, wide: bool, out: Any) -> None:
        rows, width = out.shape
        if wide:
            given = (np.uint64(source), np.int32(pitch), out.data.ptr, np.int32(width))
            self._narrow((-(-width // 256), rows, 1), (256, 1, 1), given, stream=self.own)
        else:
            runtime = self.cuda.runtime
            there = runtime.memcpyDeviceToDevice
            runtime.memcpy2DAsync(out.data.ptr, width, source, pitch, width, rows, there, self.own.ptr)

    def _close_batch(self) -> None:
        if self.filled:
            written = self.cuda.Event(disable_timing=True)
            written.record(self.own)
            stream_of(self.device).wait_event(written)
            shown = (NOWHERE, *self.came)[-2], self.came[-1]
            self.ready.append((self.batch, self.filled, self.timeline.snapshot(), shown))
        self.batch, self.filled = None, []

    def _packets(self, media: Media, start: int) -> Iterator[Any]:
        try:
            for packet in media.read(self.stream, self.packets):
                if self.context.stopping():
                    return
                self._count(packet)
                if packet.size and self.read >= start:
                    yield packet
        except av.error.FFmpegError as error:
            self._count(None)
            if self.read > self.known:
                self._emit("warning", f"reading stopped: the file is damaged there ({error.strerror})")

    def _count(self, packet: Any) -> None:
        self.read += 1
        if self.read <= self.known:
            self.packets.clear()  # given before
        if packet is not None and packet.is_keyframe and packet.pts is not None:
            self.keys.note(self.read, packet.pts)

    def _emit(self, kind: str, message: str) -> None:
        self.context.emit(Event(kind, message, self.context.name, self.total))


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _first_line(error: Exception) -> str:
    lines = [line.split(":", 1)[-1].strip() for line in str(error).splitlines() if line.strip()]
    return lines[-2] if len(lines) > 2 else str(error)
