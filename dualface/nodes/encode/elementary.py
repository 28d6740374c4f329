"""Coded pictures without a container, made into a stream of the output.

An encoder in hardware gives H.264 and HEVC in Annex B with the parameter sets in band, or AV1 in OBUs,
and says nothing of colour. Here they get their colour and pixel aspect, and the parameter sets move to
where containers have them (avcC, hvcC, av1C).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from dualface.graph.errors import InputError
from dualface.graph.types import Video
from dualface.nodes.decode.color import MATRIX, PRIMARIES, TRANSFER, number

RAW = {"h264": "h264", "hevc": "hevc", "av1": "obu"}  # FFmpeg's name of a file of nothing but the codec


class Elementary:
    """A video stream of ``container``, made from its ``first`` packet (a key picture with headers).

    ``video`` gives what the stream is to say. Packets go through `packet`, in order. Raises
    `InputError` where the codec cannot say it.
    """

    def __init__(self, container: Any, codec: str, first: bytes, video: Video) -> None:
        if codec == "av1" and (video.rotation or video.pixel_aspect != 1):
            what = (
                f"turned by {video.rotation} degrees" if video.rotation else f"of {video.pixel_aspect} pixels"
            )
            raise InputError(f"pictures that are shown {what} cannot be written as av1; h264 and hevc can")
        says = metadata(codec, video)
        with av.open(io.BytesIO(_filtered(says, codec, first)), format=RAW[codec]) as raw:
            source = raw.streams.video[0]
            self.profile = str(source.profile or "")
            if codec == "av1":
                # There is no encoder's context to make a template of.
                self.stream = container.add_mux_stream(codec, rate=video.frame_rate)
                BitStreamFilterContext("null", source, self.stream)  # copies what the headers say
            else:
                self.stream = container.add_stream_from_template(source)
            # Headers are in the container now. (Its muxers take them out of AV1 by themselves.)
            strip = [] if codec == "av1" else ["extract_extradata=remove=1"]
            self._filter = BitStreamFilterContext(",".join([*says, *strip]) or "null", source)
        self.stream.time_base = video.time_base
        self._base = video.time_base

    def packet(self, data: bytes, pts: int, key: bool) -> Iterator[Any]:
        """Packets to write for one picture, shown at ``pts`` and decoded in the order of showing."""
        packet = av.Packet(data)
        packet.pts = packet.dts = pts
        packet.time_base, packet.is_keyframe = self._base, key
        for ready in self._filter.filter(packet):
            ready.stream, ready.time_base = self.stream, self._base
            yield ready


def metadata(codec: str, video: Video) -> list[str]:
    """The bitstream filter that writes what is known of colour and aspect; empty if nothing is.

    >>> from fractions import Fraction
    >>> from dualface.graph.types import Color
    >>> film = Video(64, 48, Fraction(1, 30), pixel_aspect=Fraction(4, 3), color=Color("tv", "bt709"))
    >>> metadata("h264", film)
    ['h264_metadata=matrix_coefficients=1:video_full_range_flag=0:sample_aspect_ratio=4/3']
    >>> metadata("av1", Video(64, 48, Fraction(1, 30), color=Color("pc", None, None, "bt2020")))
    ['av1_metadata=color_primaries=9:color_range=pc']
    >>> metadata("hevc", Video(64, 48, Fraction(1, 30)))
    []
    """
    color, av1 = video.color, codec == "av1"
    says: dict[str, object] = {}
    if color.primaries:
        says["color_primaries" if av1 else "colour_primaries"] = number(PRIMARIES, color.primaries)
    if color.transfer:
        says["transfer_characteristics"] = number(TRANSFER, color.transfer)
    if color.matrix:
        says["matrix_coefficients"] = number(MATRIX, color.matrix)
    if color.range and av1:
        says["color_range"] = color.range
    elif color.range:
        says["video_full_range_flag"] = int(color.range == "pc")
    if video.pixel_aspect != 1:
        says["sample_aspect_ratio"] = video.pixel_aspect
    return [f"{codec}_metadata=" + ":".join(f"{k}={v}" for k, v in says.items())] if says else []


def _filtered(says: list[str], codec: str, data: bytes) -> bytes:
    if not says:
        return data
    packets = BitStreamFilterContext(says[0], codec).filter(av.Packet(data))
    return b"".join(bytes(packet) for packet in packets)
