"""Engines on disk: what one is for, and a cache that loads only what this user built.

An engine (a "plan") is executable code: whoever can write one can run anything. So the folder is
this user's alone, and a file that somebody else owns or can write is not read but built anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from dualface import atomic, paths
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
    place = paths.cache_dir() / "engines"
    place.mkdir(mode=0o700, exist_ok=True)
    return place


def save(file: Path, plan: bytes) -> None:
    """Keep ``plan``; another process sees all of it or nothing. Raises OSError."""
    atomic.write(file, hashlib.sha256(plan).digest() + plan)


def load(file: Path) -> bytes | None:
    """The plan in ``file``, or None where there is none that can be trusted and is whole."""
    try:
        if not _ours(file.parent.lstat(), stat.S_IFDIR):
            return None
        # Owner and mode are those of the file that is read, whatever its name points to by then.
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as opened:
            if not _ours(os.fstat(handle), stat.S_IFREG):
                return None
            data = opened.read()
    except OSError:
        return None
    digest, plan = data[:32], data[32:]
    return plan if plan and hashlib.sha256(plan).digest() == digest else None


def _ours(found: os.stat_result, kind: int) -> bool:
    """Of this kind, this user's, and written by nobody else."""
    if stat.S_IFMT(found.st_mode) != kind:
        return False
    if not hasattr(os, "getuid"):  # Windows: a user's cache folder is that user's
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
