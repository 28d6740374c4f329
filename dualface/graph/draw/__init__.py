"""A graph, a plan or a kind of node, drawn as text, JSON, Mermaid or SVG."""

from __future__ import annotations

import json
from typing import Any

from dualface.graph.dag import Graph
from dualface.graph.draw.data import graph_data, plan_data
from dualface.graph.draw.kinds import describe_kind, list_kinds
from dualface.graph.draw.mermaid import graph_mermaid, plan_mermaid
from dualface.graph.draw.svg import graph_svg, plan_svg
from dualface.graph.draw.text import graph_text, plan_text
from dualface.graph.errors import Problem, RequestError
from dualface.graph.plan import Plan
from dualface.graph.registry import nearest

FORMATS = ("text", "json", "mermaid", "svg")

__all__ = ["FORMATS", "describe_kind", "draw_graph", "draw_plan", "list_kinds"]


def draw_graph(graph: Graph, format: str = "text") -> str:
    """``graph`` in one of `FORMATS`; raises `RequestError` for another."""
    _check(format)
    if format == "json":
        return _json(graph_data(graph))
    return {"text": graph_text, "mermaid": graph_mermaid, "svg": graph_svg}[format](graph)


def draw_plan(plan: Plan, format: str = "text") -> str:
    """``plan`` in one of `FORMATS`; raises `RequestError` for another."""
    _check(format)
    if format == "json":
        return _json(plan_data(plan))
    return {"text": plan_text, "mermaid": plan_mermaid, "svg": plan_svg}[format](plan)


def _check(format: str) -> None:
    if format not in FORMATS:
        near = nearest(format, FORMATS)
        hint = f"Did you mean '{near}'?" if near else f"The formats are {', '.join(FORMATS)}."
        raise RequestError([Problem("bad-format", "format", f"'{format}' is no format.", hint)])


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
