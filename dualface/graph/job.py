"""One input video and its output."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from dualface.graph.types import Video


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of the input besides its pictures: ``kind`` is audio, subtitle, data or
    attachment; ``codec`` is FFmpeg's name for it."""

    kind: str
    codec: str
    language: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that an input may ask of the machine; far above 8K footage (7680x4320), far below what
    a few damaged bytes in a header can say."""

    width: int = 16_384  # of a picture, in pixels
    height: int = 16_384  # of a picture, in pixels
    pixels: int = 1 << 26  # of a picture, width by height
    frame_mb: int = 512  # MiB that one decoded picture takes; 8K in 16 bits with alpha is 253
    streams: int = 256  # of pictures, sound, subtitles and the rest together
    seconds: float = 20.0  # until it is open, and then until each of its packets is read

    def __post_init__(self) -> None:
        low = [field.name for field in fields(self) if not getattr(self, field.name) > 0]
        if low:
            raise ValueError(f"{low[0]}: it must be more than 0")


USUAL_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of a job before it runs.

    ``frames`` and ``duration`` (seconds) are what the container claims, 0 where it is silent;
    ``pixel_format`` is FFmpeg's name; ``input`` is a path, or a URL where ``protocols``, by which
    the input may be opened, allow it. ``limits`` hold for all that reads the input.
    """

    name: str
    input: str
    output: Path
    video: Video
    frames: int
    duration: float
    codec: str
    pixel_format: str
    streams: tuple[Stream, ...] = ()
    index: int = 0
    protocols: tuple[str, ...] = ("file",)
    limits: Limits = USUAL_LIMITS
