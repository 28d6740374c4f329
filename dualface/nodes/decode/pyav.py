"""decode/pyav: any file that FFmpeg can read, as NV12 in the host's memory."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Frames, Memory, Source, Video
from dualface.nodes.buffers import FramePool, Pixels
from dualface.nodes.clock import clock
from dualface.nodes.decode.about import told_of
from dualface.nodes.decode.ending import broken_off
from dualface.nodes.decode.limits import check_failed, check_picture, for_decoding
from dualface.nodes.decode.missing import Missing
from dualface.nodes.decode.pixels import ToNv12
from dualface.nodes.decode.probe import UNDECODABLE, video_of
from dualface.nodes.decode.reader import Reader
from dualface.nodes.decode.resume import CHANGED, NOWHERE, CatchUp, Place, checksum
from dualface.nodes.decode.shape import Fitted, Shape, Shapes
from dualface.nodes.decode.timeline import Timeline
from dualface.nodes.packed import pack, unpack
from dualface.nodes.roles import Decoded

if TYPE_CHECKING:
    from dualface.nodes.decode.isolated import Isolated


@dataclass
class PyavConfig(NodeConfig):
    """Software decoding with FFmpeg."""

    isolate: bool = False  # decode in a process of its own: what crashes, hangs or eats memory fails one job
    isolate_mb: int = 8192  # MiB that this process may take
    isolate_seconds: float = 60.0  # for a batch, after which it is given up

    def __post_init__(self) -> None:
        if self.isolate_mb < 256:
            raise ValueError("isolate_mb: less than 256 MiB is not enough for any video")
        if not self.isolate_seconds > 0:
            raise ValueError("isolate_seconds: it must be more than 0")


@node("decode/pyav", rank=50)
class PyavDecode(Node[PyavConfig]):
    """Reads pictures, and everything else in the file as packets to be copied.

    A batch goes out when the picture after it is known, so that packets behind the last picture
    still travel with the last batch.
    """

    apart: Isolated | None = None  # what does it all in its place, with isolate=true
    takes_over = frozenset({"decode/nvdec"})

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=1.0)

    @staticmethod
    def state(config: Any) -> State:
        return Unbounded()

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        if config.isolate and os.name != "posix":
            return (f"{job.input}: isolate=true needs Linux or macOS; leave it out here",)
        return ()

    def open(self, context: Context) -> None:
        self.context = context
        if self.config.isolate:
            from dualface.nodes.decode.isolated import Isolated

            self.apart = Isolated(context, self.config.isolate_mb, self.config.isolate_seconds)
            return
        self.name = context.job.input
        self._open_input()
        self.ahead: Any = None
        self.others: dict[Shape, Fitted] = {}
        self.total = 0
        self.shown = NOWHERE, NOWHERE  # pts of the last two pictures
        self.sum = 0  # of the last picture
        self.searching = False  # for the last picture that was given before; nothing is told meanwhile
        self.missing = Missing()
        self.damaged = 0
        self.corrupt: deque[bool] = deque(maxlen=4)  # of the last pictures
        self.frames: Iterator[Any] = self._frames()

    def _open_input(self, known: int = 0) -> None:
        self.reader: Reader | None = (reader := Reader(self.context.job, known))
        self._begins, codec = reader.begin, reader.stream.codec_context
        codec.thread_count = max(1, self.context.threads)
        codec.thread_type = "AUTO"
        codec.options.update(for_decoding(self.context.job.limits))

    def process(self) -> Decoded[NV12, Cpu] | None:
        if self.apart is not None:
            return self.apart.process()
        frame = self.ahead if self.ahead is not None else next(self.frames, None)
        self.ahead = None
        if frame is None:
            if self.total == 0:
                raise InputError(f"{self.name}: {UNDECODABLE}")
            return None
        if self.total == 0:
            self._begin(frame)
        data, pts = self.pool.take(self.context.batch), np.empty(self.context.batch, np.int64)
        n = 0
        while frame is not None and n < self.context.batch:
            pts[n] = self.timeline.place(frame.pts, frame.dts)
            self._write(frame, data[n])
            self.shown = self.shown[1], NOWHERE if frame.pts is None else frame.pts
            n += 1
            frame = next(self.frames, None)
        self.ahead, self.sum = frame, checksum(data[n - 1])
        first, self.total = self.total, self.total + n
        assert self.reader is not None
        packets = self.reader.take()
        if frame is None:
            self._end(self.reader)
        return Decoded(Frames(data[:n], pts[:n], self.video, first), Source(self.reader.media, packets))

    def close(self) -> None:
        if self.apart is not None:
            self.apart.close()
            return
        # The input itself closes when the last holder of Media lets go.
        self.frames = iter(())
        self.ahead = self.reader = None

    def snapshot(self) -> Snapshot:
        if self.apart is not None:
            return self.apart.snapshot()
        if not self.total:
            return {}
        assert self.reader is not None
        others = [shape.numbers() for shape in self.others]
        return {
            **self.packed,
            **self.timeline.snapshot(),
            **self.shapes.snapshot(),
            "place": Place.of(self.total, self.reader, self.shown, self.sum, self.ahead is None).array(),
            "others": np.array(others, np.int64).reshape(-1, 5),
            "damaged": np.array([self.damaged, *self.corrupt], np.int64),
        }

    def restore(self, snapshot: Snapshot) -> None:
        if not snapshot:
            return
        if self.apart is not None:
            self.apart.restore(snapshot)
            return
        place = Place.read(snapshot["place"])
        self._open_input(place.packets)
        self.total, self.sum, self.shown = place.pictures, place.sum, (place.before, place.last)
        ours = "video" in snapshot
        self._settle(unpack(snapshot) if ours else self.context.job.video)
        self.timeline.restore(snapshot)
        if ours:
            self.shapes.restore(snapshot)
            for numbers in snapshot["others"].tolist():
                self._fitted(Shape.of(numbers))
            self.damaged, *corrupt = snapshot["damaged"].tolist()
            self.corrupt.extend(map(bool, corrupt))
        self.frames = self._again(place)

    def _again(self, place: Place) -> Iterator[Any]:
        """The pictures after those that were given."""
        if place.ended:
            yield from self._frames(sys.maxsize)
            return
        assert self.reader is not None
        if place.start:
            catch_up, frames = CatchUp(place), self._frames(place.start)
            self.searching = True
            for frame in frames:
                came = catch_up.reached(NOWHERE if frame.pts is None else frame.pts)
                if came and place.sum in (0, self._sum(frame)):
                    del frame
                    self.searching = False
                    yield from frames
                    return
                if catch_up.missed(self.reader.count):
                    break
            frames.close()
            self.searching = False
            if self.context.stopping():
                return
            self._open_input(place.packets)
            self.shapes.watch(self.reader.stream)
        frames = self._frames()
        again = sum(1 for _ in islice(frames, place.pictures))
        if again < place.pictures and not self.context.stopping():
            raise InputError(f"{self.name}: {CHANGED}")
        yield from frames

    def _frames(self, start: int = 0) -> Generator[Any, None, None]:
        """Pictures in order; those of packets before number ``start`` are left out."""
        reader = self.reader
        missing = self.missing = Missing()
        last: Any = None
        assert reader is not None
        for packet in reader.read(start):
            if self.context.stopping():
                return
            if packet is None and self._new(reader):
                why = f"the file is damaged there ({reader.damage})"
                self._emit("warning", f"reading stopped at {self._now()}: {why}")
            if packet is not None and not packet.is_discard:
                missing.sent(packet.pts)
            for frame in self._decode(reader, packet):
                for pts in missing.came(frame.pts) if last is not None else ():
                    last.pts = pts  # who had it before has done with it
                    self._repeats(reader)
                    yield last
                last = frame
                yield frame

    def _sum(self, frame: Any) -> int:
        """The checksum of a picture that has the shape of the last one given."""
        (target,), shape = self.pool.take(1), self.shapes.last
        (self.convert if shape == self.shapes.first else self._fitted(shape)).write(frame, target)
        return checksum(target)

    def _decode(self, reader: Reader, packet: Any) -> list[Any]:
        try:
            frames = packet.decode() if packet is not None else reader.stream.codec_context.decode(None)
        except av.error.FFmpegError as error:
            codec, begun = reader.stream.codec_context, self.total > 0
            check_failed(self.name, codec, error, self.context.job.limits, begun=begun)
            if isinstance(error, av.error.EOFError):
                return []
            self.missing.failed()
            if self._new(reader):
                self._damage(error.strerror or "invalid data")
            return []
        for frame in frames if self._new(reader) else ():
            self.corrupt.append(frame.is_corrupt)
            if frame.is_corrupt:
                self._damage("parts of a picture are missing")
        return list(frames)

    def _new(self, reader: Reader) -> bool:
        return reader.news and not self.searching

    def _damage(self, reason: str) -> None:
        self.damaged += 1
        self.context.count("damaged", 1)
        if self.damaged == 1:
            where = f"a picture near {self._now()} is damaged ({reason})"
            self._emit("warning", f"{where}; going on with what decodes, the picture before in its place")

    def _repeats(self, reader: Reader) -> None:
        if self._new(reader):
            self.context.count("repeated", 1)

    def _begin(self, frame: Any) -> None:
        """Settle what stays the same, and tell what the user should know about the source."""
        assert self.reader is not None
        self._settle(video_of(self.reader.stream, frame))
        for kind, sentence in told_of(frame, self.video):
            self._emit(kind, sentence)

    def _settle(self, video: Video) -> None:
        """Get ready for pictures that begin with one of ``video``."""
        assert self.reader is not None
        self.video, self.packed = video, pack(video)
        self.timeline = Timeline(video.time_base, video.frame_rate)
        self.convert = ToNv12(video, max(1, self.context.threads))
        self.shapes = Shapes(video, self.reader.stream)
        self.pool = FramePool(self.convert.even_height, self.convert.even_width, self.context.batch)

    def _write(self, frame: Any, target: Pixels) -> None:
        before, shape = self.shapes.last, self.shapes.of(frame)
        if shape == self.shapes.first:
            self.convert.write(frame, target)
            return
        if shape not in self.others:
            check_picture(self.name, frame, self.context.job.limits)
            done = f"fitted into the first size{' with bars' if self._fitted(shape).bars else ''}"
            self._emit(
                "notice", f"at {self._now()} the pictures change from {before} to {shape}; they are {done}"
            )
        self._fitted(shape).write(frame, target)

    def _fitted(self, shape: Shape) -> Fitted:
        if shape not in self.others:
            self.others[shape] = Fitted(shape, self.video, max(1, self.context.threads))
        return self.others[shape]

    def _end(self, reader: Reader) -> None:
        if self.timeline.repaired:
            count = self.timeline.repaired
            self._emit("notice", f"{count} pictures had no usable timestamp and were given one")
        if self.damaged > 1:
            self._emit("warning", f"{self.damaged} pictures were damaged")
        first = float((reader.stream.start_time or 0) * self.video.time_base)
        length = reader.media.last_length or self.timeline.step * self.video.time_base
        came = self._seconds() - first + float(length)
        if self.context.stopping():
            return
        if told := broken_off(self.name, reader.media, came, reader.expected, any(self.corrupt)):
            self._emit("warning", told)

    def _seconds(self) -> float:
        if self.total == 0 and not hasattr(self, "timeline"):
            return self._begins
        return float((self.timeline.last or 0) * self.video.time_base)

    def _now(self) -> str:
        """As players count: from the beginning of the file, which in a broadcast is not 0."""
        return clock(self._seconds() - self._begins)

    def _emit(self, kind: str, message: str) -> None:
        self.context.emit(Event(kind, message, self.context.name, self.total))
