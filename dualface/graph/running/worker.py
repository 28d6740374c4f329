"""The other end of `Apart`: does one job after the other and tells what happens through a pipe."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from dualface.graph.errors import InputError, RequestError
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.running.here import Here, OpenDevice
from dualface.graph.running.outcome import JobResult
from dualface.graph.running.outputs import discard_all
from dualface.graph.running.terms import Terms

GRACE = 1.0  # seconds that nodes have to come back once nobody listens any longer
EVERY = 0.1  # seconds between two reports of progress
ALIVE = 1.0  # seconds between two signs of life
# A terminal's Ctrl-C reaches all processes, and only the first is to act on it.
ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SWITCH = 1e-4  # seconds; a busy Python thread otherwise cuts another's native calls 17-fold


@dataclass(frozen=True)
class Order:
    """A job to do; see `Attempt`."""

    job: Job
    slot: Slot
    pipeline: Pipeline
    terms: Terms
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Held:
    """Whether the job that was ordered last may go on (see `Pace.hold`): ``why`` it may not, or, if it is
    to fail, with which sentence."""

    why: str | None = None
    fails: str | None = None


class _Pace:
    """A `Pace` that hears from the other end who may go on."""

    def __init__(self) -> None:
        self.held = Held()

    def hold(self, slot: str, job: Job) -> str | None:
        held = self.held
        if held.fails is not None:
            raise InputError(held.fails)
        return held.why


def serve(pipe: Any, open_device: OpenDevice | None) -> None:
    """Do what is ordered until the other end of ``pipe`` is closed.

    In come "stop", `Held` and pairs of a job's index and its pickled `Order`; out go pairs of that index and
    an event, a number of frames that are done, a result, or a sentence that says why there is none; and a
    sign of life each second, of job -1.
    """
    _leave_signals()
    sys.setswitchinterval(SWITCH)
    orders: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
    stop, pace = threading.Event(), _Pace()
    threading.Thread(target=_listen, args=(pipe, orders, stop, pace), daemon=True).start()
    relay = _Relay(pipe)
    threading.Thread(target=relay.live, daemon=True).start()
    place = Here(relay, open_device, pace)
    while (ordered := orders.get()) is not None:
        index, data = ordered
        try:
            order: Order = pickle.loads(data)
        except Exception as error:
            told = (
                f"The job cannot be handed to a process of its own, which has to import its nodes: {error!r}."
            )
            relay.send(index, told)
            continue
        try:
            attempt = place.attempt(
                order.job, order.slot, order.pipeline, terms=order.terms, events=order.events
            )
            relay.send(index, _plain_result(attempt.run(stop)))
        except Exception as error:  # no device, for one
            relay.send(
                index, str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
            )


def _leave_signals() -> None:
    """Nothing happens at them here; programs that a node starts get the usual again."""
    for number in ENDS:
        signal.signal(number, lambda *_: None)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)


def _listen(
    pipe: Any, orders: queue.SimpleQueue[tuple[int, bytes] | None], stop: threading.Event, pace: _Pace
) -> None:
    with contextlib.suppress(Exception):
        while True:
            message = pipe.recv()
            if message == "stop":
                stop.set()
            elif isinstance(message, Held):
                pace.held = message
            else:
                pace.held = Held()
                orders.put(message)
    stop.set()
    orders.put(None)
    time.sleep(GRACE)  # in which the process ends, unless a node does not come back
    discard_all()
    os._exit(1)


def _plain_result(result: JobResult) -> JobResult:
    """``result`` with what nodes put into it as values that every process can read."""
    nodes = (
        replace(
            use,
            counted={str(name): plain(value) for name, value in use.counted.items()},
            reported={str(name): plain(value) for name, value in use.reported.items()},
        )
        for use in result.nodes
    )
    return replace(result, nodes=tuple(nodes), events=tuple(map(_plain_event, result.events)))


def _plain_event(event: Event) -> Event:
    return Event(f"{event.kind}", f"{event.message}", f"{event.node}", plain(event.frame))


def plain(value: Any) -> Any:
    """``value`` of JSON's kinds; what has no such form as its description.

    >>> plain({"a": (1, 2.5, None)}), plain(len)
    ({'a': [1, 2.5, None]}, '<built-in function len>')
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | str):
        return next(kind(value) for kind in (int, float, str) if isinstance(value, kind))
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    with contextlib.suppress(Exception):  # numpy's numbers and arrays
        return plain(value.tolist())
    return repr(value)


class _Relay:
    """A `Listener` at the other end of a pipe, to which who ordered a job is listening."""

    def __init__(self, pipe: Any) -> None:
        self._pipe, self._lock = pipe, threading.Lock()
        self._last: tuple[int, float] = (-1, 0.0)  # the job and the time of the last progress

    def send(self, index: int, message: Any) -> None:
        with self._lock, contextlib.suppress(OSError):  # nobody listens: see `_listen`
            self._pipe.send((index, message))

    def live(self) -> None:
        """Send signs of life for ever: none come where a library holds Python's lock."""
        while True:
            self.send(-1, None)
            time.sleep(ALIVE)

    def job_started(self, job: Job, slot: str) -> None: ...

    def progress(self, job: Job, frames: int) -> None:
        now = time.monotonic()
        if self._last[0] != job.index or now - self._last[1] >= EVERY:
            self._last = job.index, now
            self.send(job.index, frames)

    def event(self, job: Job, event: Event) -> None:
        with contextlib.suppress(Exception):  # that it cannot be told is no fault of the node's
            self.send(job.index, _plain_event(event))

    def job_finished(self, result: JobResult) -> None: ...
