"""A graph or plan as a Mermaid flowchart, for Markdown pages that render it."""

from __future__ import annotations

from collections.abc import Iterator

from dualface.graph.dag import Graph
from dualface.graph.draw.data import frame_bytes, kind_word, megabytes, picture_sizes, plan_video, stage_title
from dualface.graph.plan import Pipeline, Plan
from dualface.graph.types import Video


def graph_mermaid(graph: Graph, video: Video | None = None) -> str:
    """One flowchart from left to right."""
    lines = ["flowchart LR", *(_node(graph, node.name, "") for node in graph.nodes)]
    return "\n".join([*lines, *_edges(graph, video, ""), *_classes(graph, "")])


def plan_mermaid(plan: Plan) -> str:
    """Each stage a subgraph; each pipeline a part of its own."""
    lines = ["flowchart LR"]
    for index, line in enumerate(plan.pipelines):
        prefix = f"p{index}_"
        lines += [*_stages(line, prefix), *_edges(line.graph, plan_video(plan), prefix)]
        lines += _classes(line.graph, prefix)
    return "\n".join(lines)


def _stages(line: Pipeline, prefix: str) -> Iterator[str]:
    for index, stage in enumerate(line.stages):
        yield f"  subgraph {prefix}s{index}[{_quote(stage_title(line, index))}]"
        for name in stage.nodes:
            yield "  " + _node(line.graph, name, prefix)
        yield "  end"


def _node(graph: Graph, name: str, prefix: str) -> str:
    node = graph.by_name[name]
    return f"  {_id(graph, name, prefix)}[{_quote(f'{name}<br/>{kind_word(node)}')}]"


def _edges(graph: Graph, video: Video | None, prefix: str) -> Iterator[str]:
    sizes = picture_sizes(graph, video)
    for edge in graph.edges:
        size = megabytes(frame_bytes(edge, sizes))
        label = f"{edge.type}{f', {size}' if size else ''}"
        start, end = (_id(graph, name, prefix) for name in (edge.producer, edge.consumer))
        yield f"  {start} -->|{_quote(label)}| {end}"


def _classes(graph: Graph, prefix: str) -> Iterator[str]:
    inserted = [_id(graph, node.name, prefix) for node in graph.nodes if node.inserted]
    if inserted:
        yield f"  classDef {prefix}inserted stroke-dasharray: 4 3"
        yield f"  class {','.join(inserted)} {prefix}inserted"


def _id(graph: Graph, name: str, prefix: str) -> str:
    # Numbers, because a node may be called "end", which Mermaid takes for itself.
    return f"{prefix}n{next(i for i, node in enumerate(graph.nodes) if node.name == name)}"


def _quote(text: str) -> str:
    return '"' + text.replace('"', "#quot;") + '"'
