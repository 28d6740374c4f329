"""The executor is stopped: what is finished stays, what is not leaves nothing, nobody is waited for."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import (
    Fake,
    FakeConfig,
    Items,
    Log,
    Recorder,
    Sink,
    Source,
    Work,
    line,
    make_graph,
    make_job,
    make_plan,
    place,
    run,
)

from dualface.graph.execute import execute
from dualface.graph.node import Event
from dualface.graph.registry import node
from dualface.graph.running import outputs


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs without a folder write into the current one."""
    monkeypatch.chdir(tmp_path)


@node("fake/endless")
class Endless(Fake):
    def process(self) -> Items:
        self.step(4)
        return Items(range(4))


def test_stop_keeps_what_is_finished_and_removes_the_rest(tmp_path: Path) -> None:
    log, stop = Log(), threading.Event()

    class StopInB(Recorder):
        def progress(self, job: Any, frames: int) -> None:
            if job.name == "b" and frames > 20:
                stop.set()

    @node("fake/mixed")
    class Mixed(Fake):
        """Ends in job a, never in others."""

        def process(self) -> Items:
            self.step(4)
            return None if self.job == "a" and self.frame > 12 else Items(range(4))  # type: ignore[return-value]

    jobs = [replace(make_job(n, tmp_path / n, i)) for i, n in enumerate("abc")]
    graph = make_graph(
        place("source", Mixed, FakeConfig(log)),
        place("work", Work, FakeConfig(log, lookahead=40), a="source"),
        place("sink", Sink, FakeConfig(log, write="x.mp4"), a="work"),
    )
    results = run(make_plan(graph, jobs, queue=1), stop=stop, listener=StopInB())
    assert [r.status for r in results] == ["done", "interrupted", "interrupted"]
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.mp4")] == ["a/x.mp4"]
    assert list((tmp_path / "b").iterdir()) == []
    assert not (tmp_path / "c").exists()
    assert log.opened == log.closed
    assert all(r.error for r in results[1:])


def test_a_source_that_ends_because_it_is_stopped_makes_no_output(tmp_path: Path) -> None:
    stop = threading.Event()
    graph = make_graph(
        place("source", Source, FakeConfig(frames=1 << 40)),
        place("sink", Sink, FakeConfig(write="x.mp4"), a="source"),
    )

    class Stop(Recorder):
        def progress(self, job: Any, frames: int) -> None:
            stop.set()

    (result,) = run(make_plan(graph, [make_job(folder=tmp_path)]), stop=stop, listener=Stop())
    assert result.status == "interrupted"
    assert list(tmp_path.iterdir()) == []


def test_what_a_node_complains_of_while_it_is_stopped_is_not_told() -> None:
    @node("fake/complaining")
    class Complaining(Endless):
        def close(self) -> None:
            super().close()
            self.context.emit(Event("warning", "the file breaks off"))

    stop = threading.Event()

    class Stop(Recorder):
        def progress(self, job: Any, frames: int) -> None:
            stop.set()

    graph = make_graph(
        place("source", Complaining, FakeConfig()), place("sink", Sink, FakeConfig(), a="source")
    )
    (result,) = run(make_plan(graph, [make_job()]), stop=stop, listener=Stop())
    assert (result.status, result.events) == ("interrupted", ())


def test_stop_before_the_start() -> None:
    stop = threading.Event()
    stop.set()
    log = Log()
    results = run(make_plan(line(log), [make_job("a"), make_job("b", index=1)]), stop=stop)
    assert [r.status for r in results] == ["interrupted"] * 2
    assert not log.opened


def test_keyboard_interrupt_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    from dualface.graph import execute as module

    log = Log()
    graph = make_graph(
        place("source", Endless, FakeConfig(log)), place("sink", Sink, FakeConfig(log), a="source")
    )
    join, calls = module._Run.join, []

    def interrupted(self: Any, threads: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            log.reached.wait()
            raise KeyboardInterrupt
        join(self, threads)

    monkeypatch.setattr(module._Run, "join", interrupted)
    (result,) = run(make_plan(graph, [make_job()]))
    assert result.status == "interrupted"
    assert log.opened == log.closed


@pytest.mark.parametrize("where", ["process", "finish", "open", "close"])
def test_a_node_that_does_not_come_back_is_left_alone(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, release, stop = threading.Event(), threading.Event(), threading.Event()

    @node(f"fake/stuck-{where}")
    class Stuck(Sink):
        def fail(self, at: str) -> None:
            if at == where and self.job == "b":
                stuck.set()
                release.wait()

    monkeypatch.setattr("dualface.graph.execute.GRACE", 0.0)
    graph = make_graph(
        place("source", Source, FakeConfig()), place("sink", Stuck, FakeConfig(write="x.mp4"), a="source")
    )
    plan = make_plan(graph, [make_job(name, tmp_path / name, i) for i, name in enumerate("abc")])
    before, live, told = set(threading.enumerate()), set(outputs._live), Recorder()
    threading.Thread(target=lambda: (stuck.wait(), stop.set())).start()
    results = execute(plan, stop=stop, listener=told)
    left = set(threading.enumerate()) - before
    assert left
    assert all(thread.daemon for thread in left)
    assert [r.status for r in results] == ["done", "interrupted", "interrupted"]
    assert results[1].error == f"Stopped before its end: node 'sink' (fake/stuck-{where}) did not come back."
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.mp4")] == ["a/x.mp4"]
    heard = list(told.calls)
    assert heard[-1] == ("finished", "b", "interrupted")
    release.set()
    for thread in left:
        thread.join()
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.mp4")] == ["a/x.mp4"]
    assert told.calls == heard
    assert outputs._live == live


def test_a_second_interrupt_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dualface.graph import execute as module

    stuck, release = threading.Event(), threading.Event()

    @node("fake/stuck-twice")
    class Stuck(Sink):
        def process(self, a: Items) -> None:
            stuck.set()
            release.wait()

    def interrupted(self: Any, threads: Any) -> None:
        stuck.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(module._Run, "join", interrupted)
    graph = make_graph(
        place("source", Source, FakeConfig()), place("sink", Stuck, FakeConfig(write="x.mp4"), a="source")
    )
    before = set(threading.enumerate())
    (result,) = execute(make_plan(graph, [make_job(folder=tmp_path)]))
    assert result.status == "interrupted"
    assert list(tmp_path.iterdir()) == []
    release.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
