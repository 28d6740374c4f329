"""The executor: order, values, failures, devices, what it tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import (
    Fake,
    FakeConfig,
    Items,
    Log,
    Pair,
    Recorder,
    Sink,
    Source,
    Split,
    Work,
    line,
    make_graph,
    make_job,
    make_plan,
    place,
    run,
    work,
)

from dualface.graph.errors import InputError
from dualface.graph.node import Device
from dualface.graph.registry import node


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs without a folder write into the current one."""
    monkeypatch.chdir(tmp_path)


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
