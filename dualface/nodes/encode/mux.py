"""Writing a file: pictures from an encoder, everything else copied from the source."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.types import Video
from dualface.nodes.decode.source import ffmpeg_name
from dualface.nodes.decode.streams import Media, Track
from dualface.nodes.decode.timeline import Timeline
from dualface.nodes.encode.copied import Copied
from dualface.nodes.encode.disk import claim, writing

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # by the output's suffix
CHOICES = (".mp4", ".mov", ".mkv")  # in the order in which they are recommended
# Tags that describe the old file, not what it shows.
STALE = ("duration", "_statistics", "bps", "number_of_")
STALE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id"}
# Sound of Windows, which Matroska holds as A_MS/ACM; libavformat does, but does not say so.
ACM = {
    "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice",
    "adpcm_ms", "adpcm_ima_wav", "gsm_ms", "truespeech",
}  # fmt: skip
USUAL_RATE = Fraction(30)  # pictures a second where nobody says how many
RUN_IN = 0.1  # seconds; sound that is hidden for less is what its decoder needs to start, not cut off


@functools.cache
def holds(suffix: str) -> frozenset[str]:
    """FFmpeg's names of the codecs that a container of this suffix can hold, asked of libavformat."""
    with av.open(io.BytesIO(), "w", format=FORMATS[suffix]) as empty:
        told = frozenset(av.Codec(name).canonical_name for name in _known(empty.supported_codecs))
    return told | ACM if suffix == ".mkv" else told


def _known(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        with contextlib.suppress(Exception):  # an encoder without a decoder is asked for as one
            av.Codec(name)
            yield name


# What the muxer says of a packet that makes no sense.
DAMAGED = (av.error.InvalidDataError, av.error.PatchWelcomeError)
# What FFmpeg takes for so many channels when nobody says more.
USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def holders(codec: str) -> str:
    """The suffixes whose containers can hold a codec, as words; ``""`` where none can."""
    return " or ".join(suffix for suffix in CHOICES if codec in holds(suffix))


def check_output(job: Job, audio: bool) -> tuple[str, ...]:
    """Sentences saying why ``job`` cannot be written where it is to go."""
    suffix = job.output.suffix.lower()
    if suffix not in FORMATS:
        what = f"'{suffix}' files" if suffix else "a file without a suffix"
        why = " (WebM holds no H.264)" if suffix == ".webm" else ""
        return (f"{job.output}: {what} cannot be written{why}; name it {', '.join(CHOICES[:-1])} or .mkv",)
    problems = []
    for stream in job.streams:
        known = stream.kind == "audio" and stream.codec != "unknown"
        if audio and known and stream.codec not in holds(suffix):
            others = holders(stream.codec)
            said = f"{suffix} cannot hold the source's {stream.codec} sound; {others} can"
            problems.append(f"{job.output}: {said if others else _nowhere(stream.codec)}")
    return tuple(dict.fromkeys(problems))


def _nowhere(codec: str) -> str:
    return (
        f"neither {', '.join(CHOICES[:-1])} nor {CHOICES[-1]} can hold the source's {codec} sound; turn it "
        "into another first (ffmpeg -i IN -map 0 -c copy -c:a flac OUT.mkv), or leave it out with "
        "graph.nodes.encode.audio=none"
    )


class Output:
    """A file being written under a temporary name.

    ``target`` is the name to write (``None``: nothing is, this is a rehearsal), ``final`` the name to
    speak of; ``notice`` is called with a sentence for whatever is left behind. Raises `InputError` where
    the disk does not take it.
    """

    def __init__(self, target: Path | None, final: Path, notice: Callable[[str], None]) -> None:
        self.final, self.notice = final, notice
        self.suffix = final.suffix.lower()
        # faststart puts the index first, so that playback can begin before all is there.
        options = {"avoid_negative_ts": "disabled"} if self.suffix == ".mkv" else {"movflags": "+faststart"}
        with writing(final):
            if target is not None:
                claim(target)
            self.container = av.open(
                io.BytesIO() if target is None else ffmpeg_name(target), "w",
                format=FORMATS[self.suffix], container_options=options,
            )  # fmt: skip
        self.stream: Any = None
        self.copies: dict[int, Any] = {}
        self.damaged = 0  # packets that could not be copied
        self.begun: set[int] = set()  # tracks of which something was met that is shown
        self.hidden: set[int] = set()  # those whose cut-off beginning was told of
        self.lines: dict[int, Timeline] = {}

    def show(self, template: Any, video: Video, turned: int, headers: str = "null") -> None:
        """Make room for pictures, before all else.

        ``template`` is a stream of PyAV's that has such packets, ``turned`` by how many degrees
        clockwise players are to turn them, ``headers`` the bitstream filter that they went through.
        """
        codec = template.codec_context.codec.canonical_name
        if codec == "hevc" or turned:
            stream = self.container.add_stream_from_template(template)
        else:  # which can be told the rate, but neither a tag nor a turn
            stream = self.container.add_mux_stream(codec, rate=video.frame_rate or USUAL_RATE)
        BitStreamFilterContext(headers, template, stream)  # copies what is known of the pictures
        if codec == "hevc" and self.suffix != ".mkv" and headers == "null":
            # The tag says that headers are outside the pictures, which Apple's players insist on.
            stream.codec_context.codec_tag = "hvc1"
        stream.time_base, stream.disposition = video.time_base, av.stream.Disposition.default
        if turned:
            stream.set_display_rotation(-turned)
        self.stream = stream

    def carry(self, media: Media, audio: bool) -> str:
        """Make room for all that can be copied from ``media``, after `show` and before `write`.
        A sentence for what cannot be, or ""."""
        left: list[str] = []
        for track in media.tracks:
            if track.kind == "audio" and not audio:
                continue
            if track.kind == "attachment" and self.suffix == ".mkv" and track.stream.data:
                name, mime = track.stream.name or "attachment", track.stream.mimetype
                self.container.add_attachment(name, mime or "application/octet-stream", track.stream.data)
            elif not (track.kind in ("audio", "subtitle") and self._add(track)):
                left.append(self._left(track))
        self.container.metadata.update(_tags(media.metadata))
        if media.chapters:
            self.container.set_chapters(media.chapters)
        return f"{self.suffix} does not take {'; '.join(left)}: left out" if left else ""

    def rehearse(self, video: Video, media: Media, audio: bool) -> str:
        """All that comes before the first packet, with pictures of a kind that needs no headers of its
        own; `carry`'s answer."""
        size = {"width": video.width, "height": video.height, "time_base": video.time_base}
        self.container.add_mux_stream("mpeg4", rate=video.frame_rate or USUAL_RATE, **size)
        told = self.carry(media, audio)
        with writing(self.final):
            self.container.start_encoding()
        return told

    def _add(self, track: Track) -> bool:
        if track.codec not in holds(self.suffix):
            return False
        try:
            add = self._add_acm if track.codec in ACM else self.container.add_stream_from_template
            copy = add(track.stream)
        except (ValueError, av.error.FFmpegError):
            return False
        if track.kind == "audio":
            _name_channels(copy.codec_context)
        copy.metadata.update(_tags(track.stream.metadata))
        # Where MP4 players look for a track's name; elsewhere it would be a tag without meaning.
        copy.metadata.pop("handler_name", None)
        if self.suffix != ".mkv" and (title := track.stream.metadata.get("title")):
            copy.metadata["handler_name"] = title
        copy.disposition = track.stream.disposition
        self.copies[track.index] = copy
        return True

    def _add_acm(self, template: Any) -> Any:
        """A stream for sound that libavformat writes without having said that it would: it is asked
        for another codec, and what the source's headers say is put in its place."""
        if template.codec_context.codec_tag[2:].strip("\0"):  # not Windows' tag, by which ACM knows it
            raise InputError(f"{self.final}: {_nowhere(template.codec_context.codec.canonical_name)}")
        stream = self.container.add_mux_stream("pcm_s16le")
        BitStreamFilterContext("null", template, stream)
        stream.time_base = template.time_base
        return stream

    def _left(self, track: Track) -> str:
        others = holders(track.codec) if track.kind == "subtitle" else ""
        if track.kind == "attachment":
            others = ".mkv"
        return f"{track} ({others} would)" if others else str(track)

    def copy(self, packet: Copied) -> None:
        """Write a packet of the source as it is."""
        stream = self.copies.get(packet.stream)
        if stream is None or self._cut_off(packet, stream.type):
            return
        try:
            with writing(self.final):
                self.container.mux_one(self._placed(packet, stream))
        except InputError as error:
            if not isinstance(error.__cause__, DAMAGED):
                raise
            # A damaged packet of sound is no reason to lose the pictures.
            self.damaged += 1
            if self.damaged == 1:
                self.notice(f"a {stream.type} packet is damaged; such packets are left out")

    def _cut_off(self, packet: Copied, kind: str) -> bool:
        """Whether the source's edit list keeps this packet from being shown. MP4 and MOV hide what is
        before 0 as the source does; Matroska cannot, and gets only the last packet of it, without
        which the first that is heard would not decode whole."""
        index, pts, length = packet.stream, packet.pts, packet.duration or 0
        if not packet.discard or pts is None:
            self.begun.add(index)
            return False
        if index in self.begun or pts >= 0:
            return True
        if self.suffix != ".mkv" or pts + 2 * length > 0:
            return False
        if pts * packet.time_base < -RUN_IN and index not in self.hidden:
            self.hidden.add(index)
            what = f"the source hides the beginning of its {kind} track {index} (edit list)"
            self.notice(f"{what}, which {self.suffix} cannot: it is cut off there, to the packet")
        return True

    def _placed(self, packet: Copied, stream: Any) -> Any:
        """The packet in ``stream``. A track's times stay its own, except where they jump back
        (recordings that were joined)."""
        line = self.lines.get(stream.index)
        if line is None:
            length = (packet.duration or 0) * packet.time_base
            line = self.lines[stream.index] = Timeline(packet.time_base, 1 / length if length else None)
        dts = packet.dts if packet.dts is not None else packet.pts
        made = packet.packet()
        made.dts = line.place(dts)
        made.pts = made.dts if packet.pts is None else packet.pts + made.dts - dts
        made.stream = stream
        return made

    def write(self, packet: Any) -> None:
        """Write a picture, with its times."""
        packet.stream = self.stream
        with writing(self.final):
            self.container.mux_one(packet)

    def finish(self) -> None:
        """Write the index and close; the file is complete when this returns."""
        with writing(self.final):
            self.container.close()

    def abandon(self) -> None:
        """Close without caring for the result."""
        with contextlib.suppress(Exception):
            self.container.close()


def _name_channels(codec: Any) -> None:
    """Give channels without names (raw sound in Matroska) those that are usual for so many: MP4
    cannot describe nameless ones, and would say so only when the file is finished."""
    usual = USUAL_LAYOUTS.get(codec.channels) if codec is not None else None
    if usual and codec.layout.name == f"{codec.channels} channels":
        codec.layout = usual


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in STALE_TAGS and not key.lower().startswith(STALE)
    }
