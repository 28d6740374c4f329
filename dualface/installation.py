"""Whether what is installed is what this checkout holds: nodes are found by entry points, which an
editable install writes down once."""

from __future__ import annotations

import importlib.metadata
import tomllib

from dualface.paths import checkout

AGAIN = "Run: pip install -e . in the checkout."


def stale() -> tuple[str, ...]:
    """The names of entry points that the installation lacks, has elsewhere, or has still; none where
    dualface is no checkout."""
    root = checkout()
    if root is None or not (root / "pyproject.toml").is_file():
        return ()
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    held = {(group, *entry) for group, entries in groups.items() for entry in entries.items()}
    try:
        points = importlib.metadata.distribution("dualface").entry_points
    except importlib.metadata.PackageNotFoundError:
        points = importlib.metadata.EntryPoints()
    known = {(point.group, point.name, point.value) for point in points}
    return tuple(sorted({name for _, name, _ in held ^ known}))
