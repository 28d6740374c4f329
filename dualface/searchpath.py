"""Where config groups are found beside our own: the user's folder, then installed plugins'."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from dualface.paths import conf_dir, user_config_dir

GROUP = "dualface.conf"


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
        else:
            print(
                f"The config groups of the plugin '{entry.name}' are left out: {entry.value} "
                "is no package that can be found; install the plugin anew.",
                file=sys.stderr,
            )
    return found


def groups() -> dict[str, list[str]]:
    """The config groups at the top of each folder, with their choices."""
    choices: dict[str, set[str]] = {}
    for root in [conf_dir(), *(folder for _, folder in folders())]:
        for group in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(("_", "."))):
            files = group.rglob("*.yaml")
            choices.setdefault(group.name, set()).update(
                f.relative_to(group).with_suffix("").as_posix() for f in files
            )
    return {group: sorted(names) for group, names in choices.items() if names}


class Folders(SearchPathPlugin):
    """Puts them behind ours, so that nobody replaces a config of ours by accident."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for name, folder in folders():
            search_path.append(f"dualface-{name}", f"file://{folder}")
