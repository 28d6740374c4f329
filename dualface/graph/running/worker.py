"""The other end of `Apart`: does one job after the other and tells what happens through a pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from dualface.graph.errors import RequestError
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.running.here import Here, OpenDevice
from dualface.graph.running.outcome import JobResult
from dualface.graph.running.outputs import discard_all

GRACE = 1.0  # seconds that nodes have to come back once nobody listens any longer
EVERY = 0.1  # seconds between two reports of progress
SWITCH = 1e-4  # seconds; a busy Python thread otherwise cuts another's native calls 17-fold


@dataclass(frozen=True)
class Order:
    """A job to do; see `Attempt`."""

    job: Job
    slot: Slot
    pipeline: Pipeline
    overwrite: bool
    events: tuple[Event, ...]


def serve(pipe: Any, open_device: OpenDevice | None) -> None:
    """Do what is ordered until the other end of ``pipe`` is closed.

    In come orders and "stop"; out go events, numbers of frames that are done, and results.
    """
    sys.setswitchinterval(SWITCH)
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(pipe, orders, stop), daemon=True).start()
    relay = _Relay(pipe)
    place = Here(relay, open_device)
    while (order := orders.get()) is not None:
        try:
            attempt = place.attempt(
                order.job, order.slot, order.pipeline, overwrite=order.overwrite, events=order.events
            )
            result = attempt.run(stop)
        except Exception as error:  # no device, for one
            told = str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
            result = JobResult(order.job, "failed", told, order.slot.name)
        try:
            relay.send(result)
        except Exception as error:  # a node reported what is no plain value; the job is as it is
            told = f"what its nodes counted and reported is lost: {type(error).__name__}: {error}"
            event = Event("warning", told)
            relay.send(replace(result, nodes=(), events=(*result.events, event)))


def _listen(pipe: Any, orders: queue.SimpleQueue[Order | None], stop: threading.Event) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv()
            if isinstance(message, Order):
                orders.put(message)
            else:
                stop.set()
    stop.set()
    orders.put(None)
    time.sleep(GRACE)  # in which the process ends, unless a node does not come back
    discard_all()
    os._exit(1)


class _Relay:
    """A `Listener` at the other end of a pipe, to which who ordered a job is listening."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._last: tuple[int, float] = (-1, 0.0)  # the job and the time of the last progress

    def send(self, message: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # nobody listens: see `_listen`
            self._pipe.send(message)

    def job_started(self, job: Job, slot: str) -> None: ...

    def progress(self, job: Job, frames: int) -> None:
        now = time.monotonic()
        if self._last[0] != job.index or now - self._last[1] >= EVERY:
            self._last = job.index, now
            self.send(frames)

    def event(self, job: Job, event: Event) -> None:
        self.send(event)

    def job_finished(self, result: JobResult) -> None: ...
