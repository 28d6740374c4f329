"""The executor: order, values, stop, leases, what it tells."""

from __future__ import annotations

import contextlib
import sys
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
    Pair,
    Sink,
    Source,
    Split,
    Work,
    make_graph,
    make_job,
    make_plan,
    place,
    run,
    work,
)

from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.execute import JobResult, execute
from dualface.graph.lease import LeaseStopped
from dualface.graph.node import Device, Event
from dualface.graph.registry import node
from dualface.graph.running import outputs


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs without a folder write into the current one."""
    monkeypatch.chdir(tmp_path)


def line(log: Log, middle: tuple[Any, FakeConfig] | None = None, **source: Any) -> Any:
    """source → work → sink, the one in the middle a `Work` unless told otherwise."""
    return make_graph(
        place("source", Source, FakeConfig(log, **source)),
        place("work", *(middle or (Work, FakeConfig(log))), a="source"),
        place("sink", Sink, FakeConfig(log, write="x_dual.mp4"), a="work"),
    )


def test_a_job_is_done(tmp_path: Path) -> None:
    log = Log()
    (result,) = run(make_plan(line(log, frames=10), [make_job(folder=tmp_path / "new" / "folder")]))
    assert (result.status, result.error) == ("done", "")
    assert log.seen["a", "sink"] == work(1, [range(10)])
    assert (result.frames_in, result.frames_out) == (10, 10)
    assert [(n.name, n.kind, n.calls) for n in result.nodes] == [
        ("source", "fake/source", 4),
        ("work", "fake/work", 3),
        ("sink", "fake/sink", 3),
    ]
    assert result.figures == {"frames_seen": 10}
    assert [(q.stage, q.size) for q in result.queues] == [("work", 2), ("sink", 2)]
    assert all(0 <= q.mean <= q.max <= 2 for q in result.queues)
    written = tmp_path / "new" / "folder" / "x_dual.mp4"
    assert result.outputs == (str(written),)
    assert written.read_text().split() == [str(n) for n in work(1, [range(10)])]
    assert list(written.parent.iterdir()) == [written]
    assert log.threads == {"a/source", "a/work", "a/sink"}


@pytest.mark.parametrize("queue", [1, 3])
@pytest.mark.parametrize("cuts", [[], None])
def test_a_fan_out_with_lookahead_comes_together_again(queue: int, cuts: Any) -> None:
    log = Log()
    graph = make_graph(
        place("source", Source, FakeConfig(log, frames=50)),
        place("second", Source, FakeConfig(log, frames=50)),
        place("slow", Work, FakeConfig(log, lookahead=17), a="source"),
        place("fast", Split, FakeConfig(log), a="source"),
        place("early", Sink, FakeConfig(log), a="fast.odd"),
        place("join", Work, FakeConfig(log), a="slow", c="fast.odd", b="second"),
        place("late", Sink, FakeConfig(log), a="join"),
    )
    (result,) = run(make_plan(graph, [make_job()], batch=3, queue=queue, cuts=cuts))
    assert result.error == ""
    odd = [2 * n + 1 for n in range(50)]
    assert log.seen["a", "early"] == odd
    assert log.seen["a", "late"] == work(1, [work(1, [range(50)]), range(50), odd])


def test_values_go_with_their_last_reader() -> None:
    """Of the source's values only those in queues and in work are alive at any time."""
    log = Log()
    graph = make_graph(
        place("source", Source, FakeConfig(log, frames=400)),
        place("late", Work, FakeConfig(log, lookahead=8), a="source"),  # does not keep its input
        place("reader", Sink, FakeConfig(log), a="source"),
        place("sink", Sink, FakeConfig(log), a="late"),
    )
    (result,) = run(make_plan(graph, [make_job()], batch=4, queue=1))
    assert result.status == "done"
    # 1 in work in each of 3 stages, 1 in each of 2 queues, 2 with 'late'
    assert log.most_alive <= 3 + 2 + 2
    assert not [ref for ref in log.alive if ref() is not None]


def test_what_nobody_reads_is_not_kept() -> None:
    log = Log()
    graph = make_graph(
        place("source", Source, FakeConfig(log, frames=8)),
        place("split", Split, FakeConfig(log), a="source"),
        place("sink", Sink, FakeConfig(log), a="split.even"),
    )
    (result,) = run(make_plan(graph, [make_job()]))
    assert (result.status, log.seen["a", "sink"]) == ("done", [2 * n for n in range(8)])


def test_a_source_without_frames(tmp_path: Path) -> None:
    (result,) = run(make_plan(line(Log(), frames=0), [make_job(folder=tmp_path)]))
    assert (result.status, result.error) == ("failed", "a.mp4: has no frames")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("first", "second"), [(8, 12), (12, 8), (8, 9), (9, 8)])
def test_sources_end_together(first: int, second: int) -> None:
    graph = make_graph(
        place("one", Source, FakeConfig(frames=first)),
        place("two", Source, FakeConfig(frames=second)),
        place("sink", Sink, FakeConfig(), a="one", b="two"),
    )
    (result,) = run(make_plan(graph, [make_job()]))
    assert result.status == "failed"
    assert result.error.startswith("node 'two' (fake/source)")


@node("bad/answer")
class Bad(Fake):
    """Breaks the contract in the way its ``salt`` says."""

    def process(self, a: Items) -> Items:
        answers: list[Any] = [None, Items([0] * (len(a) + 1)), "text", a]
        return answers[self.config.salt]  # type: ignore[no-any-return]

    def finish(self) -> Any:
        return iter([Items([1])])


@node("bad/pair")
class BadPair(Fake):
    def process(self, a: Items) -> Pair:
        return (a, a)  # type: ignore[return-value]


@node("bad/sink")
class BadSink(Fake):
    def process(self, a: Items) -> None:
        return a  # type: ignore[return-value]


@node("bad/debtor")
class Debtor(Fake):
    @staticmethod
    def lookahead(config: FakeConfig) -> int:
        return 99

    def process(self, a: Items) -> Items:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("middle", "message"),
    [
        ((Bad, FakeConfig(salt=0)), "keeps 4 frames unanswered after frame 0, but its lookahead is 0"),
        ((Bad, FakeConfig(salt=1)), "answered 5 frames where it was asked for 4 from frame 0"),
        ((Bad, FakeConfig(salt=2)), "answered with str where its output is Items"),
        ((Bad, FakeConfig(salt=3)), "answers more batches than it was given"),
        ((Debtor, FakeConfig()), "never answered the 10 frames from 0 on"),
    ],
)
def test_a_node_that_breaks_the_contract_is_named(middle: Any, message: str, tmp_path: Path) -> None:
    (result,) = run(make_plan(line(Log(), middle), [make_job(folder=tmp_path)]))
    assert result.status == "failed"
    assert result.error == f"node 'work' ({middle[0].kind}) {message}; this is a bug of the node."
    assert list(tmp_path.iterdir()) == []


def test_other_broken_answers() -> None:
    source = place("source", Source, FakeConfig())
    (result,) = run(make_plan(make_graph(source, place("x", BadPair, a="source")), [make_job()]))
    assert "answered with tuple, not with a NamedTuple of even, odd" in result.error
    (result,) = run(make_plan(make_graph(source, place("x", BadSink, a="source")), [make_job()]))
    assert "has no outputs, but answered with Items" in result.error


@pytest.mark.parametrize(
    ("where", "frame", "message"),
    [
        ("init", 0, "failed to start: ValueError: bad init"),
        ("open", 0, "failed to open: ValueError: bad open"),
        ("process", 5, "failed at frame 4: ValueError: bad process"),
        ("finish", 0, "failed while finishing: ValueError: bad finish"),
        ("close", 1, "failed to close: ValueError: bad close"),
    ],
)
def test_a_failing_node_is_named(where: str, frame: int, message: str, tmp_path: Path) -> None:
    log = Log()
    config = FakeConfig(log, fail=where, fail_frame=frame)
    (result,) = run(make_plan(line(log, (Work, config)), [make_job(folder=tmp_path)]))
    assert (result.status, result.error) == ("failed", f"node 'work' (fake/work) {message}")
    assert f"ValueError: bad {where}" in result.trace
    assert "Traceback" in result.trace
    assert log.opened == log.closed
    assert list(tmp_path.iterdir()) == []


def test_an_input_error_is_told_as_it_is() -> None:
    config = FakeConfig(fail="process", error=InputError("a.mp4: is broken."))
    (result,) = run(make_plan(line(Log(), (Work, config)), [make_job()]))
    assert (result.status, result.error) == ("failed", "a.mp4: is broken.")


def test_an_error_in_close_does_not_mask_the_first() -> None:
    log = Log()
    graph = make_graph(
        place("source", Source, FakeConfig(log, fail="close")),
        place("work", Work, FakeConfig(log, fail="process"), a="source"),
        place("sink", Sink, FakeConfig(log), a="work"),
    )
    (result,) = run(make_plan(graph, [make_job()]))
    assert result.error == "node 'work' (fake/work) failed at frame 0: ValueError: bad process"
    assert [(e.kind, e.node) for e in result.events] == [("error", "source")]
    assert log.closed == log.opened


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def job_started(self, job: Any, slot: str) -> None:
        self.calls.append(("started", job.name, slot))

    def progress(self, job: Any, frames: int) -> None:
        self.calls.append(("progress", job.name, frames))

    def event(self, job: Any, event: Event) -> None:
        self.calls.append(("event", job.name, event.message))

    def job_finished(self, result: JobResult) -> None:
        self.calls.append(("finished", result.job.name, result.status))


def test_jobs_do_not_touch_each_other_and_results_come_in_order(tmp_path: Path) -> None:
    log, told = Log(), Recorder()
    config = FakeConfig(log, fail="process", fail_job="b")
    jobs = [make_job(name, tmp_path, i) for i, name in enumerate("abc")]
    graph = make_graph(place("source", Source, FakeConfig(log)), place("sink", Sink, config, a="source"))
    results = run(make_plan(graph, [jobs[2], jobs[1], jobs[0]], slots=1), listener=told)
    assert [r.job.name for r in results] == ["a", "b", "c"]
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert log.seen["a", "sink"] == log.seen["c", "sink"] == list(range(10))
    of_c = [call for call in told.calls if call[1] == "c"]
    assert of_c == [
        ("started", "c", "slot 0"),
        *(("progress", "c", n) for n in (4, 8, 10)),
        ("finished", "c", "done"),
    ]
    assert [call[1] for call in told.calls if call[0] == "started"] == ["c", "b", "a"]


def test_a_listener_that_raises_is_left_alone() -> None:
    class Broken(Recorder):
        def progress(self, job: Any, frames: int) -> None:
            raise BrokenPipeError

    told = Broken()
    (result,) = run(make_plan(line(Log(), frames=10), [make_job()]), listener=told)
    assert result.status == "done"
    assert told.calls == [("started", "a", "slot 0")]


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


class FakeLeases:
    def __init__(self) -> None:
        self.held = 0
        self.log: list[Any] = []
        self.error: Exception | None = None

    @contextlib.contextmanager
    def hold(self, wanted: Any, *, waiting: Any = None, stop: Any = None) -> Any:
        if self.error:
            raise self.error
        waiting("Waiting for gpu0-encode.")
        self.held += 1
        self.log.append(dict(wanted))
        yield
        self.held -= 1


def test_leases_are_held_around_each_job() -> None:
    leases, told = FakeLeases(), Recorder()
    jobs = [make_job("a"), make_job("b", index=1)]
    plan = make_plan(line(Log()), jobs, leases={"gpu0-encode": 1})
    results = run(plan, leases=leases, listener=told, overwrite=True)
    assert [r.status for r in results] == ["done", "done"]
    assert leases.log == [{"gpu0-encode": 1}] * 2
    assert leases.held == 0
    assert ("event", "a", "Waiting for gpu0-encode.") in told.calls


def test_leases_that_cannot_be_had_fail_the_job() -> None:
    leases = FakeLeases()
    leases.error = RequestError([Problem("lease-too-large", "gpu0-encode", "3 are wanted, there is 1.")])
    (result,) = run(make_plan(line(Log()), [make_job()], leases={"gpu0-encode": 3}), leases=leases)
    assert result.status == "failed"
    assert "3 are wanted, there is 1." in result.error


def test_a_slot_on_a_gpu_hands_out_its_device_and_switches_threads_quickly() -> None:
    seen: list[Any] = []

    @node("fake/device")
    class OnDevice(Fake):
        def process(self, a: Items) -> Items:
            seen.append((self.context.device, sys.getswitchinterval()))
            return a

    before = sys.getswitchinterval()
    jobs = [make_job("a"), make_job("b", index=1)]
    opened: list[int] = []

    def open_device(gpu: int) -> Device:
        opened.append(gpu)
        return Device(gpu, 77)

    run(make_plan(line(Log(), (OnDevice, FakeConfig())), jobs, gpu=3), open_device=open_device)
    assert opened == [3]
    assert {device for device, _ in seen} == {Device(3, 77)}
    assert all(interval == pytest.approx(1e-4) for _, interval in seen)
    assert sys.getswitchinterval() == before


def test_a_device_that_does_not_open_fails_the_job() -> None:
    def open_device(gpu: int) -> Device:
        raise OSError("no such GPU")

    (result,) = run(make_plan(line(Log()), [make_job()], gpu=3), open_device=open_device)
    assert (result.status, result.error) == ("failed", "OSError: no such GPU")


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
    before, told = set(threading.enumerate()), Recorder()
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
    assert not outputs._live


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


class OneLease(FakeLeases):
    """Gives its lease to one slot at a time, to the second one first."""

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()

    @contextlib.contextmanager
    def hold(self, wanted: Any, *, waiting: Any = None, stop: Any = None) -> Any:
        if threading.current_thread().name == "slot 0":
            waiting("Waiting for gpu0-encode.")
            while not stop.wait(0.001):
                pass
            raise LeaseStopped("stopped")
        yield


def test_a_slot_without_its_lease_takes_no_job() -> None:
    """Both jobs are done by the other slot, the longest first, and the one that waits ends."""
    told = Recorder()
    jobs = [make_job("long", index=0), make_job("short", index=1)]
    plan = make_plan(line(Log()), jobs, slots=2, leases={"gpu0-encode": 1})
    results = run(plan, leases=OneLease(), listener=told, overwrite=True)
    assert [(r.status, r.slot) for r in results] == [("done", "slot 1")] * 2
    assert [c[1] for c in told.calls if c[0] == "started"] == ["long", "short"]
    assert told.calls[0] == ("event", "long", "Waiting for gpu0-encode.")


def test_a_slot_that_cannot_have_its_lease_leaves_the_jobs_to_others() -> None:
    class Refusing(FakeLeases):
        @contextlib.contextmanager
        def hold(self, wanted: Any, *, waiting: Any = None, stop: Any = None) -> Any:
            if threading.current_thread().name == "slot 0":
                raise RequestError([Problem("lease-folder", "x", "it cannot be written.")])
            yield

    plan = make_plan(line(Log()), [make_job()], slots=2, leases={"gpu0-encode": 1})
    (result,) = run(plan, leases=Refusing())
    assert (result.status, result.slot) == ("done", "slot 1")
