"""One input video and its output."""

from __future__ import annotations

from dataclasses import dataclass
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
class Job:
    """What is known of a job before it runs.

    ``frames`` and ``duration`` (seconds) are what the container claims, 0 where it is silent;
    ``pixel_format`` is FFmpeg's name; ``input`` is a path, or a URL where ``protocols``, by which
    the input may be opened, allow it.
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
