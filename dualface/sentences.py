"""What went wrong → sentences on stderr and an exit code. Hydra, OmegaConf and YAML speak to the
authors of programs; here their words become what a person typed, what is wrong with it, what to do.
"""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from typing import Any

from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.registry import nearest


def tell(error: Exception, debug: bool) -> int:
    """Say ``error`` on stderr; answers with the exit code."""
    import yaml  # type: ignore[import-untyped]
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if debug:
        traceback.print_exception(error)
    if isinstance(error, InputError):
        print(error, file=sys.stderr)
        return 1
    if isinstance(error, RequestError):
        problems = error.problems
    elif isinstance(error, HydraException | OmegaConfBaseException):
        problems = (_composing(error),)
    elif isinstance(error, yaml.YAMLError):
        problems = (_yaml(error),)
    else:
        print(f"Something went wrong within dualface: {type(error).__name__}: {error}", file=sys.stderr)
        if not debug:
            print("debug=true shows where.", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


def no_choice(group: str, name: str, choices: list[str], asking: str = "") -> Problem:
    """``name`` is no choice of ``group``; ``asking`` is the config that asks for it, if one does.

    >>> print(no_choice("layout", "sidebyside", ["side_by_side", "solo"]))
    layout=sidebyside: there is no such choice. Did you mean 'side_by_side'? The choices are \
side_by_side, solo. [unknown-choice]
    """
    near = nearest(name, choices)
    hint = f"Did you mean '{near}'? " if near else ""
    hint += f"The choices are {', '.join(choices)}." if choices else "The group has no choices."
    if asking:
        message = f"it asks for {group}: {name} in its defaults, and there is no such config."
        return Problem("unknown-choice", f"{asking}.yaml", message, hint)
    return Problem("unknown-choice", f"{group}={name}", "there is no such choice.", hint)


def _composing(error: Any) -> Problem:
    from hydra.errors import OverrideParseException

    said = " ".join(str(error).split())
    if isinstance(error, OverrideParseException):
        return _grammar(error.override, str(error.message))
    missing = getattr(error, "missing_cfg_file", None)
    if isinstance(missing, str):
        group, _, name = missing.rpartition("/")
        asking = re.match(r"In '([^']*)'", said)
        asker = asking[1] if asking and asking[1] != "config" else ""
        if group:
            return no_choice(group, name, list(error.options or ()), asker)
        return Problem("unknown-config", "", f"there is no config {missing}.yaml.", "Look at --config-name.")
    if merging := re.match(r"Error merging override (.*)", said):
        key, _, value = merging[1].lstrip("+").partition("=")
        why = str(error.__cause__).split("\n")[0].strip()
        if "is not a valid bool" in why:
            return Problem("bad-value", key, f"it cannot be '{value}'.", "It is true or false.")
        return Problem("bad-value", key, f"it cannot be '{value}': {why}.", "--help shows the keys.")
    if place := re.match(r"(?:In '[^']*': )?Could not override '([^']+)'\.(.*)", said):
        return _no_place(place[1], place[2])
    return _words(error)


def _grammar(override: str, said: str) -> Problem:
    """An argument that is no value in Hydra's grammar."""
    key, _, value = override.lstrip("+~").partition("=")
    token = re.search(r"input '(.*?)'(?: expecting|\s|$)", said)
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        message = f"in {value} a bracket has no partner."
    elif value.count("'") % 2 or value.count('"') % 2:
        message = f"in {value} a quote has no partner."
    elif token and token[1] in value:
        message = f"{value} makes no sense from '{token[1]}' on."
    else:
        message = f"{value} cannot be read as a value."
    text = re.sub(r'(\\*)"', lambda m: m[1] * 2 + r"\"", value)
    typed = shlex.quote(f'{key}="{text}"')
    return Problem("bad-value", key, message, f"If it is meant as plain text, write {typed}.")


def _no_place(key: str, said: str) -> Problem:
    """An override of a group that the composed defaults do not use there."""
    meant = re.search(r"Did you mean to override ([^\s?]+)\?", said)
    several = re.search(r"Did you mean to override one of ([^?]+)\?", said)
    message = "the chosen configs have no such place."
    if meant or several:
        places = meant[1] if meant else several[1] if several else ""
        return Problem("unknown-place", key, message, f"There is {places}.")
    hint = "A node's kind is chosen by node/ROLE@graph.nodes.NAME=KIND, with a NAME of the graph."
    return Problem("unknown-place", key, message, hint if key.startswith("node/") else f"Try +{key}=...")


def _yaml(error: Any) -> Problem:
    mark = getattr(error, "problem_mark", None)
    where = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = " ".join(str(getattr(error, "problem", None) or error).split())
    return Problem("bad-yaml", where, f"this is no YAML: {what}.", "Look at brackets, quotes and indents.")


def _words(error: Any) -> Problem:
    """Hydra's or OmegaConf's own words as one line."""
    key = getattr(error, "full_key", None)
    first = re.split(r"\n\s*full_key", str(error).strip())[0]
    words = " ".join(first.split()) or type(error).__name__
    cause = error.__cause__
    if cause is not None and str(cause) not in words:
        words += " " + " ".join(re.split(r"\n\s*full_key", str(cause))[0].split())
        key = key or getattr(cause, "full_key", None)
    place = str(key) if key and not words.startswith(str(key)) else ""
    return Problem("bad-config", place, words if words.endswith((".", "?", "!")) else words + ".")
