"""A graph or plan as an SVG picture, in plain Python.

Nodes stand below each other in the order in which a batch passes them, framed by their stages.
Each output has a lane of its own to the right: a line leaves the node that gives it, runs down
the lane, and turns into every node that reads it. Text is monospaced, so that every width is
known and nothing overlaps whatever the names are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

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
    stage_title,
)
from dualface.graph.plan import Plan
from dualface.graph.types import Video

SIZE, ADVANCE = 12, 7.3  # font size; the width of a character, with a little to spare
ROW, GAP, PAD, LANE = 20, 14, 12, 16
INK, FAINT, FRAME = "#1f2933", "#6b7785", "#c5ced8"
COLORS = {"cpu": "#1f6fb2", "cuda": "#3f8f29", "": "#7a5ea8"}
STYLE = (
    f"text{{font:{SIZE}px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;fill:{INK}}}"
    f".faint{{fill:{FAINT}}}.bold{{font-weight:bold}}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One port of a node: its label, and the (producer, output) whose lane it joins."""

    label: str
    lane: tuple[str, str]
    memory: str
    into: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Drawn elements, and the size they take."""

    parts: tuple[str, ...]
    width: float
    height: float


def graph_svg(graph: Graph, video: Video | None = None) -> str:
    """The graph without stages."""
    names = [node.name for node in graph.nodes]
    picture = _column(graph, [("", names)], picture_sizes(graph, video), 0)
    return _document([f"graph {graph.name}"], [picture])


def plan_svg(plan: Plan) -> str:
    """Each pipeline with its stages, below what the plan says in words."""
    jobs, slots = count(len(plan.assignments), "job"), count(len(plan.slots), "slot")
    names = ", ".join(dict.fromkeys(line.graph.name for line in plan.pipelines))
    pictures = []
    for number, line in enumerate(plan.pipelines, 1):
        which = f"pipeline {number} · " if len(plan.pipelines) > 1 else ""
        groups = [(which + stage_title(line, i), list(stage.nodes)) for i, stage in enumerate(line.stages)]
        pictures.append(_column(line.graph, groups, picture_sizes(line.graph, plan_video(plan)), line.queue))
    return _document([f"plan of {names}: {jobs}, {slots}, hw={plan.hardware.name}", *plan.notes], pictures)


def _column(
    graph: Graph, groups: Sequence[tuple[str, list[str]]], sizes: Mapping[str, tuple[int, int]], queue: int
) -> Picture:
    rows = {node.name: _rows(graph, node, sizes) for node in graph.nodes}
    words = {node.name: _words(node) for node in graph.nodes}
    box = max(_width(line) for lines in words.values() for line in lines) + 2 * PAD
    labels = max((_width(row.label) for some in rows.values() for row in some), default=0) + 2 * PAD + 10
    left, right = PAD, PAD + box
    parts: list[str] = []
    ports: list[tuple[Row, float]] = []
    y = 0.0
    for index, (title, names) in enumerate(groups):
        if title and index:
            parts.append(_text(left, y + 13, f"↓ queue: {count(queue, 'batch', 'batches')}", "faint"))
            y += ROW
        top = y
        y += ROW + 6 if title else 0
        for name in names:
            height = max(len(words[name]), len(rows[name])) * ROW + 8
            dash = ' stroke-dasharray="4 3"' if graph.by_name[name].inserted else ""
            parts.append(_rect(left, y, box, height, f'fill="#ffffff" stroke="{INK}"{dash}'))
            for number, line in enumerate(words[name]):
                style = "bold" if number == 0 else "faint"
                parts.append(_text(left + PAD, y + 17 + number * ROW, line, style))
            ports += [(row, y + 20 + number * ROW) for number, row in enumerate(rows[name])]
            y += height + GAP
        if title:
            frame = _rect(0, top, right + PAD, y - top - 2, f'fill="#f3f6f9" stroke="{FRAME}"')
            parts = [frame, *parts, _text(left, top + 16, title, "faint")]
            y += 8
    lanes = _lanes(ports)
    start = right + labels
    parts += [part for row, at in ports for part in _port(row, at, right, start + lanes[row.lane] * LANE)]
    for lane, number in lanes.items():
        mine = [at for row, at in ports if row.lane == lane]
        color = next(COLORS[row.memory] for row, _ in ports if row.lane == lane)
        x = start + number * LANE
        parts.append(f'<path d="M{x:g} {min(mine):g}V{max(mine):g}" stroke="{color}" fill="none"/>')
    return Picture(tuple(parts), start + (max(lanes.values(), default=0) + 1) * LANE, y)


def _rows(graph: Graph, node: GraphNode, sizes: Mapping[str, tuple[int, int]]) -> list[Row]:
    rows = []
    for edge in graph.into(node.name):
        rows.append(Row(edge.input, (edge.producer, edge.output), _memory(edge.type.memory), True))
    for output, type_ in node.outputs.items():
        edges = [edge for edge in graph.out_of(node.name) if edge.output == output]
        if edges:
            size = megabytes(frame_bytes(edges[0], sizes))
            label = f"{output}: {type_}" if output else str(type_)
            label += f", {size} a frame" if size else ""
            rows.append(Row(label, (node.name, output), _memory(type_.memory), False))
    return rows


def _words(node: GraphNode) -> list[str]:
    lines = [node.name, kind_word(node)]
    for key, value in changed_options(node).items():
        lines.append(f"{key}={option_words(value)}")
    return lines


def _lanes(ports: Sequence[tuple[Row, float]]) -> dict[tuple[str, str], int]:
    """Short lines take the lanes near the nodes; a lane is used again further down."""
    spans: dict[tuple[str, str], tuple[float, float]] = {}
    for row, at in ports:
        low, high = spans.get(row.lane, (at, at))
        spans[row.lane] = min(low, at), max(high, at)
    used: list[list[tuple[float, float]]] = []
    lanes = {}
    for lane, (low, high) in sorted(spans.items(), key=lambda item: (item[1][1] - item[1][0], item[1][0])):
        number = 0
        while number < len(used) and any(low <= b and a <= high for a, b in used[number]):
            number += 1
        if number == len(used):
            used.append([])
        used[number].append((low, high))
        lanes[lane] = number
    return lanes


def _port(row: Row, y: float, x: float, lane: float) -> list[str]:
    color = COLORS[row.memory]
    tip = f'<path d="M{x:g} {y:g}l8 -4v8z" fill="{color}"/>' if row.into else ""
    dot = f'<circle cx="{lane:g}" cy="{y:g}" r="2.5" fill="{color}"/>'
    line = f'<path d="M{x:g} {y:g}H{lane:g}" stroke="{color}" fill="none"/>'
    return [line, tip, dot, _text(x + PAD + 5, y - 4, row.label, "")]


def _document(heading: Sequence[str], pictures: Sequence[Picture]) -> str:
    margin = 20
    width = max([p.width for p in pictures] + [_width(line) for line in heading]) + 2 * margin
    y = margin + len(heading) * ROW + 6.0
    body = [
        _text(margin, margin + 12 + i * ROW, line, "bold" if i == 0 else "faint")
        for i, line in enumerate(heading)
    ]
    for picture in pictures:
        body += [f'<g transform="translate({margin} {y:g})">', *filter(None, picture.parts), "</g>"]
        y += picture.height + margin
    size = f'width="{width:g}" height="{y:g}" viewBox="0 0 {width:g} {y:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
            f"<style>{STYLE}</style>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *body,
            "</svg>",
        ]
    )


def _memory(memory: object) -> str:
    value = getattr(memory, "value", "")
    return value if value in COLORS else ""


def _width(text: str) -> float:
    # Letters beyond Latin ones may be twice as wide.
    return sum(ADVANCE if ord(letter) < 0x2E80 else 2 * ADVANCE for letter in text)


def _rect(x: float, y: float, width: float, height: float, rest: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" {rest}/>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{escape(text)}</text>'
