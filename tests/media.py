"""Makes the odd inputs that people have, with PyAV alone, and runs decode and encode over them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from dualface.graph.job import Job
from dualface.graph.node import Context, Event
from dualface.graph.types import Frames
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.x264 import X264, X264Config


@dataclass(frozen=True)
class Sound:
    """A tone as a track of its own; ``start`` in seconds."""

    codec: str = "aac"
    start: float = 0.0
    seconds: float = 1.0
    pitch: float = 440.0
    language: str | None = None
    title: str | None = None
    rate: int = 48_000
    forced: bool = False


@dataclass(frozen=True)
class Film:
    """How a test film is made; ``times`` are in ``time_base``."""

    size: tuple[int, int] = (160, 120)
    times: Sequence[int] = tuple(range(20))
    time_base: Fraction = Fraction(1, 30)
    rate: Fraction | int = 30
    codec: str = "libx264"
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    sounds: Sequence[Sound] = ()
    rotation: int | None = None  # clockwise
    aspect: Fraction | None = None
    color: tuple[int, int, int, int] | None = None  # range, matrix, transfer, primaries
    tags: dict[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[float, float, str]] = ()
    format: str | None = None
    muxing: dict[str, str] = field(default_factory=dict)


def picture(i: int, width: int, height: int) -> np.ndarray[Any, Any]:
    """Grey steps with a bright bar that moves: tells pictures apart and shows turns."""
    image = np.full((height, width, 3), 40 + 5 * (i % 20), np.uint8)
    image[: height // 4, : width // 4] = (200, 60, 60)
    x = i * 6 % max(1, width - 8)
    image[height // 2 : height // 2 + 8, x : x + 8] = (230, 230, 230)
    return image


def make(path: Path, film: Film | None = None) -> Path:
    """Write ``film`` to ``path``."""
    film = film or Film()
    width, height = film.size
    with av.open(f"file:{path}", "w", format=film.format, container_options=film.muxing) as out:
        out.metadata.update(film.tags)
        if film.chapters:
            out.set_chapters([
                {
                    "id": k,
                    "start": int(a * 1000),
                    "end": int(b * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for k, (a, b, title) in enumerate(film.chapters)
            ])  # fmt: skip
        video = out.add_stream(
            film.codec, rate=film.rate, options=film.options, width=width, height=height,
            time_base=film.time_base, pix_fmt=film.pixels,
        )  # fmt: skip
        if film.aspect:
            video.codec_context.sample_aspect_ratio = film.aspect
        if film.rotation is not None:
            video.set_display_rotation(-film.rotation)
        if film.color:
            codec = video.codec_context
            codec.color_range, codec.colorspace, codec.color_trc, codec.color_primaries = film.color
        tracks = [_track(out, sound) for sound in film.sounds]
        packets: list[Any] = []
        for i, pts in enumerate(film.times):
            frame = av.VideoFrame.from_ndarray(picture(i, width, height), "rgb24")
            if film.pixels != "rgb24":
                frame = frame.reformat(format=film.pixels)
            frame.pts, frame.time_base = pts, film.time_base
            packets += video.encode(frame)
        packets += video.encode(None)
        for track, sound in zip(tracks, film.sounds, strict=True):
            packets += _tone(track, sound)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def _track(out: Any, sound: Sound) -> Any:
    track = out.add_stream(sound.codec, rate=sound.rate, layout="stereo")
    if sound.codec.startswith("wma"):  # which does not open without
        track.codec_context.bit_rate = 128_000
    if sound.language:
        track.metadata["language"] = sound.language
    if sound.title:
        track.metadata["title"] = sound.title
    if sound.forced:
        track.disposition = av.stream.Disposition.forced
    return track


def _tone(track: Any, sound: Sound) -> list[Any]:
    t = np.arange(int(sound.seconds * sound.rate)) / sound.rate
    wave = 0.3 * np.sin(2 * np.pi * sound.pitch * t)
    resampler = av.AudioResampler(track.codec_context.format, "stereo", sound.rate)
    packets = []
    for at in range(0, len(wave), 4800):
        part = np.stack([wave[at : at + 4800]] * 2).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(part, "fltp", "stereo")
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = at + int(sound.start * sound.rate)
        for ready in resampler.resample(frame):
            packets += track.encode(ready)
    return packets + list(track.encode(None))


def boxes(
    data: bytes, *names: str, change: Callable[[bytes], bytes] = lambda body: body
) -> tuple[bytes, list[bytes]]:
    """An MP4's bytes with the bodies of all boxes of a path of ``names`` (the last one's) changed, and
    those bodies as they were. The index must be at the file's end, for nothing is moved along."""
    made, found, at = b"", [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if name.decode() == names[0]:
            if names[1:]:
                body, inner = boxes(body, *names[1:], change=change)
                found += inner
            else:
                found.append(body)
                body = change(body)
        made += struct.pack(">I4s", len(body) + 8, name) + body
        at += size
    return made, found


@dataclass
class Ran:
    """What decode and encode did with one input."""

    job: Job
    events: list[Event]
    figures: dict[str, float]
    batches: list[Frames[Any, Any]]

    def said(self, kind: str) -> str:
        return "\n".join(e.message for e in self.events if e.kind == kind)


def context(job: Job, name: str, ran: Ran, batch: int = 4, threads: int = 2) -> Context:
    def count(figure: str, value: float) -> None:
        ran.figures[f"{name}.{figure}"] = ran.figures.get(f"{name}.{figure}", 0) + value

    def workspace() -> Path:
        folder = unfinished(job.output) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return Context(
        job, name, batch, threads, ran.events.append, lambda: False, lambda path: path, count,
        lambda *_: None, workspace=workspace,
    )  # fmt: skip


def unfinished(output: Path) -> Path:
    return output.with_name(f".{output.stem}.unfinished")


def copy(
    source: Path,
    target: Path | None = None,
    *,
    batch: int = 4,
    config: X264Config | None = None,
    each: Callable[[Frames[Any, Any]], Frames[Any, Any]] = lambda frames: frames,
    keep: bool = True,
) -> Ran:
    """Decode ``source`` and, where ``target`` is given, encode it as it is."""
    job = probe(source, output=target or source.with_suffix(".none.mp4"), name=source.stem)
    ran = Ran(job, [], {}, [])
    decode, encode = PyavDecode(PyavConfig()), X264(config or X264Config())
    try:
        decode.open(context(job, "decode", ran, batch))
        if target is not None:
            encode.open(context(job, "encode", ran, batch))
        while (batch_ := decode.process()) is not None:
            if keep:
                ran.batches.append(batch_.frames)
            if target is not None:
                encode.process(each(batch_.frames), batch_.source)
        if target is not None:
            list(encode.finish())
    finally:
        decode.close()
        encode.close()
    return ran


@dataclass(frozen=True)
class Track:
    """A stream as demuxed: packets' bytes and times in seconds, in presentation order."""

    kind: str
    codec: str
    times: tuple[Fraction, ...]
    data: tuple[bytes, ...]
    tags: dict[str, str]
    disposition: int


def tracks(path: Path, kind: str) -> list[Track]:
    """The tracks of ``kind`` in a file."""
    with av.open(f"file:{path}") as container:
        found: dict[int, list[tuple[Fraction, bytes]]] = {}
        for packet in container.demux():
            if packet.size and packet.stream.type == kind:
                entry = (packet.pts * packet.time_base, bytes(packet))
                found.setdefault(packet.stream.index, []).append(entry)
        result = []
        for index, packets in sorted(found.items()):
            stream = container.streams[index]
            if kind == "video":
                packets = sorted(packets, key=lambda p: p[0])
            result.append(
                Track(
                    kind,
                    stream.codec_context.codec.canonical_name if stream.codec_context else "",
                    tuple(p[0] for p in packets),
                    tuple(p[1] for p in packets),
                    dict(stream.metadata),
                    int(stream.disposition),
                )
            )
        return result


def video_times(path: Path) -> tuple[Fraction, ...]:
    return tracks(path, "video")[0].times


def decoded(path: Path) -> list[Any]:
    """Every picture of a file, as PyAV decodes it."""
    with av.open(f"file:{path}") as container:
        return list(container.decode(video=0))


def seconds(frames: Iterable[Frames[Any, Any]]) -> list[Fraction]:
    return [int(p) * f.video.time_base for f in frames for p in f.pts]


SUBTITLES = "1\n00:00:00,100 --> 00:00:00,300\n안녕하세요\n\n2\n00:00:00,400 --> 00:00:00,600\nHi\n"


def with_subtitles(folder: Path) -> Path:
    """A Matroska film with a SubRip track, put together from two files by copying packets."""
    (folder / "s.srt").write_text(SUBTITLES, encoding="utf-8")
    film = make(folder / "bare.mp4")
    target = folder / "subtitled.mkv"
    with (
        av.open(str(film)) as video,
        av.open(str(folder / "s.srt")) as text,
        av.open(str(target), "w") as out,
    ):
        copies = [
            (container, stream, out.add_stream_from_template(stream, opaque=True))
            for container, stream in ((video, video.streams.video[0]), (text, text.streams.subtitles[0]))
        ]
        copies[1][2].metadata["language"] = "kor"
        out.add_attachment("font.ttf", "font/ttf", b"not really a font")
        for container, stream, to in copies:
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = to
                    out.mux(packet)
    return target
