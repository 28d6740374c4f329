"""YAML that somebody else may have written, held to a size.

A few lines whose aliases (``*name``) stand for one another stand for billions of values, and whoever
copies them (OmegaConf does) fills the memory: so they are counted before anything is made of them.
"""

from __future__ import annotations

import errno
import math
import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # (OmegaConf brings it)

from dualface.graph.errors import Problem, RequestError

LONGEST = 256 * 1024  # bytes; the main graph has one thousand
MOST = 10_000  # values; the main graph has some two hundred
DEEPEST = 50

# What a reader of YAML raises for a value that it cannot make (!!timestamp 2026-13-45, !!int '', a whole
# number of ten thousand digits).
UNMADE = (ValueError, LookupError, ArithmeticError)


def read(path: Path) -> Any:
    """The plain values in ``path``. Raises OSError, UnicodeDecodeError, `yaml.YAMLError`, and
    `RequestError` for what is held back."""
    text = text_of(path)
    try:
        return yaml.safe_load(text)
    except UNMADE as error:
        raise unmade(str(path), error) from None


def text_of(path: Path) -> str:
    """What stands in ``path``, already looked at (`check`). Raises OSError, UnicodeDecodeError and
    `RequestError`."""
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise OSError(errno.EINVAL, "it is no file", str(path))
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        message = f"it has more than {LONGEST} bytes, which no config needs."
        raise RequestError([Problem("bad-yaml", str(path), message, "Is it the right file?")])
    text = data.decode("utf-8")
    check(text, str(path))
    return text


def unmade(name: str, error: Exception) -> RequestError:
    """The problem of ``name``, where a reader raised ``error``, one of `UNMADE`."""
    why = " ".join(str(error).split()).split(";")[0].rstrip(".")
    message = f"it holds a value that cannot be read ({why})."
    return RequestError([Problem("bad-yaml", name, message, "Look at its numbers and at what has a !tag.")])


def check(text: str, name: str) -> None:
    """Raise `RequestError` where ``text``, which is ``name``'s, is nested too deeply or its aliases stand
    for too much. What is no YAML is left for its reader to tell."""
    aliases = "*" in text and "&" in text
    indents = (len(line) - len(line.lstrip()) for line in text.splitlines())
    if not aliases and max(0, *map(text.count, ("[", "{", "- ", "? ")), *indents) < DEEPEST:
        return  # as nearly every file: it need not be read twice
    try:
        size, depth = _measure(yaml.compose(text, yaml.SafeLoader), {})
    except yaml.YAMLError:
        return
    except RecursionError:
        size, depth = 0, math.inf
    if aliases and size > MOST:
        message = f"its aliases (*name) make it stand for more than {MOST} values."
        raise RequestError([Problem("bad-yaml", name, message, "Write out what it needs.")])
    if depth > DEEPEST:
        message = f"it is nested more than {DEEPEST} levels deep."
        raise RequestError([Problem("bad-yaml", name, message, "Look at its brackets.")])


def _measure(node: Any, known: dict[int, tuple[float, float]]) -> tuple[float, float]:
    """How many values ``node`` stands for and how deep they go; without end where it holds itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1, 0
    if id(node) not in known:
        known[id(node)] = math.inf, math.inf  # unless its end is reached
        parts = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        sizes, depths = zip((1, 0), *(_measure(part, known) for part in parts), strict=True)
        known[id(node)] = sum(sizes), 1 + max(depths)
    return known[id(node)]


def printable(text: str) -> str:
    r"""``text`` in which control characters and halves of characters are told by their number.

    >>> printable("a\x1b[1m\n")
    'a\\x1b[1m\n'
    """
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", lambda m: ascii(m[0])[1:-1], text)
