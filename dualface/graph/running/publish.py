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
                _place(temporary, path)
                undo.callback(_remove, path)
                continue
            earlier = _set_aside(path, temporary) if len(files) > 1 else None
            if earlier is not None:
                undo.callback(_bring_back, earlier, path)
                replaced.append(earlier)
            os.replace(temporary, path)
            if earlier is None:
                undo.callback(_remove, path)
        undo.pop_all()
    for earlier in replaced:
        _remove(earlier)


def _place(temporary: Path, path: Path) -> None:
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
            _remove(path)
            raise
    else:
        _remove(temporary)


def _set_aside(path: Path, temporary: Path) -> Path | None:
    """A second, hidden name for what ``path`` holds so far; ``None`` where that is nothing. Where
    there are no hard links the file has only that name until another takes its place."""
    head, _, tail = temporary.name.rpartition(".partial-")
    earlier = temporary.with_name(f"{head}.earlier-{tail}")
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


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
