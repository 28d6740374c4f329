"""Looks after a job's progress: one that stands still is told of, with what every thread waits for, and
given up.

A call into a library cannot be ended from outside. So a job runs on a thread of its own, and the slot's
thread watches it: if need be it leaves the job behind and goes on.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.recovery import Recovery
from dualface.graph.running.attempt import Attempt
from dualface.graph.running.outcome import JobResult
from dualface.graph.running.step import Step

POLL = 0.05  # seconds between two looks
TICK = 1.0  # the most that counts between two looks: a program that was suspended did not stand still
# Calls that may take long by nature: networks are built for a GPU, a long film gets its index.
LONG = {"to start", "to open", "while finishing", "to close"}

_left: set[threading.Thread] = set()  # of jobs that were given up


def left_behind() -> bool:
    """Whether a thread of a job that was given up has still not come back."""
    return any(thread.is_alive() for thread in list(_left))


class Wait(NamedTuple):
    """What a thread waits for, as a clause, and its stack."""

    thread: str
    what: str
    stack: str


class Progress:
    """Tells when steps have stood still for too long."""

    def __init__(self, steps: Sequence[Step], recovery: Recovery) -> None:
        self._steps, self._recovery = steps, recovery
        self._seen = -1
        self._quiet = 0.0
        self._looked = time.monotonic()

    def stalled(self, held: bool = False) -> float:
        """For how many seconds they have stood still, once that is too long; else 0. Being ``held`` back on
        purpose is no standing still."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, TICK), now
        moved = sum(step.moved for step in self._steps)
        if moved != self._seen or held:
            self._seen, self._quiet = moved, 0.0
            return 0.0
        self._quiet += passed
        slow = any(step.inside in LONG for step in self._steps)
        limit = self._recovery.open_seconds if slow else self._recovery.stall_seconds
        return self._quiet if self._quiet >= limit else 0.0


class Watched:
    """An `Attempt` that is looked after; to be used in its place."""

    def __init__(self, attempt: Attempt, recovery: Recovery) -> None:
        self.job: Job = attempt.job
        self._attempt, self._recovery = attempt, recovery
        self._lock = threading.Lock()  # over the two below
        self._result: JobResult | None = None
        self._given_up = False  # whatever the job's own thread still comes to
        self._error: BaseException | None = None

    def run(self, stop: threading.Event) -> JobResult:
        """As `Attempt.run`, but it also returns where a node does not."""
        body = threading.Thread(target=self._body, args=(stop,), name=self.job.name, daemon=True)
        body.start()
        progress = Progress(self._attempt.steps, self._recovery)
        while body.is_alive() and self._result is None:
            body.join(POLL)
            seconds = progress.stalled(self._attempt.line.held)
            if seconds and body.is_alive():
                self._give_up(body, seconds)
        if self._result is None:
            assert self._error is not None
            raise self._error
        return self._result

    def abandon(self) -> JobResult:
        """As `Attempt.abandon`."""
        return self._instead(self._attempt.abandon)

    def _body(self, stop: threading.Event) -> None:
        try:
            result = self._attempt.run(stop)
            with self._lock:
                if not self._given_up:
                    self._result = result
        except BaseException as error:
            self._error = error

    def _instead(self, give_up: Callable[[], JobResult]) -> JobResult:
        """The result of giving the job up, unless it had come to one."""
        with self._lock:
            if self._result is None:
                self._given_up = True
                self._result = give_up()
            return self._result

    def _give_up(self, body: threading.Thread, seconds: float) -> None:
        """Tell what all threads wait for, and leave the job behind."""
        threads = [body, *self._attempt.line.threads]
        waits = [waiting(self._attempt, thread, body) for thread in threads if thread.is_alive()]
        steps = self._attempt.steps
        stuck = next((step for step in reversed(steps) if step.inside), steps[-1])
        told = "; ".join(f"{wait.thread} {wait.what}" for wait in waits)
        self._attempt.emit(Event("error", f"no progress for {seconds:.0f} s: {told}", stuck.place.name))
        doing = f" {stuck.inside}" if stuck.inside else ""
        text = f"{stuck} has made no progress for {seconds:.0f} s{doing}"
        trace = "\n".join(f"{wait.thread} {wait.what}:\n{wait.stack}" for wait in waits)
        _left.difference_update([thread for thread in _left if not thread.is_alive()])
        _left.update(threads)
        self._instead(lambda: self._attempt.stalled(stuck.place.name, text, trace))


def waiting(attempt: Attempt, thread: threading.Thread, body: threading.Thread) -> Wait:
    """What ``thread`` of ``attempt`` waits for."""
    steps, what = attempt.line.work_of(thread) if thread is not body else (attempt.steps, "")
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame)) if frame else ""
    inside = next((step for step in steps if step.inside), None)
    if thread is body and any(other.is_alive() for other in attempt.line.threads):
        what = "waits for the job's stages"
    elif inside is not None and not what:
        where = f" ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})" if frame else ""
        what = f"is in {inside} {inside.inside}{where}"
    return Wait(thread.name, what or "is between two nodes", stack)
