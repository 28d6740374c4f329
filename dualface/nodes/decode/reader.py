"""An input that is being read: packets of the pictures one by one, all others put aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av

from dualface.graph.job import Job
from dualface.nodes.decode.probe import duration, video_stream
from dualface.nodes.decode.resume import Keys
from dualface.nodes.decode.source import open_input
from dualface.nodes.decode.streams import Media


class Reader:
    """The input of ``job``, opened. Raises `InputError`.

    ``expected`` is how long its pictures last in seconds, ``begin`` when it begins. ``count`` has the
    packets of the pictures so far, FFmpeg's empty last one included; of the first ``known`` all was
    told before, and the ``aside`` packets among them were given.
    """

    def __init__(self, job: Job, known: int = 0) -> None:
        container = open_input(job.input, job.protocols, job.limits)
        try:
            self.stream = video_stream(container, job.input)
            self.media = Media(container, self.stream)
            self.expected = duration(container, self.stream)
        except BaseException:
            container.close()
            raise
        self.begin = max(0, container.start_time or 0) / av.time_base
        self.known, self.count = known, 0
        self.keys = Keys()
        self.aside: list[Any] = []
        self.damage = ""  # why reading stopped, if it did before the end

    @property
    def news(self) -> bool:
        """Whether what comes of the last packet was never told."""
        return self.count > self.known

    def take(self) -> tuple[Any, ...]:
        """The packets of other streams that came since the last time."""
        packets = tuple(self.aside)
        self.aside.clear()
        return packets

    def read(self, start: int = 0) -> Iterator[Any]:
        """The packets of the pictures from number ``start`` on, the last one empty, or ``None`` where
        the file is damaged so that no more can be read."""
        try:
            for packet in self.media.read(self.stream, self.aside):
                self._count()
                if packet.is_keyframe and packet.pts is not None:
                    self.keys.note(self.count, packet.pts)
                if self.count >= start:
                    yield packet
        except av.error.FFmpegError as error:
            self.damage = error.strerror or "invalid data"
            self._count()
            if self.count >= start:
                yield None

    def _count(self) -> None:
        self.count += 1
        if not self.news:
            self.aside.clear()
