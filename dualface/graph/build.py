"""From a graph config to a typed, checked graph, or to a list of every problem found.

The steps, each in a file of its own: `request` reads what was written, `candidates` looks the
kinds up and checks their options, `wiring` checks what can be said of the edges by their names
alone, `fit` binds types to what is wired and to the hardware, and `place` puts each node into
the graph: in topological order, so that it sees what its producers give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualface.graph.building.candidates import Choices, choices
from dualface.graph.building.place import Work, place, readable_inputs
from dualface.graph.building.request import Asked, read_request
from dualface.graph.building.wiring import check_order, check_ref, check_unused, needed, sort_nodes
from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.ports import PortType
from dualface.graph.registry import Registry, nearest
from dualface.graph.types import Memory


def build(
    config: Mapping[str, Any],
    hardware: Hardware,
    registry: Registry,
    *,
    strict_zero_copy: bool = False,
    exclude: Excluded | None = None,
) -> Graph:
    """The graph that ``config`` (the plain ``graph`` section) describes, for ``hardware``.

    ``exclude`` puts candidates out, for graphs to fall back on. Raises `RequestError` with all
    problems at once.
    """
    exclude = exclude or {}
    problems: list[Problem] = []
    request = read_request(config, problems)
    work = Work(request, hardware, registry, problems)
    enabled = [asked for asked in request.nodes.values() if asked.enabled]
    if not enabled and not problems:
        hint = "Give it nodes, or set enabled: true for some."
        problems.append(Problem("no-nodes", "graph.nodes", "the graph has no nodes.", hint))
    for asked in enabled:
        work.choices[asked.name] = choices(asked, registry, exclude, problems)
    _check_inputs(work)
    order = check_order(request, problems)
    _check_source(work, order.cyclic)
    for name in order.names:
        place(work, request.nodes[name], name in order.cyclic)
    check_unused(request, work.effects, _meant(work), problems)
    if strict_zero_copy:
        problems += _copies(work)
    if problems:
        raise RequestError(problems)
    keep = needed(work.edges, work.effects, [*work.placed])
    edges = tuple(edge for edge in work.edges if edge.consumer in keep)
    position = {name: index for index, name in enumerate(request.nodes)}
    nodes = sort_nodes([node for node in work.placed.values() if node.name in keep], edges, position)
    return Graph(request.name, nodes, edges, exclude)


def _check_inputs(work: Work) -> None:
    """Each wired input must exist, each required one be wired."""
    for name, found in work.choices.items():
        asked = work.request.nodes[name]
        for port, ref in asked.inputs.items():
            check_ref(work.request, asked, port, ref, work.problems)
        if found.ports is None:
            continue
        readable = readable_inputs(work, asked)
        for port in asked.inputs:
            if port not in readable:
                work.problems.append(_unknown_input(asked, port, found, list(readable)))


def _unknown_input(asked: Asked, port: str, found: Choices, readable: list[str]) -> Problem:
    kind = found.choices[0].kind.name if found.choices else asked.role or asked.wanted[0].kind
    near = nearest(port, readable)
    hint = f"Its inputs are {', '.join(readable)}." if readable else "It has no inputs."
    hint = f"Did you mean '{near}'?" if near else hint
    return Problem("unknown-input", f"{asked.where}.inputs.{port}", f"{kind} has no input '{port}'.", hint)


def _check_source(work: Work, cyclic: set[str]) -> None:
    ports = [found.ports for found in work.choices.values()]
    if not ports or cyclic or any(p is None or not p.inputs for p in ports):
        return
    hint = "Add one that reads the video, for example decode."
    message = "no node of the graph is a source: each of them has inputs."
    work.problems.append(Problem("no-source", "graph.nodes", message, hint))


def _meant(work: Work) -> set[str]:
    """Nodes that an input with a problem may have been meant to name: its type is theirs."""
    troubled = {problem.where for problem in work.problems}
    wanted = [
        port.type.value
        for name, found in work.choices.items()
        for port in (readable_inputs(work, work.request.nodes[name]).values() if found.ports else ())
        if f"graph.nodes.{name}.inputs.{port.name}" in troubled
    ]
    return {
        name
        for name, found in work.choices.items()
        for output in (found.ports.outputs.values() if found.ports else ())
        if any(issubclass(output.type.value, value) for value in wanted)
    }


def _copies(work: Work) -> list[Problem]:
    """A problem for each edge by which pixels cross between host and GPU."""
    problems = []
    for node in work.placed.values():
        into = [edge for edge in work.edges if edge.consumer == node.name and edge.type.memory]
        outs = [edge for edge in work.edges if edge.producer == node.name and edge.type.memory]
        for edge in outs:
            for source in into:
                if source.type.memory != edge.type.memory:
                    start = f"{source.producer}.{source.output}" if source.output else source.producer
                    message = (
                        f"pixels would cross from {_at(source.type)} to {_at(edge.type)} "
                        f"between {start} and {edge.consumer}.{edge.input}."
                    )
                    where = f"graph.nodes.{edge.consumer}.inputs.{edge.input}"
                    hint = "Choose kinds that share a memory, or set strict_zero_copy=false."
                    problems.append(Problem("strict-zero-copy", where, message, hint))
    return problems


def _at(type_: PortType) -> str:
    return type_.memory.value if isinstance(type_.memory, Memory) else str(type_.memory)
