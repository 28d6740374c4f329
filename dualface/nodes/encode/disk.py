"""What the disk does not take, as a sentence; and what it has taken, for certain."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import av

from dualface.graph.errors import InputError


@contextlib.contextmanager
def writing(final: Path) -> Iterator[None]:
    """Raises `InputError` where the disk does not take what is written for ``final``."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise InputError(_sentence(final, error)) from error


def claim(path: Path) -> None:
    """Begin a file with a write of our own, which tells what the disk does not take: FFmpeg would lose
    its handle where it cannot write the header."""
    with path.open("wb") as file:
        file.write(bytes(1 << 16))


def settle(path: Path) -> None:
    """Return when a file, or what a folder lists, has reached the disk itself."""
    if path.is_dir() and os.name == "nt":  # where folders cannot be opened
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sentence(final: Path, error: av.error.FFmpegError | OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left on {final.parent} while writing {final.name}: "
            "free some room or choose another output folder"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{final}: may not be written there; choose another output folder"
    if error.errno == errno.ENOENT:
        return f"{final}: the folder {final.parent} does not exist"
    return f"{final}: cannot be written ({error.strerror})"
