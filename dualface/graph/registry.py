"""Which kinds of node there are: ours and those of every installed package."""

from __future__ import annotations

import difflib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from dualface.graph.node import Node, NodeConfig
from dualface.graph.ports import Ports, read_ports

GROUP = "dualface.nodes"
ROLE_GROUP = "dualface.roles"

N = TypeVar("N", bound=type[Node[Any]])


@dataclass(frozen=True)
class Kind:
    """A registered node class: ``name`` is ``role/what`` (or one word, for a role of its own).

    ``rank`` makes it a candidate of its role's ``auto``, best (lowest) first; ``None`` does not.
    """

    name: str
    cls: type[Node[Any]]
    package: str
    rank: int | None = None

    @property
    def role(self) -> str:
        return self.name.split("/", 1)[0]

    @cached_property
    def ports(self) -> Ports:
        return read_ports(self.cls.process)

    @cached_property
    def config(self) -> type[NodeConfig]:
        """The options' dataclass, from ``Node[ItsConfig]``. Raises TypeError where it is none."""
        for base in self.cls.__mro__:
            for written in getattr(base, "__orig_bases__", ()):
                for arg in get_args(written) if issubclass(get_origin(written) or object, Node) else ():
                    if isinstance(arg, type):
                        return _checked_config(arg)
        return NodeConfig


def _checked_config(config: type[Any]) -> type[NodeConfig]:
    """What is no options' dataclass would have no options, and nobody would know why."""
    if not issubclass(config, NodeConfig):
        raise TypeError(f"its options, {config.__name__}, must be a dataclass derived from NodeConfig")
    fields, written = config.__dataclass_fields__, vars(config).get("__annotations__", {})
    if plain := [name for name in written if name not in fields and "ClassVar" not in str(written[name])]:
        raise TypeError(f"{config.__name__} lacks @dataclass, so that '{plain[0]}' is no option")
    try:
        get_type_hints(config)
    except Exception as error:
        raise TypeError(f"the annotations of {config.__name__} do not resolve: {error}") from error
    return config


@dataclass(frozen=True)
class Registry:
    """Kinds and roles by name, and what could not be loaded: ``broken`` maps a kind to why."""

    kinds: Mapping[str, Kind]
    roles: Mapping[str, Ports]
    broken: Mapping[str, str] = field(default_factory=dict)

    def nearest(self, name: str) -> str | None:
        """The known kind whose name is most like ``name``."""
        return nearest(name, [*self.kinds, *self.broken])


def node(kind: str, *, rank: int | None = None) -> Callable[[N], N]:
    """Class decorator that names a node's kind, ``role/what``.

    With a ``rank`` the kind joins the candidates of its role's ``auto``; ours stand at 10 for
    dedicated hardware, 20 for CUDA and 50 for the CPU, and the lowest that fits is taken.
    """

    def mark(cls: N) -> N:
        cls.kind = kind
        cls.rank = rank  # type: ignore[attr-defined]
        return cls

    return mark


def role(process: Any) -> Ports:
    """The ports that all kinds of a role share, read from a function's annotations."""
    return read_ports(process)


def kind_of(cls: type[Node[Any]], package: str = "") -> Kind:
    """The `Kind` of a class decorated with `node`. Raises TypeError where it is none."""
    if not (isinstance(cls, type) and issubclass(cls, Node)):
        raise TypeError(f"{cls!r} is no node: that is a class derived from Node")
    if not cls.kind:
        raise TypeError(f"{cls.__name__} has no kind; decorate it with @node('role/name')")
    if not callable(getattr(cls, "process", None)):
        raise TypeError(f"{cls.__name__} has no method 'process'")
    rank = getattr(cls, "rank", None)
    if not isinstance(rank, int | None):
        raise TypeError(f"the rank of {cls.__name__} is {rank!r}; it is a whole number")
    return Kind(cls.kind, cls, package or cls.__module__.split(".")[0], rank)


def registry_of(classes: Iterable[type[Node[Any]]], roles: Mapping[str, Ports] | None = None) -> Registry:
    """A registry of just these classes, for tests and tools."""
    kinds = [kind_of(cls) for cls in classes]
    return Registry({k.name: k for k in kinds}, dict(roles or {}))


def installed() -> Registry:
    """Everything that the entry points of installed packages name.

    A kind whose import fails, whose class names another kind, or that two packages claim is
    listed in ``broken`` with the reason; it never takes the others down.
    """
    kinds: dict[str, Kind] = {}
    broken: dict[str, str] = {}
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: (e.name, e.value)):
        package = entry.dist.name if entry.dist else entry.module.split(".")[0]
        try:
            found = kind_of(entry.load(), package)
            found.ports, found.config  # noqa: B018  (both are read here so that their errors show here)
        except (Exception, SystemExit) as error:
            broken[entry.name] = f"{package}: {type(error).__name__}: {error}"
            continue
        if found.name != entry.name:
            broken[entry.name] = f"{package}: the class {entry.value} calls itself '{found.name}'"
        elif entry.name in kinds and kinds[entry.name].cls is not found.cls:
            broken[entry.name] = f"both {kinds[entry.name].package} and {package} bring it"
        else:
            kinds[entry.name] = found
    for name in broken:
        kinds.pop(name, None)
    roles: dict[str, Ports] = {}
    for entry in sorted(importlib.metadata.entry_points(group=ROLE_GROUP), key=lambda e: e.name):
        try:
            roles.setdefault(entry.name, read_ports(entry.load()))
        except Exception as error:
            broken[entry.name] = f"role: {type(error).__name__}: {error}"
    return Registry(kinds, roles, broken)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` most like ``name``, or ``None`` if none is.

    >>> nearest("detect/yunnet", ["detect/yunet", "track/bytetrack"])
    'detect/yunet'
    >>> nearest("nope", ["inspect", "solo"])
    """
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.65)
    return found[0] if found else None
