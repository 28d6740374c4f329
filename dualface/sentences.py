"""What went wrong → sentences on stderr and an exit code. Hydra, OmegaConf and YAML speak to the
authors of programs; here their words become what a person typed, what is wrong with it, what to do.
"""

from __future__ import annotations

import re
import shlex
import sys
import traceback
from collections.abc import Iterable
from typing import Any

from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.registry import nearest

_EXTRAS = {"hydra/launcher/joblib": "dualface[joblib]", "hydra/sweeper/optuna": "hydra-optuna-sweeper"}
_TYPED = r"'\+*(?P<key>[^=']*)=(?P<value>.*?)'"
_FILE = r"In '(?P<file>[^']*)': \w+ raised while composing config: "
_SAID = (  # Hydra's words, the place, what is wrong, what to do
    (
        rf"Ambiguous value for argument {_TYPED} 1\.",
        "{key}",
        "{value} is several values.",
        "Say -m to run each of them, or {key}=[{value}] for a list.",
    ),
    (rf"Sweep parameters {_TYPED} requires", "{key}", "{value} is several values.", "Say -m to run each."),
    (
        r"BasicSweeper does not support sweep type : INTERVAL",
        "",
        "interval(...) is for an optimiser.",
        "Name values, as in KEY=1,2, or choose an optimiser such as hydra/sweeper=optuna.",
    ),
    (rf"Sweeping over Hydra's .*{_TYPED}", "{key}", "it takes one value.", "Only dualface's keys are swept."),
    (
        r"Could not delete from config\. '(?P<key>.*)' does not exist",
        "~{key}",
        "there is nothing to take away.",
        "Leave it out.",
    ),
    (
        r"Could not delete from config\. The value of '(?P<key>.*)' is (?P<value>.*) and not",
        "~{key}",
        "its value is {value}.",
        "Write ~{key} alone.",
    ),
    (
        r"Could not append to config\. An item is already at '(?P<key>[^']*)'",
        "+{key}",
        "it is there already.",
        "Write it without the +.",
    ),
    (r"Multiple values for (?P<key>\S+)\. ", "+{key}", "it is chosen already.", "Write it without the +."),
    (
        r"(?P<key>\S+) appears more than once in the final defaults list",
        "{key}",
        "several of the chosen configs bring it.",
        "Choose one of them.",
    ),
    (rf"{_FILE}Key '(?P<key>[^']*)' not in", "{file}.yaml", "there is no key '{key}'.", "--help lists them."),
    (
        rf"{_FILE}(?:[Ff]ield '[^']*' is not Optional|Incompatible value 'None')",
        "{file}.yaml",
        "{key} cannot be null.",
        "Leave it out for the usual value.",
    ),
    (
        rf"{_FILE}Cannot convert '\w+' to string: '(?P<value>.*)'",
        "{file}.yaml",
        "{key} is one text, not {value}.",
        "--help shows the keys.",
    ),
    (
        rf"{_FILE}Value '(?P<value>.*)' is not a valid bool",
        "{file}.yaml",
        "{key} cannot be '{value}'.",
        "It is true or false.",
    ),
    (
        r"Interpolation key '(?P<value>[^']*)' not found",
        "{key}",
        "there is no ${{{value}}} to take a value from.",
        "Name a key of the config.",
    ),
    (rf"{_FILE}(?P<why>.*?)\.?$", "{file}.yaml", "{why}.", "--help shows the keys."),
)


def tell(error: Exception, debug: bool) -> int:
    """Say ``error`` on stderr; answers with the exit code."""
    if debug:
        traceback.print_exception(error)
    problems = problems_of(error)
    for problem in problems or ():
        print(problem, file=sys.stderr)
    _tell_stale(problems or ())
    if problems is not None:
        return 2
    if isinstance(error, InputError):
        print(error, file=sys.stderr)
    else:
        print(f"Something went wrong within dualface: {type(error).__name__}: {error}", file=sys.stderr)
        if not debug:
            print("debug=true shows where.", file=sys.stderr)
    return 1


def _tell_stale(problems: Iterable[Problem]) -> None:
    """What no config can mend: nodes that this checkout has and its installation does not know."""
    unknown = [p for p in problems if p.code in ("unknown-kind", "unknown-role", "broken-kind")]
    if not unknown:
        return
    from dualface.installation import AGAIN, stale

    if names := [name for name in stale() if any(f"'{name}'" in p.message for p in unknown)]:
        print(
            f"This checkout is newer than its installation, as to {', '.join(names)}. {AGAIN}",
            file=sys.stderr,
        )


def problems_of(error: Exception) -> tuple[Problem, ...] | None:
    """What ``error`` says is wrong with the request; ``None`` where the request is not at fault."""
    import yaml  # type: ignore[import-untyped]
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, RequestError):
        return error.problems
    if isinstance(error, HydraException | OmegaConfBaseException):
        return (_composing(error),)
    if isinstance(error, yaml.YAMLError):
        return (_yaml(error),)
    return None


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
        asker = asking[1] if asking and asking[1] not in ("config", "hydra/config") else ""
        if package := _EXTRAS.get(missing):
            message = "it is not installed."
            return Problem("not-installed", f"{group}={name}", message, f"pip install '{package}' brings it.")
        if group:
            return no_choice(group, name, list(error.options or ()), asker)
        return Problem("unknown-config", "", f"there is no config {missing}.yaml.", "Look at --config-name.")
    said, _, full_key = said.partition(" full_key: ")
    if merging := re.match(r"Error merging override (.*)", said):
        key, _, value = merging[1].lstrip("+").partition("=")
        why = str(error.__cause__).split("\n")[0].strip()
        if "out of range" in why or "is not an int" in why:
            hint = "Items are counted from 0; --cfg job shows the list."
            return Problem("unknown-place", key, "the list has no such item.", hint)
        hint = "It is true or false." if "is not a valid bool" in why else "--help shows the keys."
        return Problem("bad-value", key, f"it cannot be '{value}'.", hint)
    for pattern, where, message, hint in _SAID:
        if match := re.match(pattern, said):
            found = {"key": full_key.split(" ")[0], **match.groupdict()}
            parts = [text.format(**found) for text in (where, message, hint)]
            return Problem("bad-config" if ".yaml" in where else "bad-value", *parts)
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
