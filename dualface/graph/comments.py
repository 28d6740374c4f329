"""The comments of a dataclass's fields: what the author wrote there is the option's help text."""

from __future__ import annotations

import dataclasses
import inspect
import tokenize
from collections.abc import Mapping
from io import StringIO
from typing import Any


def field_comments(config: type[Any]) -> Mapping[str, str]:
    """Field name to the comment behind it, or else above it; base classes included."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if dataclasses.is_dataclass(cls):
            try:
                source = inspect.getsource(cls)
            except (OSError, TypeError):  # made at run time: no source, no comments
                continue
            found |= _comments_in(inspect.cleandoc(source))
    return found


def _comments_in(source: str) -> dict[str, str]:
    """Field name to comment, read from the tokens of one class body."""
    found: dict[str, str] = {}
    above: list[str] = []
    field, depth, fresh, level = "", 0, True, 0
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.INDENT:
            level += 1
        elif token.type == tokenize.DEDENT:
            level -= 1
        elif token.type == tokenize.COMMENT:
            text = token.string.lstrip("#").strip()
            if token.line.lstrip().startswith("#") and not depth:
                above.append(text)
            elif field:
                found[field] = " ".join(filter(None, [found.get(field, ""), text]))
        elif token.type == tokenize.OP and token.string in "([{":
            depth += 1
        elif token.type == tokenize.OP and token.string in ")]}":
            depth -= 1
        elif token.type == tokenize.OP and token.string == ":" and field and not depth and level == 1:
            if above:
                found.setdefault(field, " ".join(above))
            above = []
        elif token.type == tokenize.NEWLINE:
            fresh = True
            if not token.line.lstrip().startswith("#"):
                above = []
            continue
        elif token.type == tokenize.NL:
            if not token.line.strip():
                above = []
            continue
        elif fresh and token.type == tokenize.NAME and level == 1:
            field = token.string
        if token.type not in (tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.NL):
            fresh = False
    return found
