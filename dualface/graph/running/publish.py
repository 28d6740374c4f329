"""Finished files take their final names: all of a job's, or none.

No file system renames several files in one step, and renaming replaces what is there without a
question. So a name that must be free is taken by a hard link, which fails where it is not; and of
several files that may replace others, those others stay in reach until all have been replaced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def publish(files: Mapping[Path, Path], *, overwrite: bool) -> None:
    """Give each temporary file (the value) its final name (the key).

    Raises OSError where one cannot be had, `FileExistsError` where it is taken and ``overwrite``
    is false; then everything is again as it was, but for the temporary files.
    """
    replaced: list[Path] = []
    with contextlib.ExitStack() as undo:
        for path, temporary in files.items():
            if not overwrite:
                place(temporary, path)
                undo.callback(remove, path)
                continue
            earlier = _set_aside(path, temporary) if len(files) > 1 else None
            if earlier is not None:
                undo.callback(_bring_back, earlier, path)
                replaced.append(earlier)
            os.replace(temporary, path)
            if earlier is None:
                undo.callback(remove, path)
        undo.pop_all()
    for earlier in replaced:
        remove(earlier)


def place(temporary: Path, path: Path) -> None:
    """Rename, but never onto another file."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here: take the name with an empty file, then replace that
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        try:
            os.replace(temporary, path)
        except OSError:
            remove(path)
            raise
    else:
        remove(temporary)


def _set_aside(path: Path, temporary: Path) -> Path | None:
    """A second, hidden name for what ``path`` holds so far; ``None`` where that is nothing. Where
    there are no hard links the file has only that name until another takes its place."""
    earlier = temporary.with_name(earlier_name(temporary.name))
    try:
        try:
            os.link(path, earlier)
        except FileNotFoundError:
            raise
        except OSError:
            os.replace(path, earlier)
    except FileNotFoundError:
        return None
    return earlier


def _bring_back(earlier: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        os.replace(earlier, path)  # does nothing where both still name one file
        earlier.unlink(missing_ok=True)


def earlier_name(temporary: str) -> str:
    """What a file is called that may have to come back, by the temporary name of its successor.

    >>> earlier_name(".x.partial-12.mp4")
    '.x.earlier-12.mp4'
    """
    return ".earlier-".join(temporary.rsplit(".partial-", 1))


def remove(path: Path) -> None:
    """Remove a file, if that can be."""
    with contextlib.suppress(OSError):
        path.unlink()
