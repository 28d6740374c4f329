"""What is done in place where a node fails: the batch again, the node anew, the last answer once more."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execute_fakes import Recorder, make_graph, make_job, make_plan, place, run

from dualface.graph.errors import DeviceError, InputError
from dualface.graph.execute import JobResult
from dualface.graph.node import Context, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.recovery import Backoff, Recovery, Rule
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Faces, Frames, Video

FRAMES = 40
VIDEO = Video(4, 2, Fraction(1, 30))
SOON = Backoff(first=0, most=0)


@dataclass
class Trouble(NodeConfig):
    fails: list[Any] = field(default_factory=list)  # what is raised at the calls for frame 12 on, in turn
    seen: dict[str, Any] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    late: int = 0


@node("made/pictures")
class Pictures(Node[Trouble]):
    def open(self, context: Context) -> None:
        self.context, self.at = context, 0

    def process(self) -> Frames[NV12, Cpu]:
        n = min(self.context.batch, FRAMES - self.at)
        if n <= 0 or self.context.stopping():
            return None  # type: ignore[return-value]
        pts = np.arange(self.at, self.at + n) * 2
        data = np.broadcast_to(pts[:, None, None].astype(np.uint8), (n, 3, 4)).copy()
        first, self.at = self.at, self.at + n
        return Frames(data, pts, VIDEO, first)


class Failing(Node[Trouble]):
    def open(self, context: Context) -> None:
        self.context = context
        self.config.calls["open"] += 1

    def close(self) -> None:
        self.config.calls["close"] += 1

    def fail(self, first: int) -> None:
        self.config.calls["process"] += 1
        if first >= 12 and self.config.fails:
            fault = self.config.fails.pop(0)
            if fault is not None:
                raise fault


@node("made/plain")
class Plain(Failing):
    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        self.fail(frames.first)
        return Frames(frames.data + 1, frames.pts, frames.video, frames.first)


@node("made/sum")
class Sum(Failing):
    """Adds up what it saw, and answers ``late`` frames later."""

    @staticmethod
    def state(config: Trouble) -> State:
        return Unbounded()

    @staticmethod
    def lookahead(config: Trouble) -> int:
        return config.late

    def open(self, context: Context) -> None:
        super().open(context)
        self.total = np.zeros(1, np.int64)
        self.owed: list[Any] = []
        self.sizes: list[int] = []

    def process(self, frames: Frames[NV12, Cpu]) -> Faces:
        self.total += frames.data.astype(np.int64).sum()  # before it fails: the state is spoilt then
        boxes = np.full((len(frames), 4), float(self.total[0]), np.float32)
        self.owed.append(boxes)
        self.fail(frames.first)
        return self.answer() if len(np.concatenate(self.owed)) > self.config.late else None  # type: ignore[return-value]

    def answer(self) -> Faces:
        boxes = self.owed.pop(0)
        n = len(boxes)
        ones = np.ones(n, np.int64)
        marks = np.zeros((n, 5, 2), np.float32)
        return Faces(ones, boxes, np.ones(n, np.float32), marks, np.ones(n, bool))

    def finish(self) -> Iterator[Any]:
        while self.owed:
            yield self.answer()

    def snapshot(self) -> Snapshot:
        self.config.calls["snapshot"] += 1
        lengths = np.array([len(boxes) for boxes in self.owed], np.int64)
        return {
            "total": self.total,
            "lengths": lengths,
            "owed": np.concatenate([np.empty((0, 4)), *self.owed]),
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.total = np.array(snapshot["total"])
        ends = np.cumsum(snapshot["lengths"])[:-1]
        self.owed = (
            list(np.split(snapshot["owed"].astype(np.float32), ends)) if len(snapshot["lengths"]) else []
        )


@node("made/keep")
class Keep(Node[Trouble]):
    def open(self, context: Context) -> None:
        self.config.seen.update(pts=[], data=[], boxes=[])

    def process(self, frames: Frames[NV12, Cpu], faces: Faces) -> None:
        self.config.seen["pts"] += frames.pts.tolist()
        self.config.seen["data"] += frames.data[:, 0, 0].tolist()
        self.config.seen["boxes"] += faces.boxes[:, 0].tolist()


def job(
    recovery: Recovery, *, plain: Any = (), total: Any = (), late: int = 0, **options: Any
) -> tuple[JobResult, dict[str, Any], Trouble, Trouble]:
    one, two, seen = Trouble(list(plain)), Trouble(list(total), late=late), Trouble()
    graph = make_graph(
        place("source", Pictures, Trouble()),
        place("plain", Plain, one, frames="source"),
        place("sum", Sum, two, frames="plain"),
        place("keep", Keep, seen, frames="plain", faces="sum"),
    )
    (result,) = run(make_plan(graph, [make_job()]), recovery=recovery, **options)
    return result, seen.seen, one, two


def rules(*actions: Any, error: Any = "device") -> Recovery:
    return Recovery(backoff=SOON, rules=(Rule("made/*", error, actions),))


GOOD = job(rules("fail"))[1]


@pytest.mark.parametrize("late", [0, 10])
@pytest.mark.parametrize("action", ["retry", "reopen"])
def test_the_batch_is_tried_again(action: Any, late: int) -> None:
    gone = [DeviceError("it left"), None, None, DeviceError("it left again")]
    result, seen, plain, total = job(rules(action), plain=list(gone), total=list(gone), late=late)
    assert (result.status, result.error) == ("done", "")
    assert seen == GOOD
    assert [event.kind for event in result.events] == ["recovery"] * 4
    assert plain.calls["open"] == plain.calls["close"] == (1 if action == "retry" else 3)
    assert total.calls["open"] == total.calls["close"] == 3  # one with state takes it up anew
    assert Counter((t.node, t.action) for t in result.history) == {("plain", action): 2, ("sum", action): 2}


def test_who_has_no_rule_for_it_gives_no_state() -> None:
    result, _, _, total = job(rules("resume", "fail"))
    assert result.status == "done"
    assert total.calls["snapshot"] == 0


def test_the_last_good_answer_is_repeated_with_the_right_times() -> None:
    bad = InputError("a picture that it cannot do")
    result, seen, *_ = job(rules("skip", error="input"), plain=[bad], total=[None, bad])
    assert result.status == "done"
    assert seen["pts"] == GOOD["pts"]
    assert seen["data"][12:16] == [GOOD["data"][11]] * 4
    assert seen["data"][:12] + seen["data"][16:] == GOOD["data"][:12] + GOOD["data"][16:]
    assert seen["boxes"][16:20] == [seen["boxes"][15]] * 4
    assert result.events[0].message == (
        "node 'plain' (made/plain): a picture that it cannot do; the last good answer is repeated"
    )
    assert result.events[0].frame == 12


def test_nothing_is_repeated_that_is_not_there_or_would_come_too_soon() -> None:
    bad = InputError("bad")
    result, *_ = job(rules("skip", error="input"), total=[bad], late=10)  # it owes older answers
    assert (result.status, result.error, result.history) == ("failed", "bad", ())


def test_budgets_end_it() -> None:
    result, _, plain, _ = job(rules("retry", "reopen"), plain=[DeviceError("gone for good")] * 99)
    assert (result.status, result.error) == ("failed", "gone for good")
    assert [taken.action for taken in result.history] == ["retry"] * 2 + ["reopen"] * 2
    assert plain.calls["process"] == 3 + 5
    assert plain.calls["open"] == plain.calls["close"]


def test_a_bug_is_never_retried() -> None:
    result, _, plain, _ = job(Recovery(), plain=[ValueError("oops")])
    assert result.status == "failed"
    assert result.error == "node 'plain' (made/plain) failed at frame 12: ValueError: oops"
    assert (result.history, result.decision) == ((), None)
    assert plain.calls["open"] == plain.calls["close"] == 1


def test_a_node_that_cannot_be_opened_again_is_closed_once() -> None:
    class Once(Plain):
        def open(self, context: Context) -> None:
            super().open(context)
            if self.config.calls["open"] > 1:
                raise DeviceError("it does not come back")

    config = Trouble([DeviceError("it left")])
    once: Any = node("made/once")(Once)
    graph = make_graph(
        place("source", Pictures, Trouble()), place("once", once, config, frames="source"),
        place("sum", Sum, Trouble(), frames="once"),
        place("keep", Keep, Trouble(), frames="once", faces="sum"),
    )  # fmt: skip
    (result,) = run(make_plan(graph, [make_job()]), recovery=rules("reopen"))
    assert (result.status, result.error) == ("failed", "it does not come back")
    assert config.calls["open"] == config.calls["close"] == 3


def test_a_stop_ends_the_wait() -> None:
    stop, began = threading.Event(), time.monotonic()

    class Stop(Recorder):
        def event(self, job: Any, event: Any) -> None:
            stop.set()

    recovery = Recovery(backoff=Backoff(first=60, most=60), rules=(Rule("*", "device", ("retry",)),))
    result, *_ = job(recovery, plain=[DeviceError("it left")], stop=stop, listener=Stop())
    assert result.status == "interrupted"
    assert time.monotonic() - began < 30  # not the minute that it would have waited


def test_a_node_that_writes_is_not_asked_twice(tmp_path: Path) -> None:
    class Writes(Plain):
        @staticmethod
        def writes(config: Any, job: Any) -> tuple[Path, ...]:
            return (job.output,)

    config = Trouble([DeviceError("it left")])
    kind: Any = node("made/writes")(Writes)
    graph = make_graph(
        place("source", Pictures, Trouble()), place("w", kind, config, frames="source"),
        place("sum", Sum, Trouble(), frames="w"), place("keep", Keep, Trouble(), frames="w", faces="sum"),
    )  # fmt: skip
    (result,) = run(make_plan(graph, [make_job()]), recovery=rules("retry", "fail"))
    assert result.status == "failed"
    assert config.calls["process"] == 4
