"""Broken off and gone on with: a node that takes up a snapshot answers as if nothing had been."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualface.conformance.made_up import Batch
from dualface.conformance.running import Run
from dualface.conformance.values import copied, same
from dualface.graph.job import Job
from dualface.graph.node import Node, NodeConfig, Stateless
from dualface.graph.registry import Kind

CUTS = 6  # places in a run at which it is broken off, at most


@dataclass(frozen=True)
class _Cut:
    """A node's state after ``batches``, of which ``answers`` were given and those in ``owed`` were not:
    the arrays as they were then, and as the node handed them over."""

    batches: int
    answers: int
    owed: list[Batch]
    kept: dict[str, Any]
    given: Mapping[str, Any]


def needs_snapshot(kind: Kind, config: NodeConfig) -> bool:
    """Whether what a node answers or writes may depend on what it was asked before."""
    if not kind.ports.outputs:
        return True
    source, later = not kind.ports.inputs, kind.cls.lookahead(config) > 0
    return source or later or not isinstance(kind.cls.state(config), Stateless)


def cut_off(
    kind: Kind, config: NodeConfig, job: Job, batches: Sequence[Batch], answers: Sequence[Any]
) -> Iterator[str]:
    """What goes wrong where a run of ``batches``, which has these ``answers``, is broken off.

    The state is kept before each batch and behind the last one, as a file would hold it.
    """
    if not kind.ports.outputs:
        yield from _written_on(kind, config, job, batches)
        return
    if kind.cls.snapshot is Node.snapshot:
        yield "it has a state but no snapshot() of it: a job with it cannot go on where it was broken off"
        return
    run = Run(kind, config, job)
    cuts: list[_Cut] = []
    found: list[Any] = []
    try:
        run.start()
        for index in range(len(answers if run.is_source else batches) + 1):
            given = run.node.snapshot()
            if wrong := _not_plain(given):
                yield wrong
                return
            cuts.append(_Cut(index, len(found), list(run.owed), copied(dict(given)), given))
            found += run.next(batches[index] if index < len(batches) else None)
        if not run.is_source:
            found += run.end()
    finally:
        run.close()
    if not same(tuple(found), tuple(answers)):
        yield "its answers are others when snapshot() is called on the way"
        return
    for cut in cuts:
        for name, array in cut.kept.items():
            if not same(np.asarray(array), np.asarray(cut.given[name])):
                yield f"it goes on writing into snapshot()['{name}'] after that was given"
                return
    for cut in _some(cuts):
        yield from _gone_on(kind, config, job, batches, answers, cut)


def _gone_on(
    kind: Kind, config: NodeConfig, job: Job, batches: Sequence[Batch], answers: Sequence[Any], cut: _Cut
) -> Iterator[str]:
    run, stored = Run(kind, config, job), _stored(cut.kept)
    before = copied(stored)
    run.owed = list(cut.owed)
    run.start()
    run.node.restore(stored)
    tail = run.rest(batches[cut.batches :])
    after = f"after {cut.batches} of {len(batches)} batches" if batches else f"after {cut.batches} batches"
    if not same(tuple(answers[cut.answers :]), tuple(tail)):
        empty = "" if cut.kept else "; its snapshot is empty"
        yield f"it does not go on as before after restore(snapshot()) {after}{empty}"
    elif not same(before, stored):
        yield "it writes into the arrays that restore() is given"


def _written_on(kind: Kind, config: NodeConfig, job: Job, batches: Sequence[Batch]) -> Iterator[str]:
    """A node that writes: its files are those of a run that kept its state there and was not broken off."""
    if kind.cls.snapshot is Node.snapshot:
        return  # a job with it begins anew, and so do its files
    for cut in sorted({len(batches) // 2, len(batches) - 1} - {-1}):  # a segment begins with a batch
        whole, again, broken = (_files(kind, config, job, batches, cut, b) for b in (False, False, True))
        if whole == again and whole != broken:
            where = f"after {cut} of {len(batches)} batches"
            yield f"what it writes is something else after restore(snapshot()) {where}"


def _files(
    kind: Kind, config: NodeConfig, job: Job, batches: Sequence[Batch], cut: int, broken: bool
) -> dict[str, bytes]:
    """What is written where the state is kept before batch ``cut``, and the run perhaps broken off."""
    with tempfile.TemporaryDirectory() as unfinished:
        run = Run(kind, config, job, Path(unfinished))
        try:
            run.start()
            for batch in batches[:cut]:
                run.next(batch)
            kept = _stored(run.node.snapshot())
            if broken:
                run.next(batches[cut])
                run.close()
                run = Run(kind, config, job, Path(unfinished))
                run.start()
                run.node.restore(kept)
            for batch in batches[cut:]:
                run.next(batch)
            run.end()
            run.node.close()
            return run.files()
        finally:
            run.folder.cleanup()


def _some(cuts: list[_Cut]) -> list[_Cut]:
    """At most `CUTS` of them, the first and the last included."""
    places = np.linspace(0, len(cuts) - 1, min(CUTS, len(cuts))).round().astype(int)
    return [cuts[place] for place in places]


def _not_plain(snapshot: Any) -> str:
    if not isinstance(snapshot, Mapping):
        return f"snapshot() gives a {type(snapshot).__name__}, not arrays by their names"
    for name, array in snapshot.items():
        if not isinstance(name, str) or np.asarray(array).dtype.hasobject:
            return f"snapshot()['{name}'] is no plain array"
    return ""


def _stored(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot after a way through a file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}
