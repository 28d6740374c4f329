"""From a composed request to a plan that may run: probe the inputs, resolve, build, schedule, check."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface.actions import Request
from dualface.actions.fallback import Rebuild, fitting, refusals
from dualface.actions.monitoring import check_monitor
from dualface.actions.people import check_people, without_recogniser
from dualface.actions.recovery import read_faults, read_recovery
from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import Gathered, InputError, Problem, RequestError
from dualface.graph.faults import Fault
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job, Limits
from dualface.graph.options import parse
from dualface.graph.plan import Plan
from dualface.graph.recovery import Recovery
from dualface.graph.registry import installed
from dualface.graph.schedule import NO_OVERFLOW, schedule
from dualface.graph.types import Video
from dualface.hw.layers import Resolved
from dualface.inputs import Wish, wishes
from dualface.report import check_objective

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


def probe_all(
    config: Mapping[str, Any], folder: Path | None, typed: Collection[str]
) -> tuple[list[Job], list[tuple[Wish, str]]]:
    """The jobs that can be read, and a sentence for each that cannot."""
    protocols, limits = tuple(config["protocols"]), _limits(config)
    jobs: list[Job] = []
    bad: list[tuple[Wish, str]] = []
    with _prober(config) as probe:
        for wish in wishes(config, folder, typed):
            try:
                job = probe(
                    wish.path,
                    output=wish.output,
                    name=wish.name,
                    index=wish.index,
                    protocols=protocols,
                    limits=limits,
                )
                jobs.append(job)
            except InputError as error:
                bad.append((wish, str(error)))
    return jobs, bad


@contextlib.contextmanager
def _prober(config: Mapping[str, Any]) -> Iterator[Callable[..., Job]]:
    """What probes an input: in a process of its own where a node of the graph says ``isolate: true``."""
    if _isolated(config["graph"]):
        from dualface.nodes.decode.isolated import Prober

        with Prober() as prober:
            yield prober.probe
    else:
        from dualface.nodes.decode.probe import probe

        yield probe


def _isolated(part: Any) -> bool:
    return isinstance(part, Mapping) and (part.get("isolate") is True or any(map(_isolated, part.values())))


def _not_isolated(graph: Graph, nodes: Mapping[str, Any]) -> Excluded:
    """The candidates in ``graph`` that would do in this process what is to be done in one of its own."""
    return {
        (node.name, node.candidate): "isolate=true, which it cannot do"
        for node in graph.nodes
        if "isolate" in node.ignored and nodes[node.name]["isolate"] is True
    }


def _limits(config: Mapping[str, Any]) -> Limits:
    made, problems = parse(Limits, config.get("limits") or {}, "limits", "limits")
    if made is None:
        raise RequestError(problems)
    return made


def _check_protocols(config: Mapping[str, Any]) -> None:
    from dualface.nodes.decode.source import PROTOCOLS

    known = ", ".join(PROTOCOLS)
    problems = [
        Problem(
            "unknown-protocol", "protocols", f"inputs cannot be opened by '{one}'.", f"There are {known}."
        )
        for one in config["protocols"]
        if one not in PROTOCOLS
    ]
    if problems:
        raise RequestError(problems)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a request comes to: the jobs that can be read, a sentence for each that cannot, and the
    built graph, to be scheduled; ``no_overflow`` says why there is no ``overflow``. ``instead`` has
    the graphs of single jobs, by their index; ``rebuild`` makes more without some candidates,
    ``on_cpu`` the one without a GPU;
    ``recovery`` and ``faults`` are for `execute`."""

    jobs: tuple[Job, ...]
    bad: tuple[tuple[Wish, str], ...]
    graph: Graph
    overflow: Graph | None
    no_overflow: str
    hardware: Hardware
    instead: Mapping[int, Graph]
    rebuild: Rebuild
    on_cpu: Callable[[], Graph]
    recovery: Recovery
    faults: tuple[Fault, ...]

    def plan(self, jobs: Sequence[Job]) -> Plan:
        """The plan for ``jobs``."""
        return schedule(
            self.graph,
            self.hardware,
            jobs,
            overflow=self.overflow,
            no_overflow=self.no_overflow,
            instead=self.instead,
        )


def prepare(
    config: Mapping[str, Any],
    request: Request,
    *,
    trust: bool,
    nominal: bool = False,
    folder: Path | None = None,
) -> Ready:
    """Probe the inputs, resolve the hardware and build the graph. With ``nominal``, no input stands
    for a minute of 1080p. Raises `RequestError` with all problems of the inputs and of the graph."""
    from dualface.graph.build import build

    told = Gathered()
    jobs: list[Job] = []
    bad: list[tuple[Wish, str]] = []
    if nominal and config.get("input") is None and not config.get("input_list"):
        jobs = [NOMINAL]
    else:
        with told:
            _check_protocols(config)
        with told:
            jobs, bad = probe_all(config, folder, request.typed)
    recovery = Recovery()
    with told:
        recovery = read_recovery(config.get("recovery") or {})
    with told:
        resolved, registry = _hardware_or_told(config, request, trust, told), installed()
        for line in resolved.warnings:
            print(line, file=sys.stderr)
        strict, people = bool(config["strict_zero_copy"]), config.get("people") or {}

        def make(hardware: Hardware, exclude: Excluded) -> Graph:
            made = build(config["graph"], hardware, registry, strict_zero_copy=strict, exclude=exclude)
            if open_ones := _not_isolated(made, config["graph"]["nodes"]):
                return make(hardware, {**exclude, **open_ones})
            # Who asked for somebody by a photo is not served by a graph that recognises nobody.
            if exclude and (problems := without_recogniser(people, made)):
                raise RequestError(problems)
            return made

        def rebuild(exclude: Excluded) -> Graph:
            return make(resolved.hardware, exclude)

        def on_cpu() -> Graph:
            return make(replace(resolved.hardware, gpus=(), features=frozenset()), {})

        graph, instead = fitting(rebuild, jobs)
        overflow, why = _overflow(graph, resolved.hardware, rebuild)
        faults: tuple[Fault, ...] = ()
        with told:
            faults = read_faults(config.get("faults") or [], graph)
        hardware = resolved.hardware
        ready = Ready(
            tuple(jobs),
            tuple(bad),
            graph,
            overflow,
            why,
            hardware,
            instead,
            rebuild,
            on_cpu,
            recovery,
            faults,
        )
        with told:
            _check_record(config, graph)
        with told:
            check_people(people, graph)
        with told:
            check_monitor(config["monitor"])
        with told:
            check_objective(ready.plan(jobs), config["objective"])
    told.tell()
    return ready


def _hardware_or_told(config: Mapping[str, Any], request: Request, trust: bool, told: Gathered) -> Resolved:
    """The hardware; without the keys that are wrong, which are ``told``, so that the graph can be
    looked at."""
    try:
        return hardware(config, request, trust=trust)
    except RequestError as error:
        told.problems += error.problems
        wrong = {problem.where.split(".")[1] for problem in error.problems if "." in problem.where}
        right = {key: value for key, value in config["hw"].items() if key not in wrong}
        return hardware({**config, "hw": right}, request, trust=trust)


def _check_record(config: Mapping[str, Any], graph: Graph) -> None:
    if config["record"] and not any(node.kind.name == RECORDER for node in graph.nodes):
        message = f"graph '{graph.name}' has no node of kind {RECORDER}, so that nothing would be recorded."
        hint = "Leave record=true out, or use graph=inspect."
        raise RequestError([Problem("no-record", "record", message, hint)])


def _overflow(graph: Graph, hardware: Hardware, rebuild: Rebuild) -> tuple[Graph | None, str]:
    """The same graph without hardware encoders; or None and why there is none, as a clause."""
    hard = [node for node in graph.nodes if node.needs.resources.get("encode_sessions")]
    if not hard or hardware.encode_overflow != "software":
        return None, NO_OVERFLOW
    pinned = [f"{node.name} is pinned to {node.kind.name}" for node in hard if not node.candidate]
    if pinned:
        return None, " and ".join(pinned)
    taken = {(node.name, node.candidate): "here it encodes beyond the sessions" for node in hard}
    try:
        return rebuild({**graph.excluded, **taken}), ""
    except RequestError as error:
        copies = [p.message.rstrip(".") for p in error.problems if p.code == "strict-zero-copy"]
    return None, f"strict_zero_copy=true forbids it: {'; '.join(copies)}" if copies else NO_OVERFLOW


def hardware(config: Mapping[str, Any], request: Request, *, trust: bool, refresh: bool = False) -> Resolved:
    """The hardware that ``hw`` names, the manual layer's notes among its warnings."""
    from dualface.hw.layers import resolve
    from dualface.hw.manual import read_manual
    from dualface.hw.probe import asked, probe
    from dualface.paths import user_config_dir

    manual = read_manual(user_config_dir() / "hw" / "manual.yaml")
    machine = probe(refresh, packages=asked(installed().kinds.values()))
    typed = request.overrides("hw")
    resolved = resolve(config["hw"], machine=machine, manual=manual.values, typed=typed, trust=trust)
    return replace(resolved, warnings=(*manual.notes, *resolved.warnings))


def without_unable(plan: Plan, jobs: Sequence[Job]) -> tuple[Plan, list[tuple[Job, str]]]:
    """The plan for the jobs that its nodes can do, and why they cannot do the others.

    Any slot may take any job. Where only the software encoders cannot do one, none are used.
    Raises `RequestError` where the nodes can do no job.
    """
    if not jobs:
        return plan, []
    graph, *others = graphs(plan)
    usual = [job for job in jobs if job.index not in plan.instead]
    unable = _unable(graph, usual)
    no_overflow = plan.no_overflow
    soft = [one for other in others for one in _unable(other, usual) if one[0] not in dict(unable)]
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
    able = schedule(
        main, plan.hardware, rest, overflow=overflow, no_overflow=no_overflow, instead=plan.instead
    )
    return able, unable


def graphs(plan: Plan) -> list[Graph]:
    """The graphs that run in a slot of the plan: the main one, the one of overflow, or both."""
    return [plan.pipelines[index].graph for index in sorted({slot.pipeline for slot in plan.slots})]


def _unable(graph: Graph, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
    """The jobs that a node of ``graph`` cannot do, and its sentences."""
    found: list[tuple[Job, str]] = []
    for job in jobs:
        sentences = [text for texts in refusals(graph, job).values() for text in texts]
        if sentences:
            found.append((job, "; ".join(dict.fromkeys(sentences))))
    return found
