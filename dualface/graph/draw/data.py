"""Graphs and plans as plain data: what every other drawing starts from, and the JSON itself."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface.graph.dag import Edge, Graph, GraphNode
from dualface.graph.node import Bounded, State, Unbounded
from dualface.graph.options import show
from dualface.graph.plan import Pipeline, Plan
from dualface.graph.registry import Kind
from dualface.graph.types import Layout, Memory, PixelFormat, Video


def plain(value: Any) -> Any:
    """``value`` as JSON has it: dataclasses as objects, fractions as text, sets sorted."""
    if isinstance(value, type) or value is None or isinstance(value, bool | int | str):
        return value.__name__ if isinstance(value, type) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(plain, value), key=str)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return str(value) if isinstance(value, Fraction | Path) else repr(value)


def graph_data(graph: Graph, video: Video | None = None) -> dict[str, Any]:
    """A graph. ``video`` gives the size that bytes per frame are worked out for."""
    sizes = picture_sizes(graph, video)
    return {
        "name": graph.name,
        "nodes": [node_data(node) for node in graph.nodes],
        "edges": [_edge(edge, sizes) for edge in graph.edges],
    }


def node_data(node: GraphNode) -> dict[str, Any]:
    """A node in its place."""
    changed = {k: plain(v) for k, v in changed_options(node).items()}
    return {
        "name": node.name,
        "kind": node.kind.name,
        "package": node.kind.package,
        "candidate": node.candidate,
        "inserted": node.inserted,
        "engine": node.needs.engine,
        "options": plain(node.config),
        "changed": changed,
        "inputs": {name: str(type_) for name, type_ in node.inputs.items()},
        "outputs": {name: str(type_) for name, type_ in node.outputs.items()},
        "dropped": dict(node.dropped or {}),
        "ignored": list(node.ignored),
        "passed": [plain(passed) for passed in node.passed],
        "needs": plain(node.needs),
        "lookahead": node.lookahead,
        "state": state_words(node.state),
    }


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan: pipelines, slots, the queue, and what is worth saying about them."""
    return {
        "hardware": plain(plan.hardware),
        "pipelines": [_pipeline(plan, index) for index in range(len(plan.pipelines))],
        "slots": plain(plan.slots),
        "assignments": plain(plan.assignments),
        "notes": list(plan.notes),
    }


def _pipeline(plan: Plan, index: int) -> dict[str, Any]:
    line = plan.pipelines[index]
    return {
        "graph": graph_data(line.graph, plan_video(plan)),
        "stages": plain(line.stages),
        "batch": line.batch,
        "queue": line.queue,
        "frames_in_flight": line.frames_in_flight,
    }


def plan_video(plan: Plan) -> Video | None:
    """The largest video of the plan: what its bytes per frame are worked out for."""
    videos = [assignment.job.video for assignment in plan.assignments]
    return max(videos, key=lambda v: v.width * v.height, default=None)


def changed_options(node: GraphNode) -> dict[str, Any]:
    """The options that are not at their defaults."""
    changed = {}
    for field in dataclasses.fields(node.config):
        value, default = getattr(node.config, field.name), field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if value != default:
            changed[field.name] = value
    return changed


def picture_sizes(graph: Graph, video: Video | None) -> dict[str, tuple[int, int]]:
    """Width and height of the pictures that each node gives, where they are known: made of the
    video's, or those of its layout."""
    sizes: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        layout = getattr(node.config, "layout", None)
        fed = [sizes[e.producer] for e in graph.into(node.name) if e.type.memory and e.producer in sizes]
        if isinstance(layout, Layout):
            sizes[node.name] = layout.width, layout.height
        elif fed:
            sizes[node.name] = node.kind.cls.size(node.config, *fed[0])
        elif video is not None and not graph.into(node.name):
            sizes[node.name] = video.width + video.width % 2, video.height + video.height % 2
    return sizes


def frame_bytes(edge: Edge, sizes: Mapping[str, tuple[int, int]]) -> int | None:
    """The bytes of pixels that an edge carries per frame; None where it carries none, or the
    size is not known."""
    format_ = edge.type.format
    if edge.producer not in sizes or not isinstance(format_, type) or not issubclass(format_, PixelFormat):
        return None
    width, height = sizes[edge.producer]
    return int(width * height * format_.bytes_per_pixel)


def _edge(edge: Edge, sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    return {
        "from": edge.producer,
        "output": edge.output,
        "to": edge.consumer,
        "input": edge.input,
        "type": str(edge.type),
        "memory": edge.type.memory.value if isinstance(edge.type.memory, Memory) else None,
        "bytes_per_frame": frame_bytes(edge, sizes),
    }


def state_words(state: State) -> str:
    """How far back a node remembers."""
    if isinstance(state, Bounded):
        return f"{state.frames} frames"
    return "all frames" if isinstance(state, Unbounded) else "none"


def option_words(value: Any) -> str:
    """An option's value on one line: a layout by its size and tiles, others as YAML has them."""
    if isinstance(value, Layout):
        return f"{value.width}x{value.height} ({', '.join(tile.name for tile in value.tiles)})"
    return show(plain(value))


def count(number: int, word: str, several: str = "") -> str:
    """``1 job``, ``2 jobs``, ``2 batches``."""
    return f"{number} {word if number == 1 else several or word + 's'}"


def megabytes(count: int | None) -> str:
    """``3.1 MB``, or nothing."""
    return "" if count is None else f"{count / 1e6:.1f} MB"


def kind_word(node: GraphNode) -> str:
    """The kind, and how it came to be chosen."""
    if node.inserted:
        return f"{node.kind.name} (put in between)"
    return f"{node.kind.name} (auto: {node.candidate})" if node.candidate else node.kind.name


def first_line(kind: Kind) -> str:
    """The first line of what a kind says of itself."""
    return (kind.cls.__doc__ or "").strip().partition("\n")[0]


def stage_title(line: Pipeline, index: int) -> str:
    """``stage 2 · cuda``."""
    return f"stage {index + 1} · {line.stages[index].engine}"
