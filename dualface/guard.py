"""What may reach Hydra's own section of a config, and the keys that guard a person's files.

Hydra runs what its section names: callbacks, logging, launchers. So no config file but dualface's and
Hydra's own may set it, whatever its header, folder or defaults list; a person may type the settings
listed here. ``_target_`` is followed nowhere else and refused in files to be clear about it.

A file refers to other keys (``${layout.width}``) and calls no resolver (``${oc.env:HOME}``): resolvers
read the environment, and whatever is installed may register more of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dualface.documents import printable
from dualface.graph.errors import Problem
from dualface.graph.registry import nearest
from dualface.settings import PICTURE

TYPED = (  # each with all that is within
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.launcher",
    "hydra.sweeper",
    "hydra/launcher",
    "hydra/sweeper",
)
# What files of a group may set that describes a part of the request.
PARTS = {**dict.fromkeys((*PICTURE, "node"), PICTURE), "recovery": ("recovery",)}
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
        if key not in PARTS.get(group, (key,)):
            message = f"it sets {key}, but a file in {group}/ describes {', '.join(PARTS[group])} alone."
            hint = "Take it out, or put it into a file in experiment/."
            return Problem("closed-setting", file, message, hint)
        if key == "faults" and group != "experiment":
            message = "it sets faults, which only the command line and a file in experiment/ may."
            return Problem("closed-setting", file, message, "Take it out and type +faults=[...].")
    return None


def content_problem(file: str, config: Any) -> Problem | None:
    """What is wrong with ``config``, all that a user's or plugin's ``file`` holds, looked at before Hydra
    does: it follows at once what a defaults list refers to.

    >>> content_problem("a.yaml", {"width": "${layout.width}"})
    >>> print(content_problem("a.yaml", {"a": ["${oc.env:HOME}"]}))
    a.yaml: ${oc.env:HOME} calls a resolver, which no config file may. Refer to keys, as in \
${layout.width}, or type the value. [closed-setting]
    """
    for text in _texts(config):
        if not isinstance(text, str):
            message = f"the key {text!r:.60} is no text."
            hint = "Put quotes around it, also around on, off, yes and no."
            return Problem("bad-yaml", file, message, hint)
        if _calls(text):
            message = f"{printable(text)} calls a resolver, which no config file may."
            hint = "Refer to keys, as in ${layout.width}, or type the value."
            return Problem("closed-setting", file, message, hint)
        if printable(text) != text:
            message = f"the text {printable(text)} holds a character that cannot be shown."
            return Problem("bad-yaml", file, message, "Take it out; look for a backslash in double quotes.")
    if not isinstance(config, Mapping):
        return Problem("bad-yaml", file, "it holds no keys.", "A config holds 'key: value' lines.")
    defaults = config.get("defaults", [])
    wrong = [item for item in defaults if not _is_default(item)] if isinstance(defaults, list) else [defaults]
    if wrong:
        message = f"its defaults hold {wrong[0]!r:.60}, which is no choice of a config."
        return Problem("bad-config", file, message, "Write a list, as in defaults: [/layout: solo, _self_].")
    return None


def put_problem(file: str, reached: Iterable[str]) -> Problem | None:
    """What is wrong with where a defaults list puts ``file``, one of dualface's own."""
    if "hydra" not in list(reached):
        return None
    message = "a defaults list puts it into Hydra's own section, which no config file may."
    return Problem("closed-setting", file, message, "Look for hydra behind an @ in your configs.")


def _texts(value: Any) -> Iterator[Any]:
    """All texts in ``value``, and all keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _is_default(item: Any) -> bool:
    """Whether ``item`` is what a defaults list may hold: a name, or one group and its choices."""
    if not isinstance(item, Mapping):
        return isinstance(item, str) and bool(item.strip())
    if len(item) != 1:
        return False
    ((group, choice),) = item.items()
    names = choice if isinstance(choice, list) else [choice or "none"]
    return isinstance(group, str) and all(isinstance(name, str) for name in names)


def _calls(text: str) -> bool:
    """Whether a colon stands within ``${...}``: only behind a resolver's name. (Also where it is escaped,
    so that nothing hangs on who reads the text how often.)"""
    depth = 0
    for token in re.findall(r"\$\{|[}:]", text):
        if token == ":" and depth:
            return True
        depth = depth + 1 if token == "${" else max(0, depth - (token == "}"))
    return False


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        # "()" is what _target_ is to Python's logging.
        return bool({"_target_", "()"} & set(value)) or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))
