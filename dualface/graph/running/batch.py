"""A batch: consecutive frames of one job on their way through the graph, with their values.

A job's graph runs as a line: every batch passes all nodes in topological order and carries what
they made of it. Each value knows how many readers it still has and goes with the last of them,
so that its buffer is back in its pool while the batch travels on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dualface.graph.dag import Edge, Graph

if TYPE_CHECKING:
    from dualface.graph.running.checkpoint import Mark

Value = tuple[str, str]  # a node and its output


def readers(graph: Graph) -> Mapping[Value, int]:
    """How many inputs read each output."""
    return Counter((edge.producer, edge.output) for edge in graph.edges)


class Batch:
    """``length`` frames from number ``first`` on. One thread at a time holds a batch.

    One with a ``mark`` begins a segment; each node adds its state to that before it gets the batch.
    One that is ``past`` was answered and read before the job was broken off: its node owes an answer
    that nobody waits for.
    """

    __slots__ = ("_left", "_values", "first", "length", "mark", "past")

    def __init__(self, first: int, length: int, readers: Mapping[Value, int], *, past: bool = False) -> None:
        self.first = first
        self.length = length
        self.mark: Mark | None = None
        self.past = past
        self._left = dict(readers)
        self._values: dict[Value, Any] = {}

    def put(self, node: str, outputs: Mapping[str, Any]) -> None:
        """Take up what ``node`` made; what nobody reads is not kept."""
        for output, value in outputs.items():
            if self._left.get((node, output)):
                self._values[node, output] = value

    def take(self, edges: Iterable[Edge]) -> dict[str, Any]:
        """The values that ``edges`` bring, by input; those read for the last time leave."""
        taken = {}
        for edge in edges:
            key = edge.producer, edge.output
            self._left[key] -= 1
            taken[edge.input] = self._values[key] if self._left[key] else self._values.pop(key)
        return taken

    def values(self) -> Iterable[Any]:
        """The values carried."""
        return self._values.values()

    def __len__(self) -> int:
        """The number of values carried."""
        return len(self._values)
