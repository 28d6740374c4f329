"""What a person typed → overrides that Hydra's grammar can read.

Paths are taken as they are. A file of exactly that name always wins; only then is ``[A,B]`` a list
and, in a sweep (``-m``), ``A,B`` a choice. Options of nodes and hardware are handed on as ``++``,
so that our own check sees every typo at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from dualface.graph.errors import Problem, RequestError
from dualface.graph.registry import nearest
from dualface.guard import typed_problem
from dualface.sentences import no_choice
from dualface.settings import GROUPS, keys

PATHS = ("input", "input_list", "output", "people.left", "people.right")
NAMES = ("action", "format", "kind", "model", "target", "bench", "objective", "people.sides")
_OVERRIDE = re.compile(r"^(?P<sign>~|\+{0,2})(?P<key>[^=]*?)(?:=(?P<value>.*))?$", re.DOTALL)
_PLAIN = re.compile(r"(?!null$)[A-Za-z0-9_./-]*")
_FUNCTION = re.compile(r"\w+\(.*\)", re.DOTALL)  # of Hydra's grammar, such as choice(a,b)


def quote(text: str) -> str:
    """``text`` as a quoted string of Hydra's grammar that means exactly ``text``.

    >>> print(quote("it's [1], ${x}.mp4"))
    'it\\'s [1], \\${x}.mp4'
    """
    # OmegaConf reads ${ as a reference and halves the backslashes before it.
    text = re.sub(r"(\\*)\$\{", lambda m: m[1] * 2 + r"\${", text)
    # Hydra halves the backslashes before a quote, also before the closing one.
    text = re.sub(r"(\\*)'", lambda m: m[1] * 2 + r"\'", text)
    tail = len(text) - len(text.rstrip("\\"))
    return "'" + text + "\\" * tail + "'"


def split(text: str) -> list[str]:
    """``text`` cut at commas outside quotes and brackets; quotes around a part are taken off.

    >>> split("a b.mp4, 'c,d.mp4'")
    ['a b.mp4', 'c,d.mp4']
    """
    parts, start, inside, depth = [], 0, "", 0
    for i, c in enumerate(text):
        if inside:
            inside = "" if c == inside else inside
        elif c in "'\"" and not text[start:i].strip():
            inside = c  # an apostrophe within a name opens nothing
        elif c in "[]":
            depth = max(0, depth + (1 if c == "[" else -1))
        elif c == "," and not depth:
            parts.append(text[start:i])
            start = i + 1
    return [_bare(part.strip()) for part in [*parts, text[start:]] if part.strip()]


def path_value(value: str, sweep: bool) -> str:
    """The value of a path key as Hydra should read it."""
    if not value or value == "null" or os.path.lexists(value):
        return quote(value) if value not in ("", "null") else "null"
    if sweep and len(parts := split(value)) > 1:
        return ",".join(path_value(part, False) for part in parts)
    if value.startswith("[") and value.endswith("]"):
        return "[" + ",".join(map(quote, split(value[1:-1]))) + "]"
    return quote(_bare(value))


def name_value(value: str, sweep: bool) -> str:
    """The value of a key that takes a name, as Hydra should read it: whatever it holds, it is text.

    >>> name_value("dé/x", False), name_value("run,bench", True), name_value("choice(a,b)", True)
    ("'dé/x'", 'run,bench', 'choice(a,b)')
    """
    if _PLAIN.fullmatch(value) or (sweep and _FUNCTION.fullmatch(value)):
        return value
    if sweep and len(parts := split(value)) > 1:
        return ",".join(name_value(part, False) for part in parts)
    return quote(_bare(value))


def overrides(args: Sequence[str], sweep: bool, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The overrides ``args`` made ready for Hydra. ``groups`` are the config groups and their
    choices. Raises `RequestError` for unknown keys, groups and choices, all at once."""
    ready, problems = sift(args, sweep, groups)
    if problems:
        raise RequestError(problems)
    return ready


def sift(
    args: Sequence[str], sweep: bool, groups: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[Problem]]:
    """As `overrides`, but what is right of ``args`` beside what is wrong with the others."""
    known = [key for key, _, _ in keys()]
    ready: list[str] = []
    told: list[Problem] = []
    for arg in args:
        problems: list[Problem] = []
        made = _override(arg, sweep, known, groups, problems)
        ready += [] if problems else [made]
        told += problems
    return ready, told


def _override(
    arg: str, sweep: bool, known: list[str], groups: Mapping[str, Sequence[str]], problems: list[Problem]
) -> str:
    match = _OVERRIDE.match(arg)
    assert match is not None  # the pattern takes any text
    sign, key, value = match["sign"], match["key"], match["value"]
    if value is None and sign != "~":
        hint = (
            f"Did you mean 'input={arg}'?"
            if os.path.exists(arg)
            else "Write key=value; --help lists the keys."
        )
        problems.append(Problem("bad-argument", "", f"'{arg}' is no setting.", hint))
        return arg
    head = key.split("@")[0].split("/")[0].split(".")[0]
    group = key.split("@")[0]
    if closed := typed_problem(key, value or ""):
        problems.append(closed)
        return arg
    if head == "hydra":
        return arg
    if "@" in key or "/" in key or group in groups:
        if group not in groups:
            problems.append(_unknown(group, groups, "there is no config group"))
        elif value is not None and sign != "~":
            problems += _choices(group, value, sweep, groups[group])
        # Groups that the main config does not list can only be added.
        return f"+{arg}" if group == key and group not in GROUPS and "/" not in key and not sign else arg
    if head in GROUPS:
        return f"++{key}={value}" if "." in key and sign != "~" else arg
    if head == "faults" and sign != "~":
        return f"++{key}={value}"  # as +faults=, which Hydra would refuse for a key that there is
    blocks = {name.partition(".")[0] for name in known if "." in name}
    if head in blocks and "." in key and key not in known:
        problems.append(_unknown(key, known, "there is no key"))
        return arg
    if head not in (*known, *blocks):
        problems.append(_unknown(head, [*known, *groups], "there is no key"))
        return arg
    if value is None or sign == "~" or key not in (*PATHS, *NAMES):
        return arg
    return f"{key}={(path_value if key in PATHS else name_value)(value, sweep)}"


def _choices(group: str, value: str, sweep: bool, choices: Sequence[str]) -> list[Problem]:
    """What is wrong with ``value`` as the choice of ``group``."""
    if value in ("", "null"):
        hint = f"The choices are {', '.join(choices)}."
        return [Problem("unknown-choice", f"{group}={value}", "a choice must be named.", hint)]
    if set(value) & set("[]{}()$"):
        return []  # several at once, or a function of Hydra's
    names = split(value) if sweep else [_bare(value)]
    return [no_choice(group, name, list(choices)) for name in names if name not in choices]


def _unknown(name: str, known: Iterable[str], what: str) -> Problem:
    near = nearest(name, known)
    hint = f"Did you mean '{near}'?" if near else "--help lists them all."
    return Problem("unknown-key", "", f"{what} '{name}'.", hint)


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
