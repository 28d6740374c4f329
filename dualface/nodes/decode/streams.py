"""What goes from input to output beside the pictures."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dualface.nodes.decode.probe import codec_name
from dualface.nodes.decode.source import packets


@dataclass(frozen=True, eq=False)
class Track:
    """A stream that may be copied: ``stream`` is PyAV's, a template for the output's."""

    index: int
    kind: str
    codec: str
    stream: Any

    def __str__(self) -> str:
        extras = [self.codec, *(v for k in ("language", "title") if (v := self.stream.metadata.get(k)))]
        return f"{self.kind} track {self.index} ({', '.join(extras)})"


class Media:
    """The streams, tags and chapters of an open input.

    The input stays open for as long as anyone holds this object, since an encoder reads the
    templates after the decoder may have finished; the last to let go closes it.
    """

    __slots__ = (
        "__weakref__",
        "_damaged",
        "_lengths",
        "_read",
        "_video",
        "chapters",
        "container",
        "metadata",
        "tracks",
        "video_index",
    )

    def __init__(self, container: Any, video: Any) -> None:
        self.container = container
        self.video_index: int = video.index
        self._video, self._read = video, 0
        self.tracks = tuple(
            Track(s.index, s.type, codec_name(s), s)
            for s in container.streams
            if s.type in ("audio", "subtitle", "data", "attachment")
        )
        self.metadata: dict[str, str] = dict(container.metadata)
        self.chapters: list[Any] = container.chapters()
        # Packets come in the order of decoding, which is never further from that of showing.
        self._lengths: deque[tuple[int, Fraction]] = deque(maxlen=16)
        self._damaged: deque[bool] = deque(maxlen=4)  # of the last packets of all kinds
        weakref.finalize(self, container.close)

    def read(self, video: Any, aside: list[Any]) -> Iterator[Any]:
        """The packets of the stream ``video`` in order, an empty one last; those of sound and
        subtitles are put ``aside`` on the way. Raises FFmpegError where the file is damaged."""
        wanted = [video, *(t.stream for t in self.tracks if t.kind in ("audio", "subtitle"))]
        for packet in packets(self.container, wanted):
            if packet.size:
                self._damaged.append(packet.is_corrupt)
            if packet.stream.index == video.index:
                self._read += bool(packet.size)
                if packet.pts is not None and packet.duration and not packet.is_discard:
                    self._lengths.append((packet.pts, packet.duration * packet.time_base))
                yield packet
            elif packet.size:
                aside.append(packet)

    @property
    def last_length(self) -> Fraction | None:
        """How long the last of the pictures that were read is shown, in seconds; ``None`` where
        the source does not say."""
        if not self._lengths:
            return None
        pts, length = max(self._lengths)
        video = self._video
        whole = video.duration and self._read == video.frames
        if whole and pts != self._lengths[-1][0] and "mp4" in self.container.format.name:
            # MP4's packets last until the next is decoded, which is not the next that is shown.
            left = (video.start_time or 0) + video.duration - pts
            length = left * video.time_base if left > 0 else length
        return length

    @property
    def ends_damaged(self) -> bool:
        """Whether FFmpeg found damage in the last packets that were read."""
        return any(self._damaged)
