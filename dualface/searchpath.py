"""Where config groups are found beside our own: the user's folder, installed plugins', then the one
that ``--config-dir`` names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from dualface.paths import conf_dir, user_config_dir

GROUP = "dualface.conf"


_told: set[str] = set()  # plugins whose warning was printed
_given: list[Path] = []  # what --config-dir names


def give(folder: str | None) -> None:
    """From now on search ``folder`` too, and none that was given before."""
    _given[:] = [Path(folder).absolute()] if folder else []


def folders() -> list[tuple[str, Path]]:
    """Who brings config groups, and where; a plugin that is broken is a warning."""
    found = [("user", user_config_dir())] if user_config_dir().is_dir() else []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name):
        try:
            spec = importlib.util.find_spec(entry.value)
            where = list(spec.submodule_search_locations or []) if spec else []
        except (ImportError, ValueError):
            where = []
        if where and Path(where[0]).is_dir():
            found.append((entry.name, Path(where[0])))
        elif entry.name not in _told:
            _told.add(entry.name)
            print(
                f"The config groups of the plugin '{entry.name}' are left out: {entry.value} "
                "is no package that can be found; install the plugin anew.",
                file=sys.stderr,
            )
    return [*found, *(("command-line", folder) for folder in _given)]


def groups() -> dict[str, list[str]]:
    """Each config group (``hw``, ``node/detect``) with its choices."""
    choices: dict[str, set[str]] = {}
    for root in [conf_dir(), *(folder for _, folder in folders())]:
        for file in root.rglob("*.yaml"):
            parts = file.relative_to(root).with_suffix("").parts
            if len(parts) > 1 and not any(part.startswith(("_", ".")) for part in parts):
                choices.setdefault("/".join(parts[:-1]), set()).add(parts[-1])
    return {group: sorted(names) for group, names in sorted(choices.items())}


class Folders(SearchPathPlugin):
    """Puts them behind ours, so that nobody replaces a config of ours by accident."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for name, folder in folders():
            search_path.append(f"dualface-{name}", f"file://{folder}")
