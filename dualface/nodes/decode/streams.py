"""What goes from input to output beside the pictures."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from dualface.nodes.decode.probe import codec_name


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

    __slots__ = ("__weakref__", "chapters", "container", "metadata", "tracks", "video_index")

    def __init__(self, container: Any, video: Any) -> None:
        self.container = container
        self.video_index: int = video.index
        self.tracks = tuple(
            Track(s.index, s.type, codec_name(s), s)
            for s in container.streams
            if s.type in ("audio", "subtitle", "data", "attachment")
        )
        self.metadata: dict[str, str] = dict(container.metadata)
        self.chapters: list[Any] = container.chapters()
        weakref.finalize(self, container.close)
