"""The typed, checked graph: what `build` makes, `schedule` plans and `execute` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx

from dualface.graph.node import Needs, NodeConfig, State
from dualface.graph.ports import PortType
from dualface.graph.registry import Kind

Excluded = Mapping[tuple[str, str], str]  # a node and one of its candidates, and why it is put out


@dataclass(frozen=True, slots=True)
class Passed:
    """A candidate of an ``auto`` node that was not taken, and why. ``usable`` candidates are
    only outranked: recovery and overflow may fall back on them."""

    name: str
    kind: str
    why: str
    usable: bool


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node in its place: validated options, resolved port types, resolved needs.

    ``candidate`` is the name of the taken candidate of an ``auto`` node, "" for a pinned one;
    ``inserted`` is true for the ``transfer`` and ``convert`` nodes that build adds; ``dropped``
    maps inputs that the role has and this kind does not read to what was wired there; ``ignored``
    are options that all candidates share and this kind does not have.
    """

    name: str
    kind: Kind
    config: NodeConfig
    needs: Needs
    lookahead: int
    state: State
    inputs: Mapping[str, PortType]
    outputs: Mapping[str, PortType]
    candidate: str = ""
    passed: tuple[Passed, ...] = ()
    inserted: bool = False
    dropped: Mapping[str, str] | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """``producer.output`` feeds ``consumer.input``; ``output`` is "" where there is only one."""

    producer: str
    output: str
    consumer: str
    input: str
    type: PortType


@dataclass(frozen=True)
class Graph:
    """Nodes in a fixed topological order, and the edges between them. ``excluded`` are the
    candidates that it was built without."""

    name: str
    nodes: tuple[GraphNode, ...]
    edges: tuple[Edge, ...]
    excluded: Excluded = field(default_factory=dict)

    def swaps(self) -> tuple[str, ...]:
        """A sentence for each excluded candidate: what took its place, and why."""
        return tuple(
            f"'{name}' is {self.by_name[name].kind.name} instead of {passed.kind}: {why}"
            for (name, candidate), why in self.excluded.items()
            if name in self.by_name
            for passed in self.by_name[name].passed
            if passed.name == candidate
        )

    @cached_property
    def by_name(self) -> Mapping[str, GraphNode]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def digraph(self) -> nx.MultiDiGraph:
        """The same graph for networkx, nodes by name."""
        graph = nx.MultiDiGraph(name=self.name)
        graph.add_nodes_from(node.name for node in self.nodes)
        graph.add_edges_from((e.producer, e.consumer, e.input, {"edge": e}) for e in self.edges)
        return graph

    def into(self, name: str) -> tuple[Edge, ...]:
        """The edges that feed ``name``."""
        return tuple(edge for edge in self.edges if edge.consumer == name)

    def out_of(self, name: str) -> tuple[Edge, ...]:
        """The edges that ``name`` feeds."""
        return tuple(edge for edge in self.edges if edge.producer == name)
