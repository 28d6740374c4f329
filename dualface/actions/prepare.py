"""From a composed request to a plan that may run: probe the inputs, resolve, build, schedule, check."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from dualface.actions import Request
from dualface.graph.dag import Graph
from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.registry import Registry, installed
from dualface.graph.schedule import NO_OVERFLOW, schedule
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
    graph = build(config["graph"], resolved.hardware, registry, strict_zero_copy=_strict(config))
    if config["record"] and not any(node.kind.name == RECORDER for node in graph.nodes):
        message = f"graph '{graph.name}' has no node of kind {RECORDER}, so that nothing would be recorded."
        hint = "Leave record=true out, or use graph=inspect."
        raise RequestError([Problem("no-record", "record", message, hint)])
    overflow, why = _overflow(config, graph, resolved.hardware, registry)
    return schedule(graph, resolved.hardware, jobs, overflow=overflow, no_overflow=why)


def _overflow(
    config: Mapping[str, Any], graph: Graph, hardware: Hardware, registry: Registry
) -> tuple[Graph | None, str]:
    """The same graph without hardware encoders; or None and why there is none, as a clause."""
    from dualface.graph.build import build

    hard = [node for node in graph.nodes if node.needs.resources.get("encode_sessions")]
    if not hard or hardware.encode_overflow != "software":
        return None, NO_OVERFLOW
    pinned = [f"{node.name} is pinned to {node.kind.name}" for node in hard if not node.candidate]
    if pinned:
        return None, " and ".join(pinned)
    taken = frozenset((node.name, node.candidate) for node in hard)
    try:
        return build(config["graph"], hardware, registry, exclude=taken, strict_zero_copy=_strict(config)), ""
    except RequestError as error:
        copies = [p.message.rstrip(".") for p in error.problems if p.code == "strict-zero-copy"]
    return None, f"strict_zero_copy=true forbids it: {'; '.join(copies)}" if copies else NO_OVERFLOW


def _strict(config: Mapping[str, Any]) -> bool:
    return bool(config["strict_zero_copy"])


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

    Any slot may take any job. Where only the software encoders cannot do one, none are used.
    Raises `RequestError` where the nodes can do no job.
    """
    graph, *others = _graphs(plan)
    unable = _unable(graph, jobs)
    no_overflow = plan.no_overflow
    soft = [one for other in others for one in _unable(other, jobs) if one[0] not in dict(unable)]
    if soft:
        no_overflow = f"the software encoder cannot do {soft[0][0].name}: {soft[0][1].rstrip('.')}"
    if not unable and not soft:
        return plan, unable
    if len(unable) == len(jobs):
        raise RequestError([Problem("bad-job", job.input, sentence) for job, sentence in unable])
    names = {job.index for job, _ in unable}
    rest = [job for job in jobs if job.index not in names]
    overflow = plan.pipelines[1].graph if len(plan.pipelines) > 1 and not soft else None
    main = plan.pipelines[0].graph
    return schedule(main, plan.hardware, rest, overflow=overflow, no_overflow=no_overflow), unable


def _graphs(plan: Plan) -> list[Graph]:
    """The graphs that run in a slot of the plan: the main one, the one of overflow, or both."""
    return [plan.pipelines[index].graph for index in sorted({slot.pipeline for slot in plan.slots})]


def _unable(graph: Graph, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
    """The jobs that a node of ``graph`` cannot do, and its sentences."""
    found: list[tuple[Job, str]] = []
    for job in jobs:
        sentences = [text for node in graph.nodes for text in node.kind.cls.check(node.config, job)]
        if sentences:
            found.append((job, "; ".join(dict.fromkeys(sentences))))
    return found


def _writes(graph: Graph, job: Job) -> Counter[Path]:
    return Counter(path for node in graph.nodes for path in node.kind.cls.writes(node.config, job))


def check(plan: Plan, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Raise `RequestError` with everything that would go wrong with files and jobs, and make the
    outputs' folders when nothing would."""
    problems: list[Problem] = []
    owners: dict[str, Job] = {}
    inputs = {os.path.realpath(job.input): job for job in jobs}
    outputs: dict[Path, None] = {}
    for job in jobs:
        # One of the graphs runs the job: what each of them writes is written once.
        for path in reduce(or_, (_writes(graph, job) for graph in _graphs(plan))).elements():
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
                problems.append(Problem("output-folder", "output", f"{path} is a folder.", "Name a file."))
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
