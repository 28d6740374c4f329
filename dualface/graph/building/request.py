"""A graph config as it was written: read into plain values, before anything is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dualface.graph.errors import Problem
from dualface.graph.options import show
from dualface.graph.registry import nearest

GRAPH_KEYS = ("name", "output", "nodes")
NODE_KEYS = ("kind", "auto", "candidates", "inputs", "enabled")


@dataclass(frozen=True, slots=True)
class Ref:
    """What is wired to an input: a node, and one of its outputs ("" where none is named)."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node


@dataclass(frozen=True, slots=True)
class Wanted:
    """A kind that may fill a node's place, with its own options. ``name`` is "" where it is the
    only one."""

    name: str
    kind: str
    options: Mapping[str, Any]
    where: str
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A node as the config asks for it. ``role`` is the word behind ``auto``, "" for a pinned
    kind; ``shared`` are the options that all candidates of an ``auto`` share. Where it is ``closed``
    (``auto: role/what``) there are no other candidates than those listed."""

    name: str
    where: str
    role: str
    wanted: tuple[Wanted, ...]
    shared: Mapping[str, Any]
    inputs: Mapping[str, Ref]
    enabled: bool = True
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """The whole graph as asked for. ``unread`` are nodes that are there but make no sense."""

    name: str
    nodes: Mapping[str, Asked]
    unread: frozenset[str] = frozenset()


def read_request(config: Any, problems: list[Problem]) -> Request:
    """The ``graph`` section as a `Request`; what cannot be read is added to ``problems``."""
    if not isinstance(config, Mapping):
        problems.append(Problem("bad-graph", "graph", f"{show(config)} is no graph; a graph is a mapping."))
        return Request("", {})
    problems += _hydra_keys(config, "graph")
    for key in config:
        if key not in GRAPH_KEYS and not _is_hydra_key(key):
            near = nearest(str(key), GRAPH_KEYS)
            hint = f"Did you mean '{near}'?" if near else "A graph has name, output and nodes."
            problems.append(Problem("unknown-key", f"graph.{key}", f"a graph has no '{key}'.", hint))
    for key in ("name", "output"):
        if not isinstance(config.get(key, ""), str | None):
            problems.append(Problem("bad-graph", f"graph.{key}", f"{show(config[key])} is not text."))
    nodes = config.get("nodes")
    if not isinstance(nodes, Mapping):
        said = "a graph needs nodes" if nodes is None else f"{show(nodes)} is no mapping of names to nodes"
        problems.append(Problem("bad-nodes", "graph.nodes", f"{said}.", "Write nodes: {name: {kind: ...}}."))
        return Request(str(config.get("name")), {})
    asked: dict[str, Asked] = {}
    unread: set[str] = set()
    # Nodes that say what they are: an option of a mistyped node makes one that does not.
    whole = [str(n) for n, one in nodes.items() if isinstance(one, Mapping) and {"kind", "auto"} & {*one}]
    for name, node in nodes.items():
        where = f"graph.nodes.{name}"
        if not isinstance(name, str) or not name.isidentifier():
            hint = "Use letters, digits and _, and no digit first."
            problems.append(Problem("bad-name", where, f"{show(name)} cannot be the name of a node.", hint))
            unread.add(str(name))
        elif not isinstance(node, Mapping):
            hint = f"Write {name}: {{kind: ..., inputs: {{...}}}}."
            problems.append(Problem("bad-node", where, f"{show(node)} is no node.", hint))
            unread.add(name)
        elif (one := _read_node(name, node, where, whole, problems)) is not None:
            asked[name] = one
        else:
            unread.add(name)
    return Request(str(config.get("name") or ""), asked, frozenset(unread))


def _read_node(
    name: str, node: Mapping[Any, Any], where: str, others: list[str], problems: list[Problem]
) -> Asked | None:
    enabled = node.get("enabled", True)
    if not isinstance(enabled, bool):
        message = f"{show(enabled)} is not true or false."
        problems.append(Problem("bad-option", f"{where}.enabled", message))
        enabled = True
    inputs = _read_inputs(node.get("inputs"), f"{where}.inputs", problems if enabled else [])
    if not enabled:
        return Asked(name, where, "", (), {}, inputs or {}, False)
    if inputs is None:
        return None
    options = {k: v for k, v in _clean(node).items() if k not in NODE_KEYS}
    kind, auto = node.get("kind"), node.get("auto")
    if kind is not None and auto is not None:
        hint = "Keep kind to pin one, or auto to have the best that fits."
        problems.append(Problem("kind-and-auto", where, "a node has either kind or auto, not both.", hint))
        return None
    if auto is None:
        if "candidates" in node:
            hint = "Write auto: <role> beside them."
            problems.append(
                Problem("no-auto", f"{where}.candidates", "only an auto node has candidates.", hint)
            )
        if not _is_text(kind):
            said = "it has no kind" if kind is None else f"{show(kind)} is no kind"
            hint = "Write kind: <role>/<name>; action=nodes lists the kinds there are."
            if kind is None and "inputs" not in node and (near := nearest(name, others)):
                hint = f"Did you mean the node '{near}'? {hint}"
            problems.append(Problem("no-kind", where, f"{said}.", hint))
            return None
        return Asked(name, where, "", (Wanted("", str(kind), options, where),), {}, inputs)
    if not _is_text(auto):
        hint = "Write the role, for example auto: detect."
        problems.append(Problem("no-role", f"{where}.auto", f"{show(auto)} is no role.", hint))
        return None
    wanted = _read_candidates(node.get("candidates"), f"{where}.candidates", problems)
    role, slash, _ = auto.partition("/")
    return Asked(name, where, role, wanted, options, inputs, closed=bool(slash))


def _read_candidates(candidates: Any, where: str, problems: list[Problem]) -> tuple[Wanted, ...]:
    if candidates is None:
        return ()
    if not isinstance(candidates, Mapping):
        hint = "Write candidates: {name: {kind: ..., rank: ...}}."
        problems.append(Problem("bad-candidate", where, f"{show(candidates)} is no mapping.", hint))
        return ()
    wanted = []
    for name, one in candidates.items():
        place = f"{where}.{name}"
        kind = one.get("kind") if isinstance(one, Mapping) else None
        if not isinstance(one, Mapping) or not _is_text(kind):
            hint = f"Write {name}: {{kind: <role>/<name>, rank: 50}}."
            problems.append(Problem("bad-candidate", place, f"{show(one)} names no kind.", hint))
            continue
        rank = one.get("rank")
        if rank is not None and (not isinstance(rank, int) or isinstance(rank, bool)):
            message = f"{show(rank)} is not a whole number."
            problems.append(Problem("bad-option", f"{place}.rank", message))
            rank = None
        options = {k: v for k, v in _clean(one).items() if k not in ("kind", "rank")}
        wanted.append(Wanted(str(name), str(kind), options, place, rank))
    return tuple(wanted)


def _read_inputs(inputs: Any, where: str, problems: list[Problem]) -> dict[str, Ref] | None:
    """Port to `Ref`, which is empty where it cannot be read; ``null`` leaves a port unwired.
    None where nothing can be read."""
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping):
        hint = "Write inputs: {port: node} or {port: node.output}."
        problems.append(Problem("bad-inputs", where, f"{show(inputs)} is no mapping.", hint))
        return None
    refs = {}
    for port, text in inputs.items():
        if text is None:
            continue
        parts = text.split(".") if isinstance(text, str) else []
        if 1 <= len(parts) <= 2 and all(part.strip() == part and part for part in parts):
            refs[str(port)] = Ref(parts[0], parts[1] if len(parts) == 2 else "")
        else:
            refs[str(port)] = Ref("", "")
            hint = "Write node, or node.output."
            problems.append(Problem("bad-inputs", f"{where}.{port}", f"{show(text)} names no output.", hint))
    return refs


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_hydra_key(key: Any) -> bool:
    """``_target_`` and its like, by which hydra.utils.instantiate runs what it is told."""
    return isinstance(key, str) and len(key) > 2 and key.startswith("_") and key.endswith("_")


def _clean(value: Any) -> Any:
    """``value`` without such keys: they are told of once, and lead to nothing else."""
    if isinstance(value, Mapping):
        return {key: _clean(inner) for key, inner in value.items() if not _is_hydra_key(key)}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


def _hydra_keys(value: Any, where: str) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if _is_hydra_key(key):
                hint = "A node is named by its kind; nothing in a config is ever instantiated."
                yield Problem("hydra-key", f"{where}.{key}", f"'{key}' has no meaning here.", hint)
            else:
                yield from _hydra_keys(inner, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _hydra_keys(inner, f"{where}.{index}")
