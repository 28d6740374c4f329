"""What all nodes that write a video file have in common: the file's life, and what it is told about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Node, NodeConfig, Snapshot
from dualface.graph.types import Source, Video
from dualface.nodes.encode.assemble import assemble
from dualface.nodes.encode.disk import claim, writing
from dualface.nodes.encode.mux import Output, check_output
from dualface.nodes.encode.segments import Segment, Segments


@dataclass
class WrittenConfig(NodeConfig):
    """Options of every node that writes a video file."""

    audio: Literal["copy", "none"] = "copy"  # copy every sound track bit for bit, or leave sound out


C = TypeVar("C", bound=WrittenConfig)


class Written(Node[C], ABC, Generic[C]):
    """A node that writes the job's output; it appears only if the whole job succeeds.

    Until then the film is in segments in the node's workspace: a `snapshot` ends one, and what comes
    after it is encoded as if nothing had been before. So whoever goes on from a snapshot makes the very
    segments that an uninterrupted run makes. `finish` puts them together.

    A subclass calls `take` with each batch and writes the pictures to the segment that it gets; `flush`
    does so with what its encoder still holds, and closes the encoder.
    """

    turned = 0  # by how many degrees clockwise players are to turn the pictures

    @staticmethod
    def writes(config: Any, job: Job) -> tuple[Path, ...]:
        return (job.output,)

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        return check_output(job, config.audio == "copy")

    def open(self, context: Context) -> None:
        self.context, self.final = context, context.job.output
        self.target = context.write_as(self.final)
        with writing(self.final):  # or it would be told after all the work
            claim(self.target)
        self.segments = Segments(context.workspace(), self.final)
        self.segment: Segment | None = None
        self.video: Video | None = None
        self.media: Any = None

    def take(self, video: Video, source: Source) -> Segment:
        """The segment under way, which has got what is to be copied from ``source``."""
        if self.media is None:
            self.video, self.media = video, source.media
            if not self.segments.count:
                self._rehearse(video)
        if self.segment is None:
            self.segment = self.segments.begin()
        sound = self.config.audio == "copy"
        self.segment.copy(p for p in source.packets if sound or p.stream.type != "audio")
        return self.segment

    @abstractmethod
    def flush(self, segment: Segment) -> None:
        """Write what the encoder still holds to ``segment``, and close the encoder."""

    def snapshot(self) -> Snapshot:
        self._end_segment()
        return {"segments": np.array(self.segments.count)}

    def restore(self, snapshot: Snapshot) -> None:
        self.segments.restore(int(snapshot["segments"]))

    def finish(self) -> Iterator[None]:
        self._end_segment()
        if self.segments.count and self.video is not None:
            output = Output(self.target, self.final, self.notice)
            try:
                assemble(
                    output, self.segments, self.media, self.video, turned=self.turned,
                    audio=self.config.audio == "copy", stopping=self.context.stopping,
                )  # fmt: skip
                if not self.context.stopping():
                    output.finish()
            finally:
                output.abandon()
        return iter(())

    def close(self) -> None:
        segment, self.segment = getattr(self, "segment", None), None
        self.media = None
        if segment is not None:
            segment.abandon()

    def notice(self, message: str) -> None:
        self.context.emit(Event("notice", message, self.context.name))

    def _end_segment(self) -> None:
        if self.segment is not None:
            self.flush(self.segment)
            self.segments.end(self.segment)
            self.segment = None

    def _rehearse(self, video: Video) -> None:
        """Tell at the beginning what the end would: what cannot be written, or is left out."""
        output = Output(None, self.final, self.notice)
        try:
            if told := output.rehearse(video, self.media, self.config.audio == "copy"):
                self.notice(told)
        finally:
            output.abandon()
