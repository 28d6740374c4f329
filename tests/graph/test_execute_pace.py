"""Jobs that may not go on for now: here and in processes of their own, running and waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from apart_fakes import Count, CountConfig, Note, NoteConfig, open_device
from execute_fakes import Recorder, make_graph, make_job, make_plan, place, run

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.hw.monitor import Monitor
from dualface.hw.pacing import Pacing, Places
from dualface.hw.pressure import Limits
from dualface.hw.sampling import Gpu, Sample
from dualface.hw.tally import Tally

WAIT = 30.0  # seconds until something that ought to happen is given up
WHERE = {"here": {}, "apart": {"apart": True, "open_device": open_device}}
everywhere = pytest.mark.parametrize("where", list(WHERE))


class Hand(Recorder):
    """A pace and a listener: holds the jobs in ``held`` from ``after`` frames on, as long as nobody lets
    them go; ``then`` happens once such a job is told to wait."""

    def __init__(self, held: str = "", after: int = -1, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.held, self.after, self.then = set(held), after, then
        self.frames: dict[str, int] = {}
        self.lost: set[str] = set()

    def hold(self, slot: str, job: Job) -> str | None:
        if job.name in self.lost:
            raise InputError(f"{job.name} has waited too long.")
        return "the disk is full." if job.name in self.held and self._reached(job) else None

    def _reached(self, job: Job) -> bool:
        return self.frames.get(job.name, 0) >= max(self.after, 0) or self.after < 0

    def progress(self, job: Job, frames: int) -> None:
        super().progress(job, frames)
        self.frames[job.name] = frames

    def event(self, job: Job, event: Any) -> None:
        super().event(job, event)
        if "the disk is full" in event.message:
            self.then()


def plan(folder: Path, names: str = "ab", *, slots: int = 2, frames: int = 2000) -> Plan:
    graph = make_graph(
        place("count", Count, CountConfig(frames, 0.001)), place("note", Note, NoteConfig(), a="count")
    )
    jobs = [make_job(name, folder, index) for index, name in enumerate(names)]
    return make_plan(graph, jobs, slots=slots, gpu=0)


def told(result: Any) -> list[tuple[str, str]]:
    return [(e.kind, e.message.split(":")[0][:10]) for e in result.events if "device" not in e.message]


def later(what: Callable[[], Any], seconds: float = 0.3) -> Callable[[], None]:
    return lambda: threading.Timer(seconds, what).start()


@everywhere
def test_a_running_job_pauses_at_a_batch_and_goes_on(tmp_path: Path, where: str) -> None:
    hand = Hand("a", after=40)
    hand.then = later(hand.held.clear)
    results = run(plan(tmp_path), listener=hand, pace=hand, **WHERE[where])
    assert [r.status for r in results] == ["done", "done"]
    assert told(results[0]) == [("warning", "Paused"), ("notice", "Goes on af")]
    assert told(results[1]) == []
    expected = "".join(f"{n}\n" for n in range(2000))
    assert [r.job.output.read_text() for r in results] == [expected] * 2  # nothing lost, nothing twice
    assert ("event", "a", "Paused: the disk is full.") in hand.calls


@everywhere
def test_a_paused_job_stands_still(tmp_path: Path, where: str) -> None:
    hand = Hand("a", after=40)
    seen: list[int] = []

    def look() -> None:
        size = sum(len(p.read_text().splitlines()) for p in tmp_path.glob(".a*"))
        seen.append(size)
        if len(seen) >= 3 and len(set(seen[-3:])) == 1:  # what was under way is through
            hand.held.clear()
        else:
            later(look)()

    hand.then = later(look)
    assert run(plan(tmp_path, "a"), listener=hand, pace=hand, **WHERE[where])[0].status == "done"
    assert 40 <= seen[-1] < 2000
    assert len((tmp_path / "a.out").read_text().splitlines()) == 2000


@everywhere
def test_a_stop_ends_a_pause_at_once(tmp_path: Path, where: str) -> None:
    hand, stop = Hand("a", after=40), threading.Event()
    hand.then = later(stop.set)
    results = run(plan(tmp_path, "a", slots=2), listener=hand, pace=hand, stop=stop, **WHERE[where])
    assert results[0].status == "interrupted"
    assert told(results[0]) == [("warning", "Paused")]
    assert not list(tmp_path.iterdir())


@everywhere
def test_who_has_waited_too_long_fails_alone(tmp_path: Path, where: str) -> None:
    hand = Hand("a", after=40)
    hand.then = later(lambda: hand.lost.add("a"))
    results = run(plan(tmp_path), listener=hand, pace=hand, **WHERE[where])
    assert [r.status for r in results] == ["failed", "done"]
    assert results[0].error == "a has waited too long."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.out"]


def test_a_held_job_is_passed_over_and_started_later(tmp_path: Path) -> None:
    hand = Hand("a")
    hand.held.add("x")
    order: list[str] = []
    hand.job_finished = lambda result: (order.append(result.job.name), hand.held.discard("a"))  # type: ignore
    results = run(plan(tmp_path, "abc", slots=1, frames=40), listener=hand, pace=hand)
    assert [r.status for r in results] == ["done"] * 3
    assert order[0] == "b"
    assert "a" in order[1:]


@everywhere
def test_while_none_may_start_the_first_is_told_once(tmp_path: Path, where: str) -> None:
    hand = Hand("abc")
    hand.then = later(hand.held.clear)
    results = run(plan(tmp_path, "abc", frames=40), listener=hand, pace=hand, **WHERE[where])
    assert [r.status for r in results] == ["done"] * 3
    assert told(results[0]) == [("warning", "Not starte"), ("notice", "Goes on af")]
    assert [told(r) for r in results[1:]] == [[], []]
    assert [c for c in hand.calls if "disk is full" in str(c[-1])] == [
        ("event", "a", "Not started yet: the disk is full.")
    ]


def test_a_stop_while_none_may_start(tmp_path: Path) -> None:
    hand, stop = Hand("ab"), threading.Event()
    hand.then = later(stop.set)
    results = run(plan(tmp_path), listener=hand, pace=hand, stop=stop)
    assert [r.status for r in results] == ["interrupted"] * 2
    assert told(results[0]) == [("warning", "Not starte")]
    assert not list(tmp_path.iterdir())


def test_who_has_waited_too_long_for_a_start_fails_unstarted(tmp_path: Path) -> None:
    hand = Hand("ab")
    hand.then = later(lambda: hand.lost.update("ab"))
    results = run(plan(tmp_path, slots=1), listener=hand, pace=hand)
    assert [(r.status, r.error) for r in results] == [
        ("failed", "a has waited too long."),
        ("failed", "b has waited too long."),
    ]
    assert told(results[0]) == [("warning", "Not starte")]
    assert not list(tmp_path.iterdir())


def test_slots_that_must_wait_hold_no_lease(tmp_path: Path) -> None:
    hand, held = Hand("ab"), []

    class Leases:
        def hold(self, wanted: Any, **options: Any) -> Any:
            held.append(set(hand.held))
            return threading.Lock()  # a context manager

    hand.then = later(hand.held.clear)
    made = plan(tmp_path, frames=40)
    leased = make_plan(
        made.pipelines[0].graph, [a.job for a in made.assignments], slots=2, gpu=0, leases={"x": 1}
    )
    assert [r.status for r in run(leased, listener=hand, pace=hand, leases=Leases())] == ["done"] * 2
    assert held
    assert not any(held)


@everywhere
def test_heat_lets_a_job_less_run_until_it_is_over(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualface.hw.pressure.PRESSED", 0.05)
    hot, hand = ["thermal slowdown"], Hand()
    tally = Tally(hand)
    places = Places({"slot 0": 0, "slot 1": 0}, {}, [])
    pacing = Pacing(Limits(calm=0.3, slots={0: 2}), places, tally)

    def look() -> Sample:
        # It gets hot once both run, and cools once one of them pauses.
        heat = len(hand.frames) == 2 and not any("Paused" in str(call[-1]) for call in hand.calls)
        return Sample(time.monotonic(), gpus=(Gpu(0, throttle=tuple(hot) if heat else ()),))

    with Monitor(look, 0.02, pacing.take):
        results = run(plan(tmp_path, frames=4000), listener=tally, pace=pacing, **WHERE[where])
    assert [r.status for r in results] == ["done", "done"]
    both = sorted(map(told, results), key=len)
    assert both == [[], [("warning", "Paused"), ("notice", "Goes on af")]]
    sentence = "Paused: GPU 0 holds its clock down (thermal slowdown); 1 of its 2 slots go on."
    assert sentence in [e.message for r in results for e in r.events]
    assert [r.job.output.read_text().count("\n") for r in results] == [4000, 4000]
