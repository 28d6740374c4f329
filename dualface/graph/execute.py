"""Plan → run: one thread a slot takes jobs from one queue until it is empty."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from dualface.graph.errors import RequestError
from dualface.graph.job import Job
from dualface.graph.node import Device, Event
from dualface.graph.plan import Plan, Slot
from dualface.graph.running.attempt import Attempt
from dualface.graph.running.outcome import JobResult, Listener, NodeUse, QueueUse, Status

__all__ = ["JobResult", "Listener", "NodeUse", "QueueUse", "Status", "execute"]

POLL = 0.05  # seconds between two looks at whether the slots are done
SWITCH = 1e-4  # seconds; a busy Python thread otherwise cuts another's native calls 17-fold


class Leasing(Protocol):
    """What `execute` asks of leases; `dualface.graph.lease.Leases` is it."""

    def hold(
        self,
        wanted: Mapping[str, int],
        *,
        waiting: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> contextlib.AbstractContextManager[None]: ...


def execute(
    plan: Plan,
    *,
    leases: Leasing | None = None,
    listener: Listener | None = None,
    stop: threading.Event | None = None,
    open_device: Callable[[int], Device] | None = None,
    overwrite: bool = False,
) -> tuple[JobResult, ...]:
    """Run all jobs of ``plan`` and tell how each ended, in the order of their index.

    A job that fails leaves the others untouched and never raises here. Once ``stop`` is set (or
    on KeyboardInterrupt) running jobs are given up, their unfinished files removed, waiting
    jobs not started; finished ones stay. A slot's leases are held around each of its jobs;
    ``open_device`` turns a GPU's index into the device that a slot's nodes are handed. Unless
    ``overwrite`` is true, a job whose output exists by the time it is done fails.
    """
    stop = stop or threading.Event()
    told = _Told(listener)
    waiting = deque(assignment.job for assignment in plan.assignments)
    results: list[JobResult] = []

    def work(slot: Slot, job: Job | None) -> None:
        device: Device | None = None
        while job is not None and not stop.is_set():
            told.job_started(job, slot.name)
            try:
                if device is None and slot.gpu is not None and open_device is not None:
                    device = open_device(slot.gpu)
                result = _lease_and_run(plan, slot, job, device, leases, told, stop, overwrite)
            except BaseException as error:
                text = str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
                result = JobResult(job, "failed", text, slot.name)
            results.append(result)
            told.job_finished(result)
            job = _next(waiting)

    # Each slot gets its first job here, so that the queue's order meets the slots' order.
    threads = [
        threading.Thread(target=work, args=(slot, _next(waiting)), name=slot.name, daemon=True)
        for slot in plan.slots
    ]
    with _quick_switching(any(slot.gpu is not None for slot in plan.slots)):
        try:
            for thread in threads:
                thread.start()
            _join(threads)
        except KeyboardInterrupt:
            stop.set()
            _join(threads)
    reached = {id(result.job) for result in results}
    for assignment in plan.assignments:
        if id(assignment.job) not in reached:
            results.append(JobResult(assignment.job, "interrupted", "Stopped before it was started."))
    return tuple(sorted(results, key=lambda result: result.job.index))


def _lease_and_run(
    plan: Plan,
    slot: Slot,
    job: Job,
    device: Device | None,
    leases: Leasing | None,
    told: _Told,
    stop: threading.Event,
    overwrite: bool,
) -> JobResult:
    attempt = Attempt(job, slot, plan.pipelines[slot.pipeline], told, device, overwrite=overwrite)
    with contextlib.ExitStack() as held:
        if leases is not None and slot.leases:
            wait = leases.hold(
                slot.leases, waiting=lambda text: attempt.emit(Event("notice", text)), stop=stop
            )
            try:
                held.enter_context(wait)
            except Exception:
                if stop.is_set():
                    return JobResult(job, "interrupted", "Stopped before it was started.", slot.name)
                raise
        return attempt.run(stop)


def _next(waiting: deque[Job]) -> Job | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _join(threads: list[threading.Thread]) -> None:
    # With a time limit, because a wait without one does not notice Ctrl-C on every system.
    for thread in threads:
        while thread.is_alive():
            thread.join(POLL)


@contextlib.contextmanager
def _quick_switching(wanted: bool) -> Iterator[None]:
    before = sys.getswitchinterval()
    if wanted:
        sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _Told:
    """The user's listener behind a lock; one that raises is not called again."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._lock = threading.Lock()

    def job_started(self, job: Job, slot: str) -> None:
        self._tell("job_started", job, slot)

    def progress(self, job: Job, frames: int) -> None:
        self._tell("progress", job, frames)

    def event(self, job: Job, event: Event) -> None:
        self._tell("event", job, event)

    def job_finished(self, result: JobResult) -> None:
        self._tell("job_finished", result)

    def _tell(self, what: str, *args: Any) -> None:
        with self._lock:
            try:
                if self._listener is not None:
                    getattr(self._listener, what)(*args)
            except Exception:
                self._listener = None
