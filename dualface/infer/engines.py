"""Engines on disk: what one is for, and a cache that loads only what this user built.

An engine (a "plan") is executable code: whoever can write one can run anything. So the folder is
this user's alone, and a file that somebody else owns or can write is not read but built anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from dualface import atomic, owned, paths
from dualface.infer.shapes import Size

BATCH = 16  # the most pictures an engine takes at a time, where nobody asks for more


@dataclass(frozen=True, slots=True)
class Target:
    """The GPU an engine is for. ``driver`` is its version, empty where the GPU is elsewhere."""

    name: str
    compute_capability: str
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """The inputs an engine takes: up to ``batch`` pictures (width, height) from ``least`` to
    ``most``, tuned for whole batches of ``usual``."""

    batch: int
    least: Size
    usual: Size
    most: Size


def profile(sizes: tuple[Size, ...], size: Size, batch: int) -> Profile:
    """The profile to use for ``batch`` pictures of ``size``: that of a model's ``sizes`` where
    they fit, so that one engine built ahead serves all, else one of its own.

    >>> profile(((64, 64), (384, 224), (640, 640)), (480, 288), 8)
    Profile(batch=16, least=(64, 64), usual=(384, 224), most=(640, 640))
    >>> profile(((64, 64), (384, 224), (640, 640)), (960, 544), 32)
    Profile(batch=32, least=(960, 544), usual=(960, 544), most=(960, 544))
    """
    batch = max(BATCH, batch)
    if sizes and all(low <= side <= high for low, side, high in zip(sizes[0], size, sizes[2], strict=True)):
        return Profile(batch, *sizes)
    return Profile(batch, size, size, size)


def path(onnx: bytes, library: str, version: str, target: Target, profile: Profile) -> Path:
    """Where the engine for all this belongs. Of ``target``, name and driver count only where the
    library ties its engines to them: leave them empty where it does not."""
    what = (hashlib.sha256(onnx).hexdigest(), library, version, target, profile)
    return folder() / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}.engine"


def folder() -> Path:
    """The folder of engines, made for this user alone."""
    return owned.folder(paths.cache_dir() / "engines")


def save(file: Path, plan: bytes) -> None:
    """Keep ``plan``; another process sees all of it or nothing. Raises OSError."""
    atomic.write(file, hashlib.sha256(plan).digest() + plan)


def load(file: Path) -> bytes | None:
    """The plan in ``file``, or None where there is none that can be trusted and is whole."""
    data = owned.read(file) or b""
    digest, plan = data[:32], data[32:]
    return plan if plan and hashlib.sha256(plan).digest() == digest else None
