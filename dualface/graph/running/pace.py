"""Jobs that may not go on for now, because the machine asks for it: a disk is nearly full, a GPU too hot."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Event

POLL = 0.05  # seconds between two questions whether a job may go on


class Pace(Protocol):
    """Says who may go on. It is asked often, from any thread, and answers at once."""

    def hold(self, slot: str, job: Job) -> str | None:
        """Why ``job`` may not go on in ``slot`` now, as a sentence, or, if nobody has it yet, not start
        there; None: it may. Raises `InputError` for a job that is to wait no longer but to fail."""


class Pauses:
    """Called between two batches of a job's source with the event that ends the job: returns when the
    job may go on, or is ended. ``emit`` is told of pauses; ``paused`` is why there is one now."""

    def __init__(self, pace: Pace | None, slot: str, job: Job, emit: Callable[[Event], None]) -> None:
        self.paused: str | None = None
        self._pace, self._slot, self._job, self._emit = pace, slot, job, emit

    def __call__(self, ended: threading.Event) -> None:
        if self._pace is None or (why := self._pace.hold(self._slot, self._job)) is None:
            return
        began = time.monotonic()
        self.paused = why
        self._emit(Event("warning", f"Paused: {why}"))
        try:
            while self._pace.hold(self._slot, self._job) is not None:
                if ended.wait(POLL):
                    return
        finally:
            self.paused = None
        self._emit(goes_on(began))


def goes_on(began: float) -> Event:
    """What is told of a job that had to wait since ``began``, of `time.monotonic`."""
    return Event("notice", f"Goes on after {time.monotonic() - began:.0f} s.")


class Waiting:
    """The jobs that no slot has yet, in their order, and what they are told while none may start."""

    def __init__(self, jobs: Iterable[Job], pace: Pace | None, tell: Callable[[Job, Event], None]) -> None:
        self._jobs = list(jobs)
        self._pace, self._tell = pace, tell
        self._lock = threading.Lock()
        self._held: dict[int, tuple[float, list[Event]]] = {}  # since when, and what was told, by index

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def first(self) -> Job | None:
        with self._lock:
            return self._jobs[0] if self._jobs else None

    def ready(self, slot: str) -> bool:
        """Whether ``slot`` need not wait: one of the jobs may start there, or none is left. Where
        none may, the first one is told why."""
        with self._lock:
            if not self._jobs or self._startable(slot) is not None:
                return True
            job = self._jobs[0]
            why = self._asked(slot, job).why
            if why is None or job.index in self._held:
                return why is None
            event = Event("warning", f"Not started yet: {why}")
            self._held[job.index] = time.monotonic(), [event]
        self._tell(job, event)
        return False

    def take(self, slot: str, notes: list[Event]) -> Job | None:
        """The first job that may start in ``slot``; ``notes`` gets what it was told before."""
        with self._lock:
            place = self._startable(slot)
            if place is None:
                return None
            job = self._jobs.pop(place)
            held = self._held.pop(job.index, None)
        if held is not None:
            notes += held[1]
            if not self._asked(slot, job).fails:
                notes.append(goes_on(held[0]))
                self._tell(job, notes[-1])
        return job

    def events(self, job: Job) -> tuple[Event, ...]:
        """What ``job`` was told, if it was never taken."""
        return tuple(self._held.get(job.index, (0.0, []))[1])

    def _startable(self, slot: str) -> int | None:
        return next((n for n, job in enumerate(self._jobs) if not self._asked(slot, job).why), None)

    def _asked(self, slot: str, job: Job) -> _Answer:
        try:
            return _Answer(self._pace.hold(slot, job)) if self._pace else _Answer()
        except InputError:  # it is to start, and to fail then
            return _Answer(fails=True)


@dataclass(frozen=True, slots=True)
class _Answer:
    why: str | None = None
    fails: bool = False
