"""A cache that loads only what this user wrote: folders closed to others, files looked at before use.

Whoever can write an engine can run anything, since it is executable code; and a converted model is what
it was checked for only as long as nobody else can change it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def folder(place: Path) -> Path:
    """``place``, made for this user alone. One of this user's that was open is closed; where others could
    write, all files in it go first, since nobody knows who left them. Raises OSError."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if hasattr(os, "getuid") and stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
        if found.st_mode & 0o077:
            place.chmod(0o700)
        if found.st_mode & 0o022:
            for path in place.iterdir():
                with contextlib.suppress(OSError):
                    path.unlink()
    return place


def read(file: Path) -> bytes | None:
    """What ``file`` holds, or None where there is none that only this user could have written."""
    try:
        if not _ours(file.parent.lstat(), stat.S_IFDIR):
            return None
        # Owner and mode are those of the file that is read, whatever its name points to by then; a pipe
        # is not waited for.
        flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        handle = os.open(file, flags)
        with os.fdopen(handle, "rb") as opened:
            return opened.read() if _ours(os.fstat(handle), stat.S_IFREG) else None
    except OSError:
        return None


def _ours(found: os.stat_result, kind: int) -> bool:
    """Of this kind, this user's, and written by nobody else."""
    if stat.S_IFMT(found.st_mode) != kind:
        return False
    if not hasattr(os, "getuid"):  # Windows: a user's cache folder is that user's
        return True
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
