"""From a composed request to a plan that may run: probe the inputs, resolve, build, schedule, check."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface.actions import Request
from dualface.graph.dag import Graph
from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.registry import installed
from dualface.graph.schedule import schedule
from dualface.graph.types import Video
from dualface.hw.layers import Resolved
from dualface.inputs import Wish, wishes

RECORDER = "write/people"  # what record=true is about
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


def probe_all(config: Mapping[str, Any], folder: Path | None) -> tuple[list[Job], list[tuple[Wish, str]]]:
    """The jobs that can be read, and a sentence for each that cannot."""
    from dualface.nodes.decode.probe import probe

    jobs: list[Job] = []
    bad: list[tuple[Wish, str]] = []
    for wish in wishes(config, folder):
        try:
            protocols = tuple(config["protocols"])
            job = probe(wish.path, output=wish.output, name=wish.name, index=wish.index, protocols=protocols)
            jobs.append(job)
        except InputError as error:
            bad.append((wish, str(error)))
    return jobs, bad


def make(config: Mapping[str, Any], request: Request, jobs: Sequence[Job], *, trust: bool) -> Plan:
    """Resolve, build and schedule."""
    from dualface.graph.build import build

    registry = installed()
    resolved = hardware(config, request, trust=trust)
    for line in resolved.warnings:
        print(line, file=sys.stderr)
    strict = bool(config["strict_zero_copy"])
    graph = build(config["graph"], resolved.hardware, registry, strict_zero_copy=strict)
    if config["record"] and not any(node.kind.name == RECORDER for node in graph.nodes):
        message = f"graph '{graph.name}' has no node of kind {RECORDER}, so that nothing would be recorded."
        hint = "Leave record=true out, or use graph=inspect."
        raise RequestError([Problem("no-record", "record", message, hint)])
    overflow: Graph | None = None
    taken = frozenset((n.name, n.candidate) for n in graph.nodes if n.needs.resources.get("encode_sessions"))
    if taken and resolved.hardware.encode_overflow == "software" and all(c for _, c in taken):
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
    typed = request.overrides("hw")
    resolved = resolve(config["hw"], machine=machine, manual=manual.values, typed=typed, trust=trust)
    return dataclasses.replace(resolved, warnings=(*manual.notes, *resolved.warnings))


def without_unable(plan: Plan, jobs: Sequence[Job]) -> tuple[Plan, list[tuple[Job, str]]]:
    """The plan for the jobs that its nodes can do, and why they cannot do the others.

    Raises `RequestError` where they can do none.
    """
    graph = plan.pipelines[0].graph
    unable: list[tuple[Job, str]] = []
    for job in jobs:
        sentences = [text for node in graph.nodes for text in node.kind.cls.check(node.config, job)]
        if sentences:
            unable.append((job, "; ".join(dict.fromkeys(sentences))))
    if not unable:
        return plan, unable
    if len(unable) == len(jobs):
        raise RequestError([Problem("bad-job", job.input, sentence) for job, sentence in unable])
    names = {job.index for job, _ in unable}
    rest = [job for job in jobs if job.index not in names]
    overflow = plan.pipelines[1].graph if len(plan.pipelines) > 1 else None
    return schedule(graph, plan.hardware, rest, overflow=overflow), unable


def check(plan: Plan, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Raise `RequestError` with everything that would go wrong with files and jobs, and make the
    outputs' folders when nothing would."""
    problems: list[Problem] = []
    owners: dict[str, Job] = {}
    inputs = {os.path.realpath(job.input): job for job in jobs}
    outputs: dict[Path, None] = {}
    for job in jobs:
        for node in plan.pipelines[0].graph.nodes:
            for path in node.kind.cls.writes(node.config, job):
                outputs[path] = None
                real = os.path.realpath(path)
                if real in owners:
                    other = owners[real]
                    message = f"{other.input} and {job.input} would both write {path}."
                    problems.append(
                        Problem("same-output", "output", message, "Use {name} or {index} in output=.")
                    )
                owners[real] = job
                if real in inputs or any(_same(path, other.input) for other in jobs):
                    message = f"{path} is one of the inputs, and inputs are never overwritten."
                    problems.append(Problem("output-is-input", "output", message, "Choose another output=."))
                elif path.is_dir():
                    problems.append(
                        Problem("output-folder", "output", f"{path} is a folder.", "Name a file.")
                    )
                elif path.exists() and not overwrite:
                    message = f"{path} exists already."
                    problems.append(Problem("exists", "output", message, "Say overwrite=true to replace it."))
    if not problems:
        for parent in dict.fromkeys(path.parent for path in outputs):
            try:
                parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"the folder {parent} cannot be made: {error.strerror}."
                problems.append(Problem("output-folder", "output", message, "Choose another output=."))
    if problems:
        raise RequestError(dict.fromkeys(problems))


def _same(path: Path, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
