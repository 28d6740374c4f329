"""A job that stands still is told of, left behind, and holds nobody up."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import (
    FakeConfig,
    Items,
    Log,
    Recorder,
    Sink,
    Source,
    Work,
    make_graph,
    make_job,
    make_plan,
)
from execute_fakes import place as put

from dualface.graph import faults
from dualface.graph.execute import JobResult, execute
from dualface.graph.faults import Fault
from dualface.graph.recovery import Backoff, Recovery, Rule, Taken
from dualface.graph.running import outputs
from dualface.graph.running.watch import left_behind

SOON = Recovery(
    stall_seconds=0.4, open_seconds=0.4, backoff=Backoff(0, 1, 0), rules=(Rule("*", "stall", ("fail",)),)
)
AGAIN = replace(SOON, rules=(Rule("*", "stall", ("resume", "fail")),))


@pytest.fixture(autouse=True)
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[set[threading.Thread]]:
    """Those who hang come back at the end; whoever was there before the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(faults, "RELEASED", released := threading.Event())
    before = set(threading.enumerate())
    yield before
    released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()
    assert not left_behind()


def run(
    folder: Path, *happens: Fault, recovery: Recovery = SOON, cuts: Any = None, **options: Any
) -> tuple[tuple[JobResult, ...], Log, Recorder]:
    log, heard = Log(), Recorder()
    graph = make_graph(
        put("source", Source, FakeConfig(log)),
        put("work", Work, FakeConfig(log), a="source"),
        put("sink", Sink, FakeConfig(log, write="x.mp4"), a="work"),
    )
    plan = make_plan(graph, [make_job(name, folder / name, i) for i, name in enumerate("abc")], cuts=cuts)
    results = execute(plan, recovery=recovery, faults=happens, listener=heard, **options)
    return results, log, heard


@pytest.mark.parametrize("cuts", [None, []])
@pytest.mark.parametrize("node", ["source", "work", "sink"])
@pytest.mark.parametrize("at", ["open", "process", "finish", "close"])
def test_the_others_are_done(node: str, at: Any, cuts: Any, tmp_path: Path) -> None:
    live = set(outputs._live)
    results, log, heard = run(tmp_path, Fault(node, "hang", at=at, job="b"), cuts=cuts)
    assert [r.status for r in results] == ["done", "failed", "done"]
    bad = results[1]
    doing = {"open": "to open", "process": "at frame 0", "finish": "while finishing", "close": "to close"}[at]
    assert bad.error.startswith(f"node '{node}' (fake/{node}) has made no progress for ")
    assert bad.error.endswith(f" s {doing}")
    assert bad.stuck
    assert "faults.py" in bad.trace
    (event,) = bad.events
    assert event.message.startswith("no progress for ")
    assert f"is in node '{node}' (fake/{node}) {doing}" in event.message
    if at == "process" and cuts is None and node == "work":
        assert "b waits for the job's stages; " in event.message
        assert "b/sink waits for a batch" in event.message
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["x.mp4", "x.mp4"]
    assert outputs._live == live
    assert [call for call in heard.calls if call[0] == "finished"][-1] == ("finished", "c", "done")
    assert left_behind()
    faults.RELEASED.set()
    for thread in threading.enumerate():
        if thread.name.partition("/")[0] == "b":
            thread.join(30)
    assert log.opened == log.closed  # also the one that hung, once it came back


@pytest.mark.parametrize("at", ["open", "process", "finish", "close"])
def test_the_job_starts_again(at: Any, tmp_path: Path) -> None:
    results, log, _ = run(tmp_path, Fault("work", "hang", at=at, job="b"), recovery=AGAIN)
    assert [(r.status, r.error) for r in results] == [("done", "")] * 3
    assert results[1].history == (Taken("work", "resume"),)
    assert [event.kind for event in results[1].events] == ["error", "recovery"]
    assert results[1].events[1].message.endswith("; it starts again")
    assert log.seen["b", "sink"][-10:] == log.seen["a", "sink"]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["x.mp4"] * 3


def test_a_job_that_always_hangs_fails(tmp_path: Path) -> None:
    results, *_ = run(tmp_path, Fault("work", "hang", job="b", times=0), recovery=AGAIN)
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert len(results[1].history) == AGAIN.budgets.resume


def test_a_full_queue_is_told_of(tmp_path: Path) -> None:
    results, *_ = run(tmp_path, Fault("sink", "hang", job="a"))
    assert results[0].status == "failed"
    # (ten frames are too few to fill it: the source is through)
    assert "a/sink is in node 'sink'" in results[0].events[0].message

    class Endless(Source):
        def process(self) -> Items:
            return Items(range(4))

    graph = make_graph(put("source", Endless, FakeConfig()), put("sink", Sink, FakeConfig(), a="source"))
    (result,) = execute(
        make_plan(graph, [make_job("a", tmp_path)], queue=1), recovery=SOON, faults=[Fault("sink", "hang")]
    )
    assert "a/source waits for room before sink" in result.events[0].message


def test_slow_is_not_stuck(tmp_path: Path) -> None:
    slow = [Fault("work", "delay", times=0, seconds=0.25), Fault("sink", "delay", at="open", seconds=0.6)]
    patient = Recovery(stall_seconds=1.5, open_seconds=2, backoff=Backoff(0, 1, 0))
    results, *_ = run(tmp_path, *slow, recovery=patient)
    assert [r.status for r in results] == ["done"] * 3
    assert not any(r.events for r in results)


def test_opening_has_a_longer_bound(tmp_path: Path) -> None:
    bounds = Recovery(stall_seconds=0.3, open_seconds=60, backoff=Backoff(0, 1, 0))
    results, *_ = run(tmp_path, Fault("work", "delay", at="open", seconds=1.0, job="a"), recovery=bounds)
    assert [r.status for r in results] == ["done"] * 3


def test_a_stop_does_not_wait_for_the_stall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualface.graph.execute.GRACE", 0.0)
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    results, *_ = run(tmp_path, Fault("work", "hang", job="a"), recovery=Recovery(), stop=stop)
    assert [r.status for r in results] == ["interrupted"] * 3
    assert results[0].error == "Stopped before its end: node 'work' (fake/work) did not come back."


@pytest.mark.parametrize(("rules", "code"), [("strict", 1), ("default", 0)])
def test_the_program_ends_with_a_thread_that_hangs(rules: str, code: int, tmp_path: Path) -> None:
    """The command itself, with its exit code, and the other video done."""
    from media import make

    for name in "ab":
        make(tmp_path / f"{name}.mp4")
    command = [
        sys.executable, "-m", "dualface", "input=[a.mp4,b.mp4]", "graph=inspect", "output={name}.jsonl",
        "+faults=[{node: track, fault: hang, job: a, frame: 4}]", "recovery.stall_seconds=2",
        "recovery.backoff.most=1", f"recovery={rules}",
    ]  # fmt: skip
    env = {**os.environ, "DUALFACE_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    kind = "failed" if code else "recovery"
    assert f"a: {kind}: node 'track' (track/bytetrack) has made no progress for 2 s at frame " in done.stderr
    assert "a: error: no progress for 2 s: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not [p for p in tmp_path.glob(".*") if "partial" in p.name or "unfinished" in p.name]
    assert sorted(p.name[0] for p in tmp_path.glob("*.jsonl")) == (["b"] if code else ["a", "b"])
