"""Installed kinds of node: all in a list, or one in full."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

from dualface.graph.draw.data import first_line, plain, state_words
from dualface.graph.draw.text import columns
from dualface.graph.errors import Problem, RequestError
from dualface.graph.options import Option, describe, show
from dualface.graph.ports import Port
from dualface.graph.registry import Kind, Registry

WIDE = 28  # characters in a column of types or defaults, at most


def list_kinds(registry: Registry, format: str = "text") -> str:
    """Every kind, role by role, and those that are installed and broken; text or json."""
    kinds = sorted(registry.kinds.values(), key=lambda k: (k.role, _rank(k), k.name))
    if format == "json":
        data = {"kinds": [kind_data(kind) for kind in kinds], "broken": dict(sorted(registry.broken.items()))}
        return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    rows = [
        (kind.name, kind.package, "" if kind.rank is None else str(kind.rank), first_line(kind))
        for kind in kinds
    ]
    lines = columns([("kind", "package", "rank", "what it does"), *rows], indent="")
    if registry.broken:
        lines += ["", "installed, but broken:"]
        lines += columns(sorted(registry.broken.items()))
    return "\n".join([*lines, "", "kind=<name> shows one in full."])


def describe_kind(kind: Kind | str, registry: Registry | None = None, format: str = "text") -> str:
    """A kind's ports, options and nature; a name is looked up in ``registry``. Raises
    `RequestError` where there is no such kind."""
    if isinstance(kind, str):
        kind = _find(kind, registry or Registry({}, {}))
    if format == "json":
        return json.dumps(kind_data(kind), indent=2, ensure_ascii=False, allow_nan=False)
    doc = inspect.cleandoc(kind.cls.__doc__ or "").strip()
    rank = "" if kind.rank is None else f", rank {kind.rank} among the candidates for {kind.role}"
    lines = [kind.name, *([doc] if doc else []), "", f"from {kind.package}{rank}"]
    data = kind_data(kind)
    lines += [f"looks ahead: {data['lookahead']}", f"remembers: {data['state']}"]
    for title, ports in (("inputs", kind.ports.inputs), ("outputs", kind.ports.outputs)):
        lines += ["", f"{title}:" if ports else f"{title}: none"]
        lines += columns((port.name or "(its only one)", _port_words(port)) for port in ports.values())
    options = describe(kind.config)
    lines += ["", "options:" if options else "options: none"]
    lines += columns(map(_option_words, options)) if options else []
    return "\n".join(lines)


def kind_data(kind: Kind) -> dict[str, Any]:
    """A kind as plain data. Look-ahead and state are those of its default options."""
    return {
        "kind": kind.name,
        "role": kind.role,
        "package": kind.package,
        "rank": kind.rank,
        "doc": inspect.cleandoc(kind.cls.__doc__ or "").strip(),
        "inputs": _ports(kind.ports.inputs),
        "outputs": _ports(kind.ports.outputs),
        "options": [
            {
                "name": o.name,
                "type": o.type,
                "default": plain(o.default),
                "required": o.required,
                "doc": o.doc,
            }
            for o in describe(kind.config)
        ],
        "lookahead": _by_default(kind, lambda config: f"{kind.cls.lookahead(config)} frames"),
        "state": _by_default(kind, lambda config: state_words(kind.cls.state(config))),
    }


def _find(name: str, registry: Registry) -> Kind:
    if name in registry.kinds:
        return registry.kinds[name]
    if name in registry.broken:
        message = f"'{name}' is installed but cannot be used: {registry.broken[name].rstrip('.')}."
        raise RequestError([Problem("broken-kind", "kind", message)])
    near = registry.nearest(name)
    hint = f"Did you mean '{near}'?" if near else "action=nodes lists the kinds there are."
    raise RequestError([Problem("unknown-kind", "kind", f"no kind is called '{name}'.", hint)])


def _by_default(kind: Kind, ask: Any) -> str:
    try:
        return str(ask(kind.config()))
    except Exception:  # options without defaults: it depends on them
        return "depends on the options"


def _ports(ports: Mapping[str, Port]) -> list[dict[str, Any]]:
    return [{"name": p.name, "type": str(p.type), "optional": p.optional} for p in ports.values()]


def _port_words(port: Port) -> str:
    return f"{port.type}{' (may be left out)' if port.optional else ''}"


def _option_words(option: Option) -> tuple[str, str, str, str]:
    """Name, type, default and help; a long list of choices goes behind the help."""
    default = "(required)" if option.required else show(plain(option.default))
    default = default if len(default) <= WIDE else default[: WIDE - 3] + "..."
    if len(option.type) <= WIDE:
        return option.name, option.type, default, option.doc
    return option.name, "choice", default, f"{option.doc}: {option.type}"


def _rank(kind: Kind) -> int:
    return 1000 if kind.rank is None else kind.rank
