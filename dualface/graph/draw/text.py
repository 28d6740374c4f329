"""A graph or plan for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dualface.graph.dag import Graph, GraphNode
from dualface.graph.draw.data import (
    changed_options,
    count,
    frame_bytes,
    kind_word,
    megabytes,
    option_words,
    picture_sizes,
    plan_video,
)
from dualface.graph.plan import Pipeline, Plan
from dualface.graph.types import Video


def graph_text(graph: Graph, video: Video | None = None) -> str:
    """Each node with what it gives to whom, its options, and what was passed over for it."""
    return "\n".join([f"graph {graph.name}: {count(len(graph.nodes), 'node')}", *_nodes(graph, video)])


def plan_text(plan: Plan) -> str:
    """Slots and queue first, since that is what differs from day to day; then the graphs."""
    hardware = plan.hardware
    jobs, slots = len(plan.assignments), len(plan.slots)
    gpus = ", ".join(gpu.name for gpu in hardware.gpus) or "no GPU"
    lines = [
        f"plan: {count(jobs, 'job')} in {count(slots, 'slot')} on hw={hardware.name} "
        f"({gpus}, {count(hardware.cpu_cores, 'core')})"
    ]
    lines += [f"  note: {note}" for note in plan.notes]
    lines += ["", "slots"]
    for slot in plan.slots:
        parts = [f"GPU {slot.gpu}" if slot.gpu is not None else "CPU", count(slot.threads, "thread")]
        parts += [f"{slot.vram_mb} MB of VRAM"] if slot.vram_mb else []
        parts += [f"{count} {name}" for name, count in sorted(slot.leases.items())]
        parts += [f"pipeline {slot.pipeline + 1}"] if len(plan.pipelines) > 1 else []
        lines.append(f"  {slot.name}: {', '.join(parts)}")
    if plan.assignments:
        lines += ["", "queue, longest first"]
    end = max((one.end for one in plan.assignments), default=0) or 1
    for number, one in enumerate(plan.assignments, 1):
        job, video = one.job, one.job.video
        length = f"{job.frames} frames" if job.frames else "unknown length"
        lines.append(
            f"  {number}. {job.name} ({video.width}x{video.height}, {length}) "
            f"in {one.slot}, {one.start / end:.0%} to {one.end / end:.0%} of the run → {job.output}"
        )
    for index, line in enumerate(plan.pipelines):
        name = f"pipeline {index + 1}: " if len(plan.pipelines) > 1 else ""
        lines += ["", f"{name}graph {line.graph.name}, batches of {count(line.batch, 'frame')}"]
        lines += _stages(line)
        lines += ["", *_nodes(line.graph, plan_video(plan))]
    return "\n".join(lines)


def _stages(line: Pipeline) -> Iterator[str]:
    for number, stage in enumerate(line.stages, 1):
        if number > 1:
            yield f"    | queue of {count(line.queue, 'batch', 'batches')}"
        yield f"  stage {number} on {stage.engine}: {' → '.join(stage.nodes)}"
    yield f"  at most {count(line.frames_in_flight, 'frame')} in flight"


def _nodes(graph: Graph, video: Video | None) -> Iterator[str]:
    width = min(16, max((len(node.name) for node in graph.nodes), default=0))
    sizes = picture_sizes(graph, video)
    for node in graph.nodes:
        mark = "+" if node.inserted else " "
        look = f", looks ahead {count(node.lookahead, 'frame')}" if node.lookahead else ""
        yield f" {mark}{node.name:<{width}}  {kind_word(node)} on {node.needs.engine}{look}"
        for words in _about(graph, node, sizes):
            yield f"      {words}"


def _about(graph: Graph, node: GraphNode, sizes: dict[str, tuple[int, int]]) -> Iterator[str]:
    for output, type_ in node.outputs.items():
        edges = [edge for edge in graph.out_of(node.name) if edge.output == output]
        readers = ", ".join(dict.fromkeys(edge.consumer for edge in edges)) or "nobody"
        size = megabytes(frame_bytes(edges[0], sizes)) if edges else ""
        label = f"{output}: " if output else ""
        yield f"{label}{type_}{f', {size} a frame' if size else ''} → {readers}"
    if changed := changed_options(node):
        yield "options " + " ".join(f"{key}={option_words(value)}" for key, value in changed.items())
    if node.ignored:
        yield f"does not have the shared option{'s' * (len(node.ignored) > 1)} {', '.join(node.ignored)}"
    for port, source in (node.dropped or {}).items():
        yield f"does not read {port} ({source})"
    for passed in node.passed:
        yield f"{'instead' if passed.usable else 'not'} {passed.kind}: {passed.why}"


def columns(rows: Iterable[tuple[str, ...]], indent: str = "  ") -> list[str]:
    """Rows as aligned columns, the last one free."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        (indent + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))).rstrip()
        for row in table
    ]
