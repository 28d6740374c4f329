"""A slot's jobs in a process of its own.

Python runs one thread at a time, so that a few slots on a GPU wait for each other's few hundred
microseconds a frame while the chip idles. In processes of their own they do not, and what a library
brings down is one job.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing.util
import os
import pickle
import signal
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dualface.graph.errors import InputError
from dualface.graph.failures import Failure
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.recovery import RESTARTS, Taken, decide
from dualface.graph.running.here import OpenDevice, Try
from dualface.graph.running.outcome import JobResult, Listener, Status
from dualface.graph.running.outputs import remove_partials
from dualface.graph.running.pace import Pace
from dualface.graph.running.terms import Terms
from dualface.graph.running.unfinished import kept_of
from dualface.graph.running.worker import ENDS, Held, Order, serve

POLL = 0.05  # seconds between two looks at the stop event
TICK = 1.0  # the most that counts between two looks
PATIENCE = 2.0  # seconds that a process which is to end has for it
_live: weakref.WeakSet[Apart] = weakref.WeakSet()
_over = threading.Event()  # the program ends
_starting = threading.Lock()  # over the two: nothing starts once all are told to end


class Apart:
    """A process, started with the first job and again after one that it did not survive. The kinds
    of the graph and ``open_device`` have to be importable there."""

    def __init__(self, listener: Listener, open_device: OpenDevice | None, pace: Pace | None = None) -> None:
        self._listener, self._open_device, self._pace = listener, open_device, pace
        self._process: Any = None
        self._pipe: Any = None
        self._last: _Remote | None = None  # the job it does, or did last

    def attempt(
        self, job: Job, slot: Slot, pipeline: Pipeline, *, terms: Terms, events: Iterable[Event]
    ) -> Try:
        stuck = self._last is not None and self._last.stuck
        if self._process is None or not self._process.is_alive() or stuck:
            self.close()
            self._start(slot.name)
        order = Order(job, slot, pipeline, terms, tuple(events))
        # By itself: what cannot be read over there must not take the pipe's reader along.
        self._pipe.send((job.index, pickle.dumps(order)))
        self._last = _Remote(order, self._process, self._pipe, self._listener, self._pace)
        return self._last

    def close(self) -> None:
        """End the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        last, self._last = self._last, None
        self._pipe.close()  # which it takes for the end
        _end(process)
        if last is not None:
            last.clean()

    def _start(self, name: str) -> None:
        processes = multiprocessing.get_context("spawn")
        ours, theirs = processes.Pipe()
        process = processes.Process(
            target=serve, args=(theirs, self._open_device), name=f"dualface {name}", daemon=True
        )
        try:
            with _starting, _undisturbed():
                if _over.is_set():
                    raise RuntimeError("the program ends")
                process.start()
                self._process, self._pipe = process, ours
                _live.add(self)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()  # or nobody here would notice that it is gone


def _end(process: Any) -> None:
    """Wait for a process that has nobody to listen to any more, for as long as is decent."""
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()


@atexit.register  # before multiprocessing's own, which would wait without end
def _end_all() -> None:
    with _starting:
        _over.set()
    for place in list(_live):
        place.close()


class _Remote:
    """A job in another process."""

    def __init__(self, order: Order, process: Any, pipe: Any, listener: Listener, pace: Pace | None) -> None:
        self.job, self._slot, self._graph = order.job, order.slot.name, order.pipeline.graph
        self._process, self._pipe, self._listener = process, pipe, listener
        self._events, self._frames = list(order.events), 0
        self._pace, self._held = pace, Held()
        self._result: JobResult | None = None
        self._care, self._request = order.terms.care, order.terms.request
        recovery = self._care.recovery
        # Without any sign of life; the first takes as long as a process does to start.
        self._patience, self._next = recovery.open_seconds, recovery.stall_seconds
        self._lock = threading.Lock()  # over reading from the pipe, and what comes of it

    def run(self, stop: threading.Event) -> JobResult:
        asked = False
        quiet, looked = 0.0, time.monotonic()
        while self._result is None:
            if stop.is_set() and not asked:
                asked = True
                with contextlib.suppress(OSError):
                    self._pipe.send("stop")
            self._keep_pace()
            try:
                heard = self._hear(POLL)
                now = time.monotonic()
                # Being suspended as a whole is no standing still.
                quiet, looked = 0.0 if heard else quiet + min(now - looked, TICK), now
                self._patience = self._next if heard else self._patience
                if quiet > self._patience:
                    return self._silent(quiet)
            except (EOFError, OSError):
                return self._died(stop)
            except Exception as error:  # what it told cannot be read; it must not stay busy with this job
                self._process.kill()
                self.clean()
                return self._ended("failed", f"The process of {self._slot} was not understood: {error!r}.")
        return self._result

    def _keep_pace(self) -> None:
        """Tell the process whether the job may go on, where that has changed."""
        if self._pace is None:
            return
        try:
            held = Held(self._pace.hold(self._slot, self.job))
        except InputError as error:
            held = Held(fails=str(error))
        # Of a job that stays held only the first reason is told.
        if (held.why is None, held.fails) != (self._held.why is None, self._held.fails):
            with contextlib.suppress(OSError):  # it is gone; what is heard says so
                self._pipe.send(held)
            self._held = held

    def abandon(self) -> JobResult:
        with contextlib.suppress(Exception):
            while self._result is None and self._hear(0):
                pass
        if self._result is None:
            self._process.kill()
            self.clean()
            self._result = self._ended("interrupted", "Stopped before its end.")
        return self._result

    def _hear(self, patience: float) -> bool:
        """Take one message, if one comes."""
        with self._lock:
            if not self._pipe.poll(patience):
                return False
            index, message = self._pipe.recv()
            if index != self.job.index:
                return True  # a thread that an earlier job has left behind
            if isinstance(message, JobResult):
                self._result = replace(message, job=self.job)  # the very one that was ordered
            elif isinstance(message, Event):
                self._events.append(message)
                self._listener.event(self.job, message)
            elif isinstance(message, str):
                self._result = self._ended("failed", message)
            else:
                self._frames = message
                self._listener.progress(self.job, message)
            return True

    @property
    def stuck(self) -> bool:
        """Whether a thread of the job is left in the process, which must end for it."""
        return self._result is not None and self._result.stuck

    def _silent(self, seconds: float) -> JobResult:
        self._process.kill()
        self.clean()
        told = f"The process of {self._slot} gave no sign of life for {seconds:.0f} s and was ended."
        return self._lost(Failure("stall", told, sticky=True))

    def _died(self, stop: threading.Event) -> JobResult:
        self.clean()
        if stop.is_set():
            return self._ended("interrupted", "Stopped before its end.")
        code = self._process.exitcode
        how = f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit code {code}"
        told = f"The process of {self._slot} ended with {how} in the middle of it."
        return self._lost(Failure("device", told, sticky=True))

    def _lost(self, failure: Failure) -> JobResult:
        """The result of a job whose process is gone. No node can be named, so that the rules for all of
        them count."""
        care = self._care
        decision = decide(care.recovery, "", "", failure, care.history, RESTARTS - {"next"})
        result = self._ended("failed", failure.text)
        if decision.action == "fail":
            return replace(result, history=care.history)
        history = (*care.history, Taken("", decision.action))
        return replace(result, decision=decision, history=history)

    def clean(self) -> None:
        """End the process, and remove what it left unfinished where it had to be killed."""
        _end(self._process)
        for folder in self._folders():
            remove_partials(folder, self._process.pid)

    def _folders(self) -> set[Path]:
        """Where the job's files are made, those that links lead to included."""
        paths = [self.job.output]
        for node in self._graph.nodes:
            with contextlib.suppress(Exception):  # a plugin's; what is left the next run removes
                paths += node.kind.cls.writes(node.config, self.job)
        return {Path(name).parent for path in paths for name in (path, os.path.realpath(path))}

    def _ended(self, status: Status, told: str) -> JobResult:
        return JobResult(
            self.job,
            status,
            told,
            self._slot,
            frames_out=self._frames,
            events=tuple(self._events),
            kept_seconds=kept_of(self.job.output, self._request),
        )


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
