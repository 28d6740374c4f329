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
from typing import Any

import numpy as np

from dualface.graph.errors import DeviceError, InputError
from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Source
from dualface.hw.cuda import context_of, stream_of
from dualface.nodes.decode.ending import broken_off
from dualface.nodes.decode.feed import feed
from dualface.nodes.decode.probe import UNDECODABLE
from dualface.nodes.decode.reader import Reader
from dualface.nodes.decode.resume import CHANGED, NOWHERE, CatchUp, Place
from dualface.nodes.decode.surfaces import Copy
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

    takes_over = frozenset({"decode/pyav"})

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
        self.pool: DevicePool | None = None
        self.lost, self.told = 0, False  # pictures that did not come before a restart; the end was told then
        self._start()
        self.decoder, self.own = self._decoder()
        self.copy = Copy(context.job, self.device.gpu, self.nvc.Pixel_Format.P016, self.own)
        buffers = context.held + AHEAD
        self.pool = DevicePool(self.device, self.height, self.width, context.batch, buffers, self.own)
        context.count("vram_mb", self.pool.total_mb)
        self.timeline = Timeline(self.video.time_base, self.video.frame_rate)
        self.total = 0
        self.shown = NOWHERE, NOWHERE  # pts of the last two pictures
        self.given: Snapshot = {}

    def _start(self, known: int = 0, start: int = 0, catch_up: CatchUp | None = None) -> None:
        """Open the input; its packets are decoded from number ``start`` on."""
        self.reader: Reader | None = Reader(self.context.job, known)
        self.catch_up = catch_up
        self.newest = 0
        self.fed: Counter[int] = Counter()  # pts of pictures that have not come out
        self.came: deque[int] = deque(maxlen=32)  # and of the last that have
        # Whole batches, with the timeline behind each and the pts of its last two pictures.
        self.ready: deque[tuple[Any, list[int], Snapshot, tuple[int, int]]] = deque()
        self.batch: Any = None
        self.filled: list[int] = []  # pts of the pictures in `batch`
        self.coded = feed(self.reader.stream, self._packets(self.reader, start))
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
        assert self.reader is not None
        frames: Frames[NV12, Cuda] = Frames(data[: len(pts)], np.array(pts, np.int64), self.video, first)
        return Decoded(frames, Source(self.reader.media, self.reader.take()))

    def close(self) -> None:
        self.coded = iter(())
        self.ready = deque()
        if getattr(self, "ended", False) and not self.fed.total():
            self.device.spare[SPARE] = self._like(), self.decoder, self.own
        self.batch = self.decoder = self.reader = None
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
        assert self.reader is not None
        if self.catch_up is not None and self.catch_up.missed(self.reader.count):
            self._from_the_first(self.catch_up.place)
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
            self._end(self.reader)

    def _end(self, reader: Reader) -> None:
        if self.catch_up is not None and not self.context.stopping():
            if self.catch_up.counting:
                raise InputError(f"{self.context.job.input}: {CHANGED}")
            self._from_the_first(self.catch_up.place)
            return
        self.ended = True
        self._close_batch()
        if self.told:
            return
        if lost := self.lost + self.fed.total():
            self.context.count("damaged", lost)
            self._emit("warning", f"{lost} pictures did not decode")
        self._tell_end(reader)

    def _from_the_first(self, place: Place) -> None:
        """Decode everything again, up to the last picture that was given."""
        self.decoder, self.lost = None, 0  # its session ends before a new one begins
        self._start(place.packets, catch_up=CatchUp(place, counting=True))
        self.decoder = self._session(context_of(self.device.gpu), self.own)

    def snapshot(self) -> Snapshot:
        if not self.total:
            return {}
        ended = self.ended and not self.ready
        place = Place.of(self.total, self.reader, self.shown, 0, ended)
        lost = self.lost + sum(count for pts, count in self.fed.items() if pts <= place.last)
        return {**self.given, "place": place.array(), "lost": np.array([lost, self.ended], np.int64)}

    def restore(self, snapshot: Snapshot) -> None:
        if not snapshot:
            return
        place = Place.read(snapshot["place"])
        self.given, self.shown = {"timeline": snapshot["timeline"]}, (place.before, place.last)
        self.timeline.restore(snapshot)
        self.total = place.pictures
        lost, self.told = snapshot["lost"].tolist() if "lost" in snapshot else (0, place.ended)
        if place.ended:
            self._start(place.packets, sys.maxsize)
        elif place.start:
            self._start(place.packets, place.start, CatchUp(place))
            self.lost = lost
        else:
            self._start(place.packets, catch_up=CatchUp(place, counting=True))

    def _tell_end(self, reader: Reader) -> None:
        if self.timeline.last is None or self.context.stopping():
            return
        base = self.video.time_base
        length = reader.media.last_length or self.timeline.step * base
        came = (self.timeline.last - (reader.stream.start_time or 0)) * base + length
        if told := broken_off(self.context.job.input, reader.media, float(came), reader.expected):
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
            self.copy(surface, self.batch[len(self.filled)])
            self.filled.append(self.timeline.place(pts))
            if len(self.filled) == self.context.batch:
                self._close_batch()

    def _catch_up(self, catch_up: CatchUp, pts: int) -> None:
        """Pass over a picture that was given before."""
        if not catch_up.reached(pts):
            return
        self.catch_up = None
        if (
            not catch_up.counting
        ):  # those before it that did not come were counted, or look at what was left out
            self.fed = Counter({later: count for later, count in self.fed.items() if later > pts})

    def _close_batch(self) -> None:
        if self.filled:
            written = self.cuda.Event(disable_timing=True)
            written.record(self.own)
            stream_of(self.device).wait_event(written)
            shown = (NOWHERE, *self.came)[-2], self.came[-1]
            self.ready.append((self.batch, self.filled, self.timeline.snapshot(), shown))
        self.batch, self.filled = None, []

    def _packets(self, reader: Reader, start: int) -> Iterator[Any]:
        for packet in reader.read(start):
            if self.context.stopping():
                return
            if packet is None and reader.news:
                self._emit("warning", f"reading stopped: the file is damaged there ({reader.damage})")
            if packet is not None and packet.size:
                yield packet

    def _emit(self, kind: str, message: str) -> None:
        self.context.emit(Event(kind, message, self.context.name, self.total))


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def _first_line(error: Exception) -> str:
    lines = [line.split(":", 1)[-1].strip() for line in str(error).splitlines() if line.strip()]
    return lines[-2] if len(lines) > 2 else str(error)
