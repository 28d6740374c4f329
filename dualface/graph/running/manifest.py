"""What has been finished in an output folder, so that a batch can be started again blindly.

``.dualface/x_dual.mp4.json`` says by what request ``x_dual.mp4`` was made, and how the files look that the
job gave its names to. It is written right before they take these names: by their time of change, which they
keep, it can be told whether they did.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.running.names import fitted
from dualface.graph.running.unfinished import input_of

FOLDER = ".dualface"
FORMAT = 1  # raised when older entries would be misread


def entry_of(output: Path) -> Path:
    """Where it says how ``output`` was made."""
    folder = output.absolute().parent / FOLDER
    return folder / fitted(output.absolute().parent, "", output.name, ".json", spare=len(".new"))


def note(job: Job, request: str, files: Mapping[Path, Path]) -> None:
    """Write down that ``job`` is about to give its files (the values) their final names (the keys).
    Raises OSError, and `InputError` where the folder is a link: what it leads to is not ours."""
    entry = entry_of(job.output)
    told = {
        "format": FORMAT,
        "request": request,
        **input_of(job),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {str(path): _look(temporary) for path, temporary in files.items()},
    }
    if entry.parent.is_symlink():
        raise InputError(f"{entry.parent} is a link; remove it, or choose another place with output=.")
    entry.parent.mkdir(exist_ok=True)
    fresh = entry.with_name(f"{entry.name}.new")
    fresh.unlink(missing_ok=True)  # of a run that was killed, or a link that somebody put there
    with fresh.open("x", encoding="utf-8") as file:
        file.write(json.dumps(told, indent=1) + "\n")
    os.replace(fresh, entry)


def finished(job: Job, request: str) -> tuple[str, ...]:
    """The files that ``job`` would make, if the same ``request`` has made them and nobody has touched them
    or the input since; else none."""
    try:
        told = json.loads(entry_of(job.output).read_text(encoding="utf-8"))
        files: dict[str, list[int]] = dict(told["files"])
        same = told["format"] == FORMAT and told["request"] == request
        if same and files and all(_look(Path(path)) == look for path, look in files.items()):
            return tuple(files)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # none, or somebody else's
        pass
    return ()


def _look(path: Path) -> list[int]:
    about = os.stat(path)
    return [about.st_size, about.st_mtime_ns]
