"""Plan → run: one thread a slot takes jobs from one queue until it is empty."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import InputError, RequestError
from dualface.graph.faults import Fault
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Plan, Slot
from dualface.graph.recovery import Recovery
from dualface.graph.running.apart import Apart
from dualface.graph.running.here import Here, OpenDevice, Place, Try
from dualface.graph.running.outcome import JobResult, Listener, NodeUse, QueueUse, Status
from dualface.graph.running.pace import Pace, Waiting
from dualface.graph.running.rescue import Care
from dualface.graph.running.terms import Terms
from dualface.graph.running.told import Told
from dualface.graph.running.ways import Way, Ways

__all__ = ["JobResult", "Listener", "NodeUse", "QueueUse", "Status", "execute"]

POLL = 0.05  # seconds between two looks at whether the slots are done
GRACE = 1.0  # seconds that a stop waits for nodes to come back; then their jobs are given up
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
    open_device: OpenDevice | None = None,
    overwrite: bool = False,
    resume: bool = False,
    manifest: bool = False,
    rebuild: Callable[[Excluded], Graph] | None = None,
    on_cpu: Callable[[], Graph] | None = None,
    apart: bool = False,
    recovery: Recovery | None = None,
    faults: Sequence[Fault] = (),
    pace: Pace | None = None,
) -> tuple[JobResult, ...]:
    """Run all jobs of ``plan`` and tell how each ended, in the order of their index.

    A job that fails leaves the others untouched and never raises here. Once ``stop`` is set (or
    on KeyboardInterrupt) running jobs are given up, their unfinished files removed, waiting
    jobs not started; finished ones stay. A node that does not come back is left alone after
    `GRACE`, on a daemon thread whose job can no longer publish anything.

    A slot takes a job once it holds its leases, and gives them back after it. ``open_device``
    turns a GPU's index into the device that a slot's nodes are handed. Unless ``overwrite`` is
    true, a job whose output exists by the time it is done fails. ``recovery`` says what is done where a
    node fails or a job stands still, and how long the segments are at whose beginnings a job's state is
    kept beside its output, where its nodes can. With ``resume`` a job goes on from there that an earlier
    run left unfinished; ``manifest`` notes what is finished beside it. A job whose ``auto`` node is to make
    room for the next candidate goes on in the graph that ``rebuild`` makes without it, as long as it
    makes one (`RequestError`: it cannot), and one that is to do without a GPU in that of ``on_cpu``. With
    ``apart``, slots on a GPU that is not one slot's alone work in a process each; see `Apart`. ``faults``
    happen on purpose. ``pace`` is asked before a slot takes a job and between two batches of a job's source;
    who may not go on waits.
    """
    told = Told(listener)
    care = Care(recovery or Recovery(), (), tuple(faults))
    ways = Ways(plan, Terms(overwrite, resume, care=care, manifest=manifest), rebuild, on_cpu)
    run = _Run(plan, leases, told, stop or threading.Event(), open_device, ways, apart, pace)
    threads: list[threading.Thread] = []
    with _quick_switching(any(slot.gpu is not None for slot in plan.slots)):
        try:
            for slot in plan.slots:
                # One after the other, so that the queue's order meets the slots' order.
                settled = threading.Event()
                threads.append(
                    threading.Thread(target=run.work, args=(slot, settled), name=slot.name, daemon=True)
                )
                threads[-1].start()
                while not settled.wait(POLL) and not run.stop.is_set():
                    pass
            run.join(threads)
        except KeyboardInterrupt:
            run.stop.set()
            with contextlib.suppress(KeyboardInterrupt):  # a second one: no more patience
                run.join(threads)
        results = run.close()
    told.mute()
    return tuple(sorted(results, key=lambda result: result.job.index))


class _Run:
    """The queue, the results and what is under way in between, shared by the slots' threads."""

    def __init__(
        self,
        plan: Plan,
        leases: Leasing | None,
        told: Told,
        stop: threading.Event,
        open_device: OpenDevice | None,
        ways: Ways,
        apart: bool,
        pace: Pace | None,
    ) -> None:
        self.stop = stop
        self._plan = plan
        self._leases = leases
        self._told = told
        self._open_device = open_device
        self._ways = ways
        self._apart = apart and sum(slot.gpu is not None for slot in plan.slots) > 1
        self._pace = pace
        self._waiting = Waiting((assignment.job for assignment in plan.assignments), pace, told.event)
        self._enough = threading.Event()  # no more jobs are to be started
        self._lock = threading.Lock()  # over the four below
        self._running: set[Try] = set()
        self._results: list[JobResult] = []
        self._refused: list[str] = []  # why slots could not have their leases
        self._closed = False

    def work(self, slot: Slot, settled: threading.Event) -> None:
        """What a slot's thread does. ``settled`` is set once it has its first job, waits for its
        leases, or has ended."""
        kind = Apart if self._apart and slot.gpu is not None else Here
        where: Place = kind(self._told, self._open_device, self._pace)
        try:
            while not (self._enough.is_set() or self.stop.is_set()):
                notes: list[Event] = []
                way: Way | None = None
                if not self._waiting.ready(slot.name):
                    settled.set()
                    where.close()  # a process that does nothing keeps its memory otherwise
                    self.stop.wait(POLL)
                    continue
                with self._leased(slot, notes, settled):
                    job = self._next(slot, notes)
                    settled.set()
                    if job is not None:
                        self._told.job_started(job, slot.name)
                        way = self._first(job, slot, notes)
                        if way is not None and way.slot is slot:
                            way = self._do(job, way, where, notes)
                while job is not None and way is not None:
                    self.stop.wait(way.wait)
                    if way.fresh:
                        where.close()
                        where = Apart(self._told, self._open_device, self._pace)
                    with self._leased(way.slot, notes, job=job):
                        way = self._do(job, way, where, notes)
        except Exception as error:  # of the leases; what a job raises is its result
            if not (self._enough.is_set() or self.stop.is_set()):
                with self._lock:
                    self._refused.append(_text(error))
        finally:
            settled.set()
            where.close()

    def join(self, threads: Sequence[threading.Thread]) -> None:
        """Wait for the slots, once ``stop`` is set for no longer than `GRACE`."""
        patience: float | None = None
        for thread in threads:
            while thread.is_alive():
                # With a time limit, because a wait without one does not notice Ctrl-C everywhere.
                thread.join(POLL)
                if self.stop.is_set():
                    self._enough.set()
                    patience = patience or time.monotonic() + GRACE
                    if time.monotonic() > patience:
                        return

    def close(self) -> list[JobResult]:
        """How all jobs ended. Those still under way are given up; what their threads tell from
        now on is not heard."""
        with self._lock:
            self._closed = True
            left, results = list(self._running), self._results
        for attempt in left:
            results.append(attempt.abandon())
            self._told.job_finished(results[-1])
        reached = {id(result.job) for result in results}
        for assignment in self._plan.assignments:
            job = assignment.job
            if id(job) in reached:
                continue
            if self._refused and not self.stop.is_set():
                self._told.job_started(job, "")
                results.append(JobResult(job, "failed", self._refused[0]))
                self._told.job_finished(results[-1])
            else:
                told = "Stopped before it was started."
                results.append(JobResult(job, "interrupted", told, events=self._waiting.events(job)))
        return results

    def _next(self, slot: Slot, notes: list[Event]) -> Job | None:
        job = self._waiting.take(slot.name, notes)
        if not self._waiting:
            self._enough.set()  # nobody needs to wait for a lease any longer
        return job

    def _leased(
        self, slot: Slot, notes: list[Event], settled: threading.Event | None = None, job: Job | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """The slot's leases. That they have to be waited for is told of ``job`` or the one that is
        next in the queue, and noted with the one that the slot gets."""
        if self._leases is None or not slot.leases:
            return contextlib.nullcontext()

        def waiting(text: str) -> None:
            notes.append(Event("notice", text))
            if about := job or self._waiting.first:
                self._told.event(about, notes[-1])
            if settled is not None:
                settled.set()

        stop = self._enough if job is None else self.stop
        return self._leases.hold(slot.leases, waiting=waiting, stop=stop)

    def _first(self, job: Job, slot: Slot, notes: list[Event]) -> Way | None:
        try:
            way, told = self._ways.first(job, slot)
        except RequestError as error:
            self._finish(JobResult(job, "failed", _text(error), slot.name, events=tuple(notes)), None)
            return None
        notes += told
        return way

    def _do(self, job: Job, way: Way, where: Place, notes: list[Event]) -> Way | None:
        """Do ``job``; what is given is how to do it again."""
        attempt: Try | None = None
        try:
            if self._pace is not None:
                self._pace.hold(way.slot.name, job)  # raises if the job is not to be begun at all
            way = way.begin()
            attempt = where.attempt(job, way.slot, way.pipeline, terms=way.terms, events=notes)
            with self._lock:
                self._running.add(attempt)
            result = way.whole(attempt.run(self.stop))
        except BaseException as error:
            result = JobResult(job, "failed", _text(error), way.slot.name, events=tuple(notes))
        again = None if self.stop.is_set() else self._ways.again(result, way)
        if again is None:
            self._finish(result, attempt)
            return None
        self._finish(None, attempt)
        way, told = again
        notes[:] = [*result.events, told]
        self._told.event(job, told)
        return way

    def _finish(self, result: JobResult | None, attempt: Try | None) -> None:
        with self._lock:
            if self._closed:
                return
            if attempt is not None:
                self._running.discard(attempt)
            if result is not None:
                self._results.append(result)
        if result is not None:
            self._told.job_finished(result)


def _text(error: BaseException) -> str:
    return str(error) if isinstance(error, RequestError | InputError) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _quick_switching(wanted: bool) -> Iterator[None]:
    before = sys.getswitchinterval()
    if wanted:
        sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
