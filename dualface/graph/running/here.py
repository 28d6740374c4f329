"""Where a slot does its jobs: here, in this process. (`Apart` does them in another one.)"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from dualface.graph.job import Job
from dualface.graph.node import Device, Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.running.attempt import Attempt
from dualface.graph.running.outcome import JobResult, Listener
from dualface.graph.running.pace import Pace
from dualface.graph.running.terms import Terms
from dualface.graph.running.watch import Watched

OpenDevice = Callable[[int], Device]


class Try(Protocol):
    """A job that is tried: an `Attempt`, or one in another process."""

    job: Job

    def run(self, stop: threading.Event) -> JobResult:
        """The result; never raises for what nodes do."""

    def abandon(self) -> JobResult:
        """The result, from another thread than the one in `run`, which does not come back."""


class Place(Protocol):
    """Does one job after the other, for one slot and on its thread."""

    def attempt(
        self, job: Job, slot: Slot, pipeline: Pipeline, *, terms: Terms, events: Iterable[Event]
    ) -> Try: ...

    def close(self) -> None: ...


class Here:
    """This process. ``open_device`` turns a GPU's index into what nodes are handed."""

    def __init__(self, listener: Listener, open_device: OpenDevice | None, pace: Pace | None = None) -> None:
        self._listener, self._open_device, self._pace = listener, open_device, pace
        self._devices: dict[int, Device] = {}

    def attempt(
        self, job: Job, slot: Slot, pipeline: Pipeline, *, terms: Terms, events: Iterable[Event]
    ) -> Try:
        gpu = slot.gpu
        if gpu is not None and gpu not in self._devices and self._open_device is not None:
            self._devices[gpu] = self._open_device(gpu)
        device = None if gpu is None else self._devices.get(gpu)
        attempt = Attempt(
            job, slot, pipeline, self._listener, device, terms=terms, events=events, pace=self._pace
        )
        return Watched(attempt, terms.care.recovery)

    def close(self) -> None:
        """Nothing to do."""
