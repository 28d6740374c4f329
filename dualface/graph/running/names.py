"""Hidden names beside an output that fit where its own name only just does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

NAME_MAX = 255  # bytes in a file name where the file system does not say


def fitted(folder: Path, before: str, name: str, after: str, spare: int = 0) -> str:
    """``before + name + after``, the name shortened where that and ``spare`` more bytes would not fit in
    ``folder``.

    >>> fitted(Path("."), ".", "x_dual.mp4", ".unfinished")
    '.x_dual.mp4.unfinished'
    """
    room = _name_max(folder) - len(os.fsencode(before + after)) - spare
    raw = os.fsencode(name)
    if len(raw) > room:
        # Cut between characters, and stay apart from other names that begin alike.
        digest = hashlib.sha256(raw).hexdigest()[:8]
        name = f"{raw[: room - 9].decode(errors='ignore')}~{digest}"
    return f"{before}{name}{after}"


def _name_max(folder: Path) -> int:
    try:
        return int(os.pathconf(folder, "PC_NAME_MAX"))
    except (AttributeError, OSError, ValueError):
        return NAME_MAX
