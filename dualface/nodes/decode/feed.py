"""What an NVDEC parser is fed: the packets of a video stream in Annex B, some at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import av

FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """``data`` of consecutive pictures, and the ``pts`` (``None`` where unknown) of each."""

    data: bytes
    pts: tuple[int | None, ...]


class Feed:
    """Turns packets into chunks of ``size`` pictures.

    One call of the decoder costs the interpreter lock twice, whatever it is fed; so it is fed some
    pictures at a time.
    """

    def __init__(self, stream: Any, size: int) -> None:
        name = stream.codec_context.codec.canonical_name
        chosen = FILTERS.get(name)
        self._filter = av.bitstream.BitStreamFilterContext(chosen, stream) if chosen else None
        self._size = size

    def chunks(self, packets: Iterable[Any]) -> Iterator[Chunk]:
        """The chunks of ``packets``, the last one shorter; ``packets`` are PyAV's, in order."""
        data: list[bytes] = []
        pts: list[int | None] = []
        for packet in packets:
            for whole in self._filter.filter(packet) if self._filter else (packet,):
                data.append(bytes(whole))
                pts.append(whole.pts)
            if len(pts) >= self._size:
                yield Chunk(b"".join(data), tuple(pts))
                data, pts = [], []
        if pts:
            yield Chunk(b"".join(data), tuple(pts))
