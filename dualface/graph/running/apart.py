"""A slot's jobs in a process of its own.

Python runs one thread at a time, so that a few slots on a GPU wait for each other's few hundred
microseconds a frame while the chip idles. In processes of their own they do not, and what a library
brings down is one job.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.running.here import OpenDevice, Try
from dualface.graph.running.outcome import JobResult, Listener, Status
from dualface.graph.running.outputs import remove_partials
from dualface.graph.running.worker import Order, serve

POLL = 0.05  # seconds between two looks at the stop event
PATIENCE = 2.0  # seconds that a process without a job has to end
# A terminal's Ctrl-C reaches all processes, and only the first is to act on it.
ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Apart:
    """A process, started with the first job and again after one that it did not survive. The kinds
    of the graph and ``open_device`` have to be importable there."""

    def __init__(self, listener: Listener, open_device: OpenDevice | None) -> None:
        self._listener, self._open_device = listener, open_device
        self._process: Any = None
        self._pipe: Any = None

    def attempt(
        self, job: Job, slot: Slot, pipeline: Pipeline, *, overwrite: bool, events: Iterable[Event]
    ) -> Try:
        if self._process is None or not self._process.is_alive():
            self.close()
            self._start(slot.name)
        order = Order(job, slot, pipeline, overwrite, tuple(events))
        self._pipe.send(order)
        return _Remote(order, self._process, self._pipe, self._listener)

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._pipe.close()  # which it takes for the end
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self, name: str) -> None:
        processes = multiprocessing.get_context("spawn")
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(
            target=serve, args=(theirs, self._open_device), name=f"dualface {name}", daemon=True
        )
        with _undisturbed():
            self._process.start()
        theirs.close()  # or nobody here would notice that it is gone


class _Remote:
    """A job in another process."""

    def __init__(self, order: Order, process: Any, pipe: Any, listener: Listener) -> None:
        self.job, self._slot = order.job, order.slot.name
        self._process, self._pipe, self._listener = process, pipe, listener
        self._events, self._frames = list(order.events), 0
        self._result: JobResult | None = None
        self._lock = threading.Lock()  # over reading from the pipe, and what comes of it

    def run(self, stop: threading.Event) -> JobResult:
        asked = False
        while self._result is None:
            if stop.is_set() and not asked:
                asked = True
                with contextlib.suppress(OSError):
                    self._pipe.send("stop")
            try:
                self._hear(POLL)
            except (EOFError, OSError):
                return self._died(stop)
        return self._result

    def abandon(self) -> JobResult:
        with contextlib.suppress(EOFError, OSError):
            while self._result is None and self._hear(0):
                pass
        if self._result is None:
            self._process.kill()
            self._clean()
            self._result = self._ended("interrupted", "Stopped before its end.")
        return self._result

    def _hear(self, patience: float) -> bool:
        """Take one message, if one comes."""
        with self._lock:
            if not self._pipe.poll(patience):
                return False
            message = self._pipe.recv()
            if isinstance(message, JobResult):
                self._result = replace(message, job=self.job)  # the very one that was ordered
            elif isinstance(message, Event):
                self._events.append(message)
                self._listener.event(self.job, message)
            else:
                self._frames = message
                self._listener.progress(self.job, message)
            return True

    def _died(self, stop: threading.Event) -> JobResult:
        self._clean()
        if stop.is_set():
            return self._ended("interrupted", "Stopped before its end.")
        code = self._process.exitcode
        how = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        return self._ended("failed", f"The process of {self._slot} ended with {how} in the middle of it.")

    def _clean(self) -> None:
        self._process.join()
        remove_partials(self.job.output.parent, self._process.pid)

    def _ended(self, status: Status, told: str) -> JobResult:
        events = tuple(self._events)
        return JobResult(self.job, status, told, self._slot, frames_out=self._frames, events=events)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A process that is started within hears no Ctrl-C, from its first moment on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
