"""What an input is, found out before anything runs."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import USUAL_LIMITS, Job, Limits, Stream
from dualface.graph.types import Video
from dualface.nodes.decode.color import color_of
from dualface.nodes.decode.limits import check_failed, check_picture, for_decoding
from dualface.nodes.decode.source import opened, packets

PACKETS_UNTIL_A_PICTURE = 2000  # of the video stream; a stream that starts in mid-GOP needs some


def probe(
    path: str | Path,
    *,
    output: Path,
    name: str,
    index: int = 0,
    protocols: tuple[str, ...] = ("file",),
    limits: Limits = USUAL_LIMITS,
) -> Job:
    """Describe ``path`` as a job that writes ``output``.

    Decodes the first picture, because rotation, range and interlacing are only sure there.
    Raises `InputError` with one sentence where there is no picture to be had, or one beyond ``limits``.
    """
    with opened(str(path), protocols, limits) as container:
        stream = video_stream(container, str(path))
        frame = first_frame(container, stream, str(path), limits)
        return Job(
            name=name,
            input=str(path),
            output=output,
            video=video_of(stream, frame),
            frames=stream.frames or 0,
            duration=duration(container, stream),
            codec=stream.codec_context.codec.canonical_name,
            pixel_format=frame.format.name,
            streams=tuple(
                Stream(s.type, codec_name(s), s.metadata.get("language"), s.metadata.get("title"))
                for s in container.streams
                if s.type in ("audio", "subtitle", "data", "attachment")
            ),
            index=index,
            protocols=protocols,
            limits=limits,
        )


def codec_name(stream: Any) -> str:
    """FFmpeg's name of a stream's codec, ``"unknown"`` where it has none."""
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(stream.name or "unknown") if stream.type == "data" else "unknown"


def video_stream(container: Any, name: str) -> Any:
    """The stream to decode: FFmpeg's best video stream, never a cover picture."""
    best = container.streams.best("video")
    if best is None or best.disposition & av.stream.Disposition.attached_pic:
        films = (s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
        best = next(films, None)
    if best is None:
        if container.streams.audio:
            raise InputError(f"{name}: has sound but no pictures")
        raise InputError(f"{name}: has no video stream")
    if best.codec_context is None:
        raise InputError(f"{name}: its video is in a codec that this FFmpeg cannot decode")
    return best


UNDECODABLE = "not one picture in it can be decoded; the file is damaged or cut off"


def first_frame(container: Any, stream: Any, name: str, limits: Limits) -> Any:
    """The first picture that decodes. Raises `InputError` where none does."""
    stream.codec_context.options.update(for_decoding(limits))
    try:
        for packet in itertools.islice(packets(container, stream), PACKETS_UNTIL_A_PICTURE):
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                check_failed(name, stream.codec_context, error, limits, begun=False)
                continue  # a damaged beginning; a later picture may be whole
            for frame in frames:
                if frame.width < 2 or frame.height < 2:
                    raise InputError(f"{name}: its pictures are {frame.width}x{frame.height} pixels")
                check_picture(name, frame, limits)
                return frame
    except av.error.FFmpegError:
        pass
    raise InputError(f"{name}: {UNDECODABLE}")


def video_of(stream: Any, frame: Any) -> Video:
    """What stays the same over the stream, from its header and its first picture."""
    rotation, _ = orientation(frame)
    return Video(
        width=frame.width,
        height=frame.height,
        time_base=stream.time_base,
        frame_rate=_rate(stream),
        rotation=rotation,
        pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
        color=color_of(frame),
    )


def orientation(frame: Any) -> tuple[int, str]:
    """The clockwise quarter turn in degrees that shows the picture upright, and what of its
    display matrix that leaves out (``""``: nothing)."""
    return turn_of(frame) or (0, "")


def turn_of(frame: Any) -> tuple[int, str] | None:
    """`orientation`; ``None`` where the picture says nothing of it."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV reads all side data or none, and knows not every kind (EXIF, second views): the angle is left.
        angle = frame.rotation
        return (round(-angle / 90) * 90 % 360, "") if angle else None
    if matrix is None:
        return None
    a, b, _, c, d, _, _, _, _ = np.frombuffer(matrix, np.int32).tolist()
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c  # take a left-right flip out, which was done first
    degrees = float(np.degrees(np.arctan2(b, a))) % 360
    turn = round(degrees / 90) * 90 % 360
    missing = "it is to be shown mirrored" if mirrored else ""
    if abs((degrees - turn + 180) % 360 - 180) > 1:
        missing = f"it is to be shown turned by {degrees:.0f} degrees"
    return turn, missing


def _rate(stream: Any) -> Fraction | None:
    """The mean rate where the container knows it (right for variable rates too), else a guess."""
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 0 < rate <= 1000:
            return Fraction(rate)
    return None


def duration(container: Any, stream: Any) -> float:
    """How long the pictures last in seconds as far as the container says, 0 where it does not."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    for key, text in stream.metadata.items():
        if key.upper().startswith("DURATION"):  # Matroska keeps it in a tag: 00:00:12.345000000
            parts = text.split(":")
            try:
                return sum(float(part) * 60.0**i for i, part in enumerate(reversed(parts)))
            except ValueError:
                break
    return float(container.duration or 0) / av.time_base
