"""Slots in processes of their own: one that hangs, or gives no sign of life, is ended; its slot goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
from apart_fakes import open_device
from execute_fakes import run
from test_execute_apart import children, files, plan

from dualface.graph.faults import Fault
from dualface.graph.node import Event
from dualface.graph.recovery import Backoff, Recovery, Taken
from dualface.graph.running.checkpoint import Checkpoint
from dualface.graph.running.unfinished import CHECKPOINT, folder_of, identity

SOON = Recovery(stall_seconds=2.5, open_seconds=30, backoff=Backoff(0, 1, 0))


def test_a_process_in_which_a_node_hangs_is_ended(tmp_path: Path) -> None:
    bounds = Recovery(stall_seconds=1, open_seconds=30, backoff=Backoff(0, 1, 0))
    hang = Fault("note", "hang", job="a")
    results = run(plan(tmp_path, "abcd"), apart=True, open_device=open_device, recovery=bounds, faults=[hang])
    assert [r.status for r in results] == ["done"] * 4
    assert results[0].history == (Taken("note", "fresh"),)
    assert any(event.message.startswith("no progress for 1 s: ") for event in results[0].events)
    assert not children()
    assert files(tmp_path) == ["a.out", "b.out", "c.out", "d.out"]


def test_a_process_without_a_sign_of_life_is_ended(tmp_path: Path) -> None:
    """As one in which a library holds Python's lock: it is suspended in the middle of a job. What it kept
    by then is told of."""
    made = plan(tmp_path, "abc", fault="tell", of="a")
    request = identity(made.assignments[0].job, made.pipelines[0].graph, SOON.segment_seconds)

    class Suspend:
        def event(self, job: Any, event: Event) -> None:
            if job.name == "a" and event.message.startswith("at work in "):
                folder = folder_of(job.output)
                folder.mkdir(exist_ok=True)
                (folder / CHECKPOINT).write_bytes(Checkpoint(request, 4, 1, 12.0, 2.0, {}).packed())
                psutil.Process(int(event.message.split()[-1])).suspend()

        def job_started(self, *_: Any) -> None: ...
        def progress(self, *_: Any) -> None: ...
        def job_finished(self, *_: Any) -> None: ...

    results = run(made, apart=True, open_device=open_device, recovery=SOON, listener=Suspend())
    assert [r.status for r in results] == ["failed", "done", "done"]
    assert results[0].error == f"The process of {results[0].slot} gave no sign of life for 3 s and was ended."
    assert not children()
    assert os.getpid() not in {r.figures.get("process") for r in results}
    assert results[0].kept_seconds == 10.0
    told = next(event.message for event in results[0].events if event.kind == "recovery")
    assert "; it goes on in a new process" in told
    assert files(tmp_path) == ["b.out", "c.out"]


def test_quiet_work_is_a_sign_of_life(tmp_path: Path) -> None:
    slow = Fault("note", "delay", at="open", seconds=4, job="a")
    results = run(plan(tmp_path), apart=True, open_device=open_device, recovery=SOON, faults=[slow])
    assert [r.status for r in results] == ["done"] * 3


def test_a_fault_that_kills_takes_one_job_along(tmp_path: Path) -> None:
    kill = Fault("note", "kill", frame=8, job="b")
    results = run(plan(tmp_path), apart=True, open_device=open_device, faults=[kill])
    assert [r.status for r in results] == ["done"] * 3
    (event,) = [event for event in results[1].events if event.kind == "recovery"]
    assert "signal 9" in event.message
    assert event.message.endswith("; it starts again in a new process in 0.5 s")
    assert files(tmp_path) == ["a.out", "b.out", "c.out"]


def test_a_job_that_always_takes_its_process_along_fails(tmp_path: Path) -> None:
    kill = Fault("note", "kill", frame=8, job="b", times=0)
    results = run(plan(tmp_path), apart=True, open_device=open_device, faults=[kill], recovery=SOON)
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert "signal 9" in results[1].error
    assert [taken.action for taken in results[1].history] == ["fresh", "fresh", "cpu"]
    assert files(tmp_path) == ["a.out", "c.out"]
