"""What may reach Hydra's own section of a config, and the keys that guard a person's files.

Hydra runs what its section names: callbacks, logging, launchers. So no config file but dualface's and
Hydra's own may set it, whatever its header, folder or defaults list; a person may type the settings
listed here. ``_target_`` is followed nowhere else and refused in files to be clear about it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dualface.graph.errors import Problem
from dualface.graph.registry import nearest
from dualface.settings import GROUPS

TYPED = (  # each with all that is within
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.launcher",
    "hydra.sweeper",
    "hydra/launcher",
    "hydra/sweeper",
)
PARTS = (*GROUPS, "node")  # groups whose files describe a part of the request
TYPED_ONLY = ("overwrite", "protocols", "limits")


def typed_problem(key: str, value: str) -> Problem | None:
    """What is wrong with an override typed as ``key=value``, as far as Hydra's section goes.

    >>> typed_problem("hydra.run.dir", "runs/x")
    >>> print(typed_problem("hydra.sweep.dri", "x"))
    hydra.sweep.dri: Hydra's own settings are closed but for a few. Did you mean 'hydra.sweep.dir'? \
[closed-setting]
    """
    group, _, package = key.partition("@")
    if {"hydra", "_global_"} & set(re.split("[.:]", package)):
        hint = "Name a place in the graph, such as graph.nodes.detect."
        return Problem("closed-setting", key, "no config is put there.", hint)
    if group.split("/")[0].split(".")[0] != "hydra":
        return None
    if "_target_" in f"{key} {value}":
        return Problem("closed-setting", key, "_target_ would make Hydra run what it names.", "Take it out.")
    if not package and any(re.match(rf"{re.escape(name)}($|[./])", key) for name in TYPED):
        return None
    near = nearest(key, TYPED)
    hint = f"Did you mean '{near}'?" if near else f"Open are {', '.join(TYPED)}."
    return Problem("closed-setting", key, "Hydra's own settings are closed but for a few.", hint)


def file_problem(
    file: str, group: str, config: Any, reached: Iterable[str], defaults: Iterable[str]
) -> Problem | None:
    """What a config file of a user or plugin must not do.

    ``group`` is the file's first folder ("" for none), ``config`` what it holds, ``reached`` the
    top-level keys that it sets and ``defaults`` the groups that its defaults list names.
    """
    keys = list(reached)
    if "hydra" in keys or any("hydra" in name.split("/") for name in defaults):
        message = "it sets something of Hydra's own, which no config file may."
        hint = "Take that out; hydra.run.dir= and a few more can be typed."
        return Problem("closed-setting", file, message, hint)
    if _holds_target(config):
        message = "it holds _target_, which is never followed."
        return Problem("closed-setting", file, message, "Take it out; a node names its kind.")
    for key in keys:
        if key in TYPED_ONLY:
            message = f"it sets {key}, which only the command line may."
            return Problem("closed-setting", file, message, f"Take it out and type {key}=...")
        if group in PARTS and key not in GROUPS:
            message = f"it sets {key}, but a file in {group}/ describes {', '.join(GROUPS)} alone."
            hint = "Take it out, or put it into a file in experiment/."
            return Problem("closed-setting", file, message, hint)
    return None


def put_problem(file: str, reached: Iterable[str]) -> Problem | None:
    """What is wrong with where a defaults list puts ``file``, one of dualface's own."""
    if "hydra" not in list(reached):
        return None
    message = "a defaults list puts it into Hydra's own section, which no config file may."
    return Problem("closed-setting", file, message, "Look for hydra behind an @ in your configs.")


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        # "()" is what _target_ is to Python's logging.
        return bool({"_target_", "()"} & set(value)) or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))
