"""What can be said of a graph's edges by names alone: that they lead somewhere, in no circle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from dualface.graph.building.request import Asked, Ref, Request
from dualface.graph.dag import Edge, GraphNode
from dualface.graph.errors import Problem
from dualface.graph.ports import Ports
from dualface.graph.registry import nearest


@dataclass(frozen=True, slots=True)
class Order:
    """Enabled nodes with producers before consumers as far as cycles allow, and the nodes that
    are in one."""

    names: tuple[str, ...]
    cyclic: set[str]


def check_ref(request: Request, asked: Asked, port: str, ref: Ref, problems: list[Problem]) -> None:
    """Whether ``ref`` names another node that is there."""
    where = f"{asked.where}.inputs.{port}"
    if ref.node == asked.name:
        message = f"'{asked.name}' reads its own output."
        problems.append(Problem("self-edge", where, message, "Wire it to the node before."))
    elif not ref.node or ref.node in request.unread:
        return  # what is wrong with it is told already
    elif ref.node not in request.nodes:
        near = nearest(ref.node, request.nodes)
        hint = f"Did you mean '{near}'?" if near else f"The nodes are {', '.join(request.nodes)}."
        problems.append(Problem("unknown-node", where, f"no node is called '{ref.node}'.", hint))


def check_order(request: Request, problems: list[Problem]) -> Order:
    """Sort the enabled nodes; each circle is a problem."""
    graph = nx.DiGraph()
    for asked in request.nodes.values():
        if asked.enabled:
            graph.add_node(asked.name)
    for asked in request.nodes.values():
        for ref in asked.inputs.values():
            if asked.enabled and ref.node in graph and ref.node != asked.name:
                graph.add_edge(ref.node, asked.name)
    position = {name: index for index, name in enumerate(request.nodes)}
    cyclic: set[str] = set()
    parts = [sorted(part, key=position.__getitem__) for part in nx.strongly_connected_components(graph)]
    for part in sorted(parts, key=lambda part: position[part[0]]):
        if len(part) > 1:
            cyclic |= set(part)
            circle = [edge[0] for edge in nx.find_cycle(graph.subgraph(part), part[0])]
            start = circle.index(min(circle, key=position.__getitem__))
            circle = [*circle[start:], *circle[:start]]
            path = " → ".join([*circle, circle[0]])
            hint = "One of these inputs must come from elsewhere."
            problems.append(
                Problem("cycle", f"graph.nodes.{circle[0]}", f"the graph runs in a circle: {path}.", hint)
            )
    condensed = nx.condensation(graph, [set(part) for part in parts])
    first = {index: min(position[n] for n in data["members"]) for index, data in condensed.nodes(data=True)}
    names: list[str] = []
    for index in nx.lexicographical_topological_sort(condensed, key=first.__getitem__):
        names += parts[index]
    return Order(tuple(names), cyclic)


def pick_output(asked: Asked, port: str, ref: Ref, producer: Ports, problems: list[Problem]) -> str | None:
    """The name of the output that ``ref`` means; None, with a problem, where it means none."""
    where, outputs = f"{asked.where}.inputs.{port}", list(producer.outputs)
    if ref.output in outputs:
        return ref.output
    if not outputs:
        problems.append(Problem("unknown-output", where, f"'{ref.node}' has no outputs."))
    elif not ref.output and len(outputs) == 1:
        return outputs[0]
    elif not ref.output:
        named = " or ".join(f"{ref.node}.{name}" for name in outputs)
        message = f"'{ref.node}' has several outputs."
        problems.append(Problem("ambiguous-output", where, message, f"Write {named}."))
    elif outputs == [""]:
        message = f"'{ref.node}' has one output, without a name."
        problems.append(Problem("unknown-output", where, message, f"Write {ref.node}."))
    else:
        near = nearest(ref.output, outputs)
        hint = f"Did you mean '{ref.node}.{near}'?" if near else f"Its outputs are {', '.join(outputs)}."
        problems.append(Problem("unknown-output", where, f"'{ref.node}' has no output '{ref.output}'.", hint))
    return None


def check_unused(
    request: Request, effects: Collection[str], excused: Collection[str], problems: list[Problem]
) -> None:
    """Nodes that nobody asked for anything and that do nothing themselves.

    A node whose only readers are disabled, or are of a kind that does not read it, is no
    mistake: it is left out of the graph. Nor are ``excused`` nodes, which may be what an input
    with a problem of its own was meant to name.
    """
    if request.unread:
        return
    enabled = [asked for asked in request.nodes.values() if asked.enabled]
    readers: dict[str, set[str]] = {asked.name: set() for asked in enabled}
    for asked in request.nodes.values():
        for ref in asked.inputs.values():
            if ref.node in readers and ref.node != asked.name:
                readers[ref.node].add(asked.name)
    if enabled and not any(asked.name in effects for asked in enabled):
        if not problems:
            hint = "Add one that does, for example encode."
            problems.append(
                Problem("no-effect", "graph.nodes", "no node of the graph writes anything.", hint)
            )
        return
    useful = {asked.name for asked in request.nodes.values() if not asked.enabled}
    useful |= {*effects, *excused}
    while fresh := {n for n, by in readers.items() if n not in useful and by & useful}:
        useful |= fresh
    for asked in enabled:
        if asked.name in useful:
            continue
        by = readers[asked.name]
        message = f"nobody reads what '{asked.name}' gives, and it has no effect of its own."
        if by:
            names = ", ".join(f"'{name}'" for name in sorted(by))
            message = f"'{asked.name}' is read by {names} alone, and that leads nowhere."
        hint = "Wire it to a node that needs it, remove it, or set enabled: false."
        problems.append(Problem("unused-node", asked.where, message, hint))


def needed(edges: Iterable[Edge], effects: Collection[str], names: Iterable[str]) -> set[str]:
    """The nodes from which a node with an effect can be reached."""
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((edge.producer, edge.consumer) for edge in edges)
    keep = set(effects) & set(graph)
    return keep.union(*(nx.ancestors(graph, name) for name in keep))


def sort_nodes(
    nodes: Sequence[GraphNode], edges: Iterable[Edge], position: Mapping[str, int]
) -> tuple[GraphNode, ...]:
    """A topological order that stays on one engine as long as it can: stages are cut where the
    engine changes. Ties go to the node that was written first; an inserted node stands where
    its first reader does."""
    by_name = {node.name: node for node in nodes}
    waits: dict[str, set[str]] = {node.name: set() for node in nodes}
    place = {name: float(index) for name, index in position.items()}
    for edge in edges:
        waits[edge.consumer].add(edge.producer)
    for _ in range(2):  # an inserted node may stand before another
        for edge in edges:
            if edge.producer not in position and edge.consumer in place:
                place[edge.producer] = min(place.get(edge.producer, 1e9), place[edge.consumer] - 0.25)
    order: list[GraphNode] = []
    engine = ""
    while waits:
        ready = [name for name, on in waits.items() if not on]
        name = min(ready, key=lambda n: (by_name[n].needs.engine != engine, place.get(n, 1e9), n))
        engine = by_name[name].needs.engine
        order.append(by_name[name])
        del waits[name]
        for on in waits.values():
            on.discard(name)
    return tuple(order)
