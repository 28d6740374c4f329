"""A node's options: what they are, and plain values checked into its config dataclass."""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dualface.graph.comments import field_comments
from dualface.graph.errors import Problem
from dualface.graph.registry import nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a node: its type as written for people, its default and its help text.
    ``required`` is true where there is no default."""

    name: str
    type: str
    default: Any
    doc: str
    required: bool = False


def describe(config: type[Any]) -> tuple[Option, ...]:
    """The options of a config dataclass, in order.

    The help text is the comment behind a field, or the comment lines above it.
    """
    hints = typing.get_type_hints(config)
    docs = field_comments(config)
    options = []
    for field in _fields(config):
        default, required = field.default, False
        if default is dataclasses.MISSING:
            required = field.default_factory is dataclasses.MISSING
            default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
        doc = docs.get(field.name, "")
        options.append(Option(field.name, type_name(hints[field.name]), default, doc, required))
    return tuple(options)


def option_names(config: type[Any]) -> tuple[str, ...]:
    """Just the names, in order, which costs no look at the source."""
    return tuple(field.name for field in _fields(config))


def parse(
    config: type[T], values: Mapping[Any, Any], where: str, owner: str = ""
) -> tuple[T | None, list[Problem]]:
    """``values`` as an instance of the dataclass ``config``, or every problem they have.

    Types are taken at their word: ``true`` is no number and ``"5"`` is text. ``where`` is the
    place in the config that the problems name, ``owner`` what has the options. Options that are
    unknown or mistyped are left out to see whether the rest makes sense, so that nothing wrong
    is found only on a second try.
    """
    try:
        plain = json.loads(json.dumps(dict(values), default=_plain))
        adapter = TypeAdapter(config)
    except (TypeError, ValueError) as error:
        return None, [Problem("bad-option", where, f"there is a value that YAML does not have: {error}.")]
    except (PydanticUserError, NameError) as error:
        reason = str(error).splitlines()[0]
        return None, [Problem("broken-kind", where, f"{config.__name__} cannot be read: {reason}.")]
    problems: list[Problem] = []
    known = _drop_unknown(config, plain, where, problems, owner)
    dropped: set[Any] = set()
    while True:
        try:
            made = adapter.validate_json(json.dumps(known), strict=True)
            return (None if problems else made), problems
        except ValidationError as error:
            found = [_explain(config, known, one, where) for one in error.errors(include_url=False)]
        except Exception as error:  # a __post_init__ that breaks instead of saying what is wrong
            problems.append(
                Problem("bad-option", where, f"{config.__name__} breaks on these options: {error}.")
            )
            return None, problems
        fresh = {p.where: p for _, p in found if p.where.removeprefix(f"{where}.") not in dropped}
        problems += fresh.values()
        if not all(path for path, _ in found):
            return None, problems
        # What is wrong is set back to its default, which may bring a __post_init__ to speak.
        dropped |= {path[0] for path, _ in found}
        known = {key: value for key, value in known.items() if key not in dropped}


def type_name(hint: Any) -> str:
    """A type as a person writes it: ``float``, ``hold | wide``, ``list[text]``."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is type(None):
        return "null"
    if origin is Literal:
        return " | ".join(map(_show_bare, args))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_name, args))
    if hint in (str, Path):
        return "text" if hint is str else "path"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " | ".join(_show_bare(member.value) for member in hint)
    if origin is not None and args:
        inner = ", ".join("..." if arg is Ellipsis else type_name(arg) for arg in args)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return str(getattr(hint, "__name__", hint))


def expectation(hint: Any) -> str:
    """What a value of this type is, as part of a sentence: ``a whole number or null``."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(map(_show_bare, args)) if len(args) > 1 else _show_bare(args[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(expectation, args))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(_show_bare(member.value) for member in hint)
    if dataclasses.is_dataclass(hint):
        return "a mapping with " + ", ".join(f.name for f in _fields(typing.cast("type[Any]", hint)))
    kind = origin or hint
    if kind is tuple and args and Ellipsis not in args:
        return f"a list of {len(args)} values ({', '.join(map(type_name, args))})"
    if kind in (list, tuple, set, frozenset) or kind is Sequence:
        return f"a list of {type_name(args[0])} values" if args else "a list"
    if kind is dict or kind is Mapping:
        return "a mapping"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
    return "null" if hint is type(None) else words.get(hint, type_name(hint))


def _fields(config: type[Any]) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(config) if field.init]


def _plain(value: Any) -> Any:
    """Values that Python code may put into a config, as YAML would hold them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _drop_unknown(hint: Any, value: Any, where: str, problems: list[Problem], owner: str = "") -> Any:
    """``value`` without the keys that no dataclass in ``hint`` has; each is a problem."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        arms = [arg for arg in get_args(hint) if dataclasses.is_dataclass(arg) or get_args(arg)]
        return _drop_unknown(arms[0], value, where, problems) if len(arms) == 1 else value
    if isinstance(value, list):
        return [_drop_unknown(_item(hint, i), one, f"{where}.{i}", problems) for i, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if not dataclasses.is_dataclass(hint):
        return {k: _drop_unknown(_item(hint, k), v, f"{where}.{k}", problems) for k, v in value.items()}
    config = typing.cast("type[Any]", hint)
    hints, names = typing.get_type_hints(config), [field.name for field in _fields(config)]
    kept = {}
    for key, one in value.items():
        if key in names:
            kept[key] = _drop_unknown(hints[key], one, f"{where}.{key}", problems)
        else:
            problems.append(unknown_option(key, names, f"{where}.{key}", owner or config.__name__))
    return kept


def unknown_option(key: str, names: Sequence[str], where: str, owner: str) -> Problem:
    """The problem of an option that does not exist, with the one that was probably meant."""
    near = nearest(key, names)
    options = f"its options are {', '.join(names)}." if names else "it has no options."
    hint = f"Did you mean '{near}'?" if near else options[0].upper() + options[1:]
    return Problem("unknown-option", where, f"{owner} has no option '{key}'.", hint)


def _item(hint: Any, key: Any) -> Any:
    """The type of an element of a list, tuple or dict type; None where nothing is said."""
    args = get_args(hint)
    if isinstance(key, int) and get_origin(hint) is tuple and Ellipsis not in args:
        return args[key] if key < len(args) else None
    if not args:
        return None
    return args[1] if isinstance(key, str) and len(args) > 1 else args[0]


def _explain(
    config: type[Any], values: Any, error: ErrorDetails, where: str
) -> tuple[tuple[Any, ...], Problem]:
    """The path of what is wrong, and the problem in our own words."""
    hint: Any = config
    path: list[Any] = []
    for key in error["loc"]:
        bare = _bare(hint)
        if isinstance(values, dict) and key in values:
            of_fields = dataclasses.is_dataclass(bare)
            hint = typing.get_type_hints(bare).get(str(key)) if of_fields else _item(bare, key)
        elif isinstance(values, list) and isinstance(key, int) and key < len(values):
            hint = _item(bare, key)
        elif error["type"] == "missing" and dataclasses.is_dataclass(bare):
            place = ".".join(map(str, [where, *path, key]))
            wanted = expectation(typing.get_type_hints(bare)[str(key)])
            return tuple(path), Problem("missing-option", place, f"'{key}' is not given; it is {wanted}.")
        else:
            break  # the name of one arm of a union
        path.append(key)
        values = values[key]
    place = ".".join(map(str, [where, *path]))
    if error["type"] in ("value_error", "assertion_error"):
        said = str(error.get("ctx", {}).get("error", error["msg"])).strip()
        said += "" if said.endswith((".", "?", "!")) else "."
        return tuple(path), Problem("bad-option", place, said)
    near = ""
    if isinstance(values, str) and (found := nearest(values, map(str, _choices(hint)))):
        near = f"Did you mean '{found}'?"
    return tuple(path), Problem("bad-option", place, f"{show(values)} is not {expectation(hint)}.", near)


def _bare(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(hint) in (typing.Union, types.UnionType):
        arms = [arg for arg in get_args(hint) if arg is not type(None)]
        return arms[0] if len(arms) == 1 else hint
    return hint


def _choices(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from (member.value for member in hint)
    elif get_origin(hint) in (typing.Union, types.UnionType):
        for arm in get_args(hint):
            yield from _choices(arm)


def show(value: Any) -> str:
    """A value as YAML would have it, shortened: ``true``, ``"five"``, ``[1, 2]``."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _show_bare(value: Any) -> str:
    return value if isinstance(value, str) else show(value)
