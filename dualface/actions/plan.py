"""``action=plan``: what would happen, on this machine or another."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface.actions import Request
from dualface.graph.dag import Graph
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.registry import installed
from dualface.graph.types import Video
from dualface.hw.layers import Resolved

NOMINAL = Job(
    "nominal",
    "",
    Path("out.mp4"),
    Video(1920, 1080, Fraction(1, 30), Fraction(30)),
    1800,
    60.0,
    "h264",
    "yuv420p",
)


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print the plan: for the inputs named, or else for a minute of 1080p."""
    from dualface.actions.run import probe_all
    from dualface.graph.draw import draw_plan

    jobs: Sequence[Job] = [NOMINAL]
    if config.get("input") is not None or config.get("input_list"):
        jobs, failed = probe_all(config, None)
        for _, sentence in failed:
            print(sentence, file=sys.stderr)
        if not jobs:
            return 1
    print(draw_plan(make(config, request, jobs, trust=True), config["format"]))
    return 0


def make(config: Mapping[str, Any], request: Request, jobs: Sequence[Job], *, trust: bool) -> Plan:
    """Resolve, build and schedule."""
    from dualface.graph.build import build
    from dualface.graph.schedule import schedule

    registry = installed()
    resolved = hardware(config, request, trust=trust)
    for line in resolved.warnings:
        print(line, file=sys.stderr)
    strict = bool(config["strict_zero_copy"])
    graph = build(config["graph"], resolved.hardware, registry, strict_zero_copy=strict)
    overflow: Graph | None = None
    taken = frozenset((n.name, n.candidate) for n in graph.nodes if n.needs.resources.get("encode_sessions"))
    if taken and resolved.hardware.encode_overflow == "software" and all(c for _, c in taken):
        from dualface.graph.errors import RequestError

        try:
            overflow = build(
                config["graph"], resolved.hardware, registry, strict_zero_copy=strict, exclude=taken
            )
        except RequestError:
            print("No software encoder can take over: jobs beyond the sessions wait.", file=sys.stderr)
    return schedule(graph, resolved.hardware, jobs, overflow=overflow)


def hardware(config: Mapping[str, Any], request: Request, *, trust: bool, refresh: bool = False) -> Resolved:
    """The hardware that ``hw`` names, the manual layer's notes among its warnings."""
    import dataclasses

    from dualface.hw.layers import resolve
    from dualface.hw.manual import read_manual
    from dualface.hw.probe import asked, probe
    from dualface.paths import user_config_dir

    manual = read_manual(user_config_dir() / "hw" / "manual.yaml")
    machine = probe(refresh, packages=asked(installed().kinds.values()))
    resolved = resolve(
        config["hw"], machine=machine, manual=manual.values, overrides=request.overrides("hw"), trust=trust
    )
    return dataclasses.replace(resolved, warnings=(*manual.notes, *resolved.warnings))
