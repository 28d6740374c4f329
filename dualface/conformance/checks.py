"""The contract of a node, as checks that any node can be put through."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dualface.conformance.going_on import cut_off, needs_snapshot
from dualface.conformance.guard import guarded
from dualface.conformance.made_up import (
    Batch,
    complete,
    length_of,
    long_enough,
    make_batches,
    make_job,
    scenarios,
)
from dualface.conformance.running import Run
from dualface.conformance.values import same
from dualface.graph.building.candidates import role_misfit
from dualface.graph.job import Job
from dualface.graph.node import Bounded, Needs, Node, NodeConfig, Stateless, Unbounded
from dualface.graph.options import describe, parse
from dualface.graph.ports import Port
from dualface.graph.registry import Kind, installed, kind_of
from dualface.graph.types import Memory


def check_node(
    kind: Kind | type[Node[Any]],
    config: Mapping[str, Any] | NodeConfig | None = None,
    *,
    job: Job | None = None,
    feeds: Sequence[Sequence[Batch]] | None = None,
    seconds: float = 60,
) -> None:
    """Put a node through its contract; AssertionError lists every breach in sentences.

    ``config`` holds options, ``job`` a real job for nodes that read or write files. ``feeds``
    are runs, lists of batches (a value by the name of its input), for types of port that are a
    package's own: those cannot be made up, and TypeError asks for them. Required inputs of
    dualface's types that a batch leaves out are made up for as many frames as the others have.
    Nodes that need a GPU are only checked as far as one can without. ``seconds`` is how long the
    checks on one run may take; a node that has not come back by then hangs.
    """
    found = list(breaches(kind, config, job=job, feeds=feeds, seconds=seconds))
    name = kind.name if isinstance(kind, Kind) else kind.kind or kind.__name__
    if found:
        raise AssertionError(f"{name} breaks the contract of nodes:\n" + "\n".join(f"- {b}" for b in found))


def breaches(
    kind: Kind | type[Node[Any]],
    config: Mapping[str, Any] | NodeConfig | None = None,
    *,
    job: Job | None = None,
    feeds: Sequence[Sequence[Batch]] | None = None,
    seconds: float = 60,
) -> Iterator[str]:
    """Every way in which a node breaks its contract, as sentences; see `check_node`."""
    kind = kind if isinstance(kind, Kind) else kind_of(kind)
    try:
        kind.ports, kind.config  # noqa: B018  (what is wrong with either shows here)
    except TypeError as error:
        yield str(error)
        return
    yield from _declared(kind)
    if not isinstance(config, NodeConfig):
        made, problems = parse(kind.config, config or {}, "config", kind.name)
        yield from (f"its options do not parse: {problem}" for problem in problems)
        if made is None:
            return
        config = made
    found, end = guarded(_pure(kind, config), seconds)
    yield from (f"what is asked before a run: {breach}" for breach in found)
    if end != "done":
        return
    if "cuda" in kind.cls.needs(config, Memory.CPU).features:
        return
    with tempfile.TemporaryDirectory() as folder:
        runs = _runs(kind, config, job, feeds, Path(folder))
        for name, here, batches in runs:
            found, end = guarded(_checked(kind, config, here, batches), seconds)
            yield from (f"{name}: {breach}" for breach in found)
            if end == "hung":
                return


def _declared(kind: Kind) -> Iterator[str]:
    """What is written: documentation, defaults, ports."""
    if not (kind.cls.__doc__ or "").strip():
        yield "the class has no docstring, which is what action=nodes shows"
    for option in describe(kind.config):
        if not option.doc:
            yield f"the option '{option.name}' has no comment, which is its help text"
    if misfit := role_misfit(kind, installed().roles.get(kind.role)):
        yield f"it does not fit its role: {misfit}"


def _pure(kind: Kind, config: NodeConfig) -> Iterator[str]:
    """What is asked before a run must be the same whenever it is asked."""
    for memory in Memory:
        needs = kind.cls.needs(config, memory)
        if not isinstance(needs, Needs):
            yield f"needs() gives {type(needs).__name__}, not Needs"
        elif needs != kind.cls.needs(config, memory):
            yield "needs() gives something else each time"
    lookahead, state = kind.cls.lookahead(config), kind.cls.state(config)
    if not isinstance(lookahead, int) or lookahead < 0:
        yield f"lookahead() gives {lookahead!r}, not a number of frames"
    if not isinstance(state, Stateless | Bounded | Unbounded):
        yield f"state() gives {state!r}, which is no State"
    decided = {p.type.format for p in kind.ports.inputs.values()} | {str(v) for v in kind.cls.binds(config)}
    for name, port in kind.ports.outputs.items():
        if isinstance(port.type.format, str) and port.type.format not in decided:
            label = f"output '{name}'" if name else "its output"
            yield f"nothing decides the pixel format of {label}: binds() must"
    if (lookahead, state) != (kind.cls.lookahead(config), kind.cls.state(config)):
        yield "lookahead() or state() gives something else each time"


def _runs(
    kind: Kind,
    config: NodeConfig,
    job: Job | None,
    feeds: Sequence[Sequence[Batch]] | None,
    folder: Path,
) -> Iterator[tuple[str, Job, list[Batch]]]:
    """What to run the node on."""
    bound = {str(variable): mark for variable, mark in kind.cls.binds(config).items()}
    inputs = {n: _bound(port, bound) for n, port in kind.ports.inputs.items()}
    if feeds is not None or not inputs:
        for number, feed in enumerate(feeds or [[]], 1):
            batches = complete(feed, inputs, config)
            yield f"feed {number}", job or _job_of(batches, folder), batches
        return
    state = kind.cls.state(config)
    long = (long_enough(state.frames),) if isinstance(state, Bounded) and state.frames < 300 else ()
    for scenario in (*scenarios(), *long):
        here = job or make_job(scenario.video, sum(scenario.lengths), folder)
        yield scenario.name, here, make_batches(scenario, inputs, config)
    required = {name: port for name, port in inputs.items() if not port.optional}
    if 0 < len(required) < len(inputs):
        scenario = scenarios()[0]
        here = job or make_job(scenario.video, sum(scenario.lengths), folder)
        yield "without its optional inputs", here, make_batches(scenario, required, config)


def _bound(port: Port, bound: Mapping[str, Any]) -> Port:
    """A port whose pixel format is the one that the options decide."""
    pixel = port.type.format
    if not isinstance(pixel, str):
        return port
    return replace(port, type=replace(port.type, format=bound.get(pixel, pixel)))


def _job_of(feed: Sequence[Batch], folder: Path) -> Job:
    videos = [value.video for value in (feed[0].values() if feed else ()) if hasattr(value, "video")]
    frames = sum(map(length_of, feed)) or sum(scenarios()[0].lengths)
    return make_job(videos[0] if videos else scenarios()[0].video, frames, folder)


def _checked(kind: Kind, config: NodeConfig, job: Job, batches: list[Batch]) -> Iterator[str]:
    """One scenario, several times over."""
    yield from _life(kind, config, job)
    run = Run(kind, config, job)
    answers = run.all(batches)
    yield from run.breaches
    again = Run(kind, config, job)
    if not same(tuple(answers), tuple(again.all(batches))):
        yield "the same inputs give other answers the second time"
    if run.breaches:
        return
    state = kind.cls.state(config)
    if needs_snapshot(kind, config):
        yield from cut_off(kind, config, job, batches, answers)
    elif batches:
        alone = Run(kind, config, job).all(batches[-1:])
        if not same(tuple(alone), tuple(answers[-1:])):
            yield "it calls itself stateless, but the last batch alone is answered otherwise"
    if isinstance(state, Bounded):
        yield from _warmed_up(kind, config, job, batches, answers, state.frames)


def _life(kind: Kind, config: NodeConfig, job: Job) -> Iterator[str]:
    """Closing must be safe however far the node got."""
    for what in ("open() failed", "nothing was processed"):
        node = kind.cls(config)
        try:
            if what == "nothing was processed":
                node.open(Run(kind, config, job).context)
        finally:
            try:
                node.close()
            except Exception as error:
                yield f"close() raises {type(error).__name__} when {what}: {error}"


def _warmed_up(
    kind: Kind, config: NodeConfig, job: Job, batches: list[Batch], answers: list[Any], frames: int
) -> Iterator[str]:
    """Started early enough, a node with bounded memory gives the same answers."""
    lengths = [length_of(batch) for batch in batches]
    for start in range(1, len(batches)):
        skip = next(
            (i for i in range(1, len(batches) - start) if sum(lengths[start : start + i]) >= frames), 0
        )
        if skip:
            late = Run(kind, config, job).all(batches[start:])
            if not same(tuple(late[skip:]), tuple(answers[start + skip :])):
                yield f"it remembers more than the {frames} frames that it declares"
            return
