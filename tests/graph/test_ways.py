"""An action that turns out not to be possible makes room for the next of its rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from execute_fakes import Log, line, make_job, make_plan, run

from dualface.graph.faults import Fault
from dualface.graph.recovery import Backoff, Recovery, Rule, Taken


def rules(*actions: Any) -> Recovery:
    return Recovery(backoff=Backoff(0, 1, 0), rules=(Rule("*", "device", actions),))


def do(folder: Path, *actions: Any, batch: int = 4) -> Any:
    """A job that breaks once; its log cannot be handed to another process, and there is no GPU."""
    happens = [Fault("work", "raise", frame=4, error="device")]
    made = make_plan(line(Log()), [make_job(folder=folder)], batch=batch)
    (result,) = run(made, recovery=rules(*actions), faults=happens)
    return result


@pytest.mark.parametrize("first", [("fresh",), ("next",), ("cpu",), ("cpu", "fresh", "next")])
def test_the_next_of_the_rule_is_taken(first: Any, tmp_path: Path) -> None:
    result = do(tmp_path, *first, "smaller", "resume", "fail")
    assert (result.status, result.error) == ("done", "")
    assert result.history[-1] == Taken("work", "smaller")
    (event,) = result.events
    assert event.message.endswith("it starts again with batches of 2")
    assert len((tmp_path / "x_dual.mp4").read_text().splitlines()) == 10


def test_a_batch_of_one_has_no_half(tmp_path: Path) -> None:
    result = do(tmp_path, "fresh", "smaller", "resume", "fail", batch=1)
    assert result.status == "done"
    assert result.history[-1] == Taken("work", "resume")


def test_where_nothing_is_possible_the_job_fails_with_its_own_error(tmp_path: Path) -> None:
    result = do(tmp_path, "fresh", "next", "cpu", "fail")
    assert result.status == "failed"
    assert result.error == "injected at node 'work'"
    assert not list(tmp_path.iterdir())
