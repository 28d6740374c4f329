"""The executor and its leases: a slot takes a job once it holds them."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import (
    Log,
    Recorder,
    line,
    make_job,
    make_plan,
    run,
)

from dualface.graph.errors import Problem, RequestError
from dualface.graph.lease import LeaseStopped


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs without a folder write into the current one."""
    monkeypatch.chdir(tmp_path)


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
