"""What an NVDEC parser is fed: the packets of a video stream, those of H.264 and HEVC in Annex B."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import av

FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}


def feed(stream: Any, packets: Iterable[Any]) -> Iterator[tuple[bytes, int | None]]:
    """The data and the pts (``None`` where unknown) of each of ``packets``, PyAV's of ``stream``; no
    data where a packet is damaged."""
    chosen = FILTERS.get(stream.codec_context.codec.canonical_name)
    bitstream = av.bitstream.BitStreamFilterContext(chosen, stream) if chosen else None
    for packet in packets:
        pts = packet.pts
        try:
            parts = bitstream.filter(packet) if bitstream else (packet,)
        except av.error.FFmpegError:
            yield b"", pts
            continue
        for part in parts:
            yield bytes(part), part.pts
