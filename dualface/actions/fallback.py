"""Jobs that the best candidates of ``auto`` nodes refuse beforehand get the next ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import RequestError
from dualface.graph.job import Job

Rebuild = Callable[[Excluded], Graph]  # raises RequestError where nothing is left


def fitting(rebuild: Rebuild, jobs: Sequence[Job]) -> tuple[Graph, Mapping[int, Graph]]:
    """The graph for most ``jobs``, and those of the jobs that need another, by their index.

    What all jobs have to do without is left out of the main graph. A job that no candidate can do
    stays with it, to be refused with its sentences.
    """
    best = rebuild({})
    found = {job.index: _for_job(best, rebuild, job) for job in jobs}
    graphs = [graph for graph in found.values() if graph is not None]
    shared = {
        pair: why
        for pair, why in (graphs[0] if graphs else best).excluded.items()
        if all(pair in graph.excluded for graph in graphs)
    }
    main = rebuild(shared) if shared else best
    return main, {
        index: graph
        for index, graph in found.items()
        if graph is not None and graph.excluded.keys() != shared.keys()
    }


def refusals(graph: Graph, job: Job) -> dict[str, tuple[str, ...]]:
    """Why ``job`` cannot be done, by the node that says so."""
    told = {node.name: tuple(node.kind.cls.check(node.config, job)) for node in graph.nodes}
    return {name: sentences for name, sentences in told.items() if sentences}


def _for_job(graph: Graph, rebuild: Rebuild, job: Job) -> Graph | None:
    """``graph`` or what comes nearest to it of all that can do ``job``; None if nothing does."""
    while refused := refusals(graph, job):
        nodes = [graph.by_name[name] for name in refused]
        if not all(node.candidate for node in nodes):
            return None
        fresh = {(node.name, node.candidate): "; ".join(refused[node.name]) for node in nodes}
        try:
            graph = rebuild({**graph.excluded, **fresh})
        except RequestError:
            return None
    return graph
