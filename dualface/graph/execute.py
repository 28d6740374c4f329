"""Plan → run: one thread a slot takes jobs from one queue until it is empty."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import InputError, RequestError
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Plan, Slot
from dualface.graph.running.apart import Apart
from dualface.graph.running.here import Here, OpenDevice, Place, Try
from dualface.graph.running.outcome import JobResult, Listener, NodeUse, QueueUse, Status
from dualface.graph.running.pace import Pace, Waiting
from dualface.graph.running.terms import Terms
from dualface.graph.running.told import Told
from dualface.graph.running.unfinished import identity
from dualface.graph.schedule import schedule

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
    segment_seconds: float = 0.0,
    rebuild: Callable[[Excluded], Graph] | None = None,
    apart: bool = False,
    pace: Pace | None = None,
) -> tuple[JobResult, ...]:
    """Run all jobs of ``plan`` and tell how each ended, in the order of their index.

    A job that fails leaves the others untouched and never raises here. Once ``stop`` is set (or
    on KeyboardInterrupt) running jobs are given up, their unfinished files removed, waiting
    jobs not started; finished ones stay. A node that does not come back is left alone after
    `GRACE`, on a daemon thread whose job can no longer publish anything.

    A slot takes a job once it holds its leases, and gives them back after it. ``open_device``
    turns a GPU's index into the device that a slot's nodes are handed. Unless ``overwrite`` is
    true, a job whose output exists by the time it is done fails. Every ``segment_seconds`` of its source
    (0: never) a job's state is kept beside its output, where its nodes can; with ``resume`` a job goes on
    from there that an earlier run left unfinished. A job in which a candidate of an ``auto`` node raised
    `DeviceError` goes on in the graph that ``rebuild`` makes without it, from where its state was kept or
    from the beginning, as long as it makes one (`RequestError`: it cannot). With ``apart``, slots on a
    GPU that is not one slot's alone work in a process each; see `Apart`. ``pace`` is asked before a slot
    takes a job and between two batches of a job's source; who may not go on waits.
    """
    told = Told(listener)
    terms = Terms(overwrite, resume, segment_seconds=segment_seconds)
    run = _Run(plan, leases, told, stop or threading.Event(), open_device, terms, rebuild, apart, pace)
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


@dataclass(frozen=True, slots=True)
class _Again:
    """How a job is done once more."""

    graph: Graph
    terms: Terms


class _Run:
    """The queue, the results and what is under way in between, shared by the slots' threads."""

    def __init__(
        self,
        plan: Plan,
        leases: Leasing | None,
        told: Told,
        stop: threading.Event,
        open_device: OpenDevice | None,
        terms: Terms,
        rebuild: Callable[[Excluded], Graph] | None,
        apart: bool,
        pace: Pace | None,
    ) -> None:
        self.stop = stop
        self._plan = plan
        self._leases = leases
        self._told = told
        self._open_device = open_device
        self._terms = terms
        self._rebuild = rebuild
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
                again: _Again | None = None
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
                        pipeline = self._plan.pipelines[slot.pipeline]
                        graph = self._plan.instead.get(job.index)
                        terms = self._terms_of(job, graph or pipeline.graph)
                        if graph is None:
                            again = self._do(job, slot, pipeline, where, notes, terms)
                        else:
                            notes += [Event("notice", swap) for swap in graph.swaps()]
                            again = _Again(graph, terms)
                while job is not None and again is not None:
                    again = self._again(job, again, slot, where, notes)
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

    def _terms_of(self, job: Job, graph: Graph) -> Terms:
        return replace(self._terms, request=identity(job, graph, self._terms.segment_seconds))

    def _again(self, job: Job, again: _Again, slot: Slot, where: Place, notes: list[Event]) -> _Again | None:
        """Do ``job`` as ``again`` says, with the leases that this takes on the slot's GPU."""
        hardware = self._plan.hardware
        if slot.gpu is not None:
            hardware = replace(hardware, gpus=tuple(g for g in hardware.gpus if g.index == slot.gpu))
        try:
            made = schedule(again.graph, hardware, [job])
            own = replace(made.slots[0], name=slot.name, threads=slot.threads)
            with self._leased(own, notes, job=job):
                return self._do(job, own, made.pipelines[own.pipeline], where, notes, again.terms)
        except RequestError as error:  # more VRAM than a slot has, for one
            self._finish(JobResult(job, "failed", _text(error), slot.name, events=tuple(notes)), None)
            return None

    def _next_try(self, result: JobResult, graph: Graph, notes: list[Event], terms: Terms) -> _Again | None:
        """How to do the job once more: from the beginning where what was kept is of no use, and in
        another graph if a candidate of ``graph`` was refused."""
        if self.stop.is_set():
            return None
        if result.start_over:
            told = Event("recovery", f"{result.error.rstrip('.')}; it starts from the beginning")
            again = _Again(graph, replace(terms, go_on=False))
        elif result.refused is not None and self._rebuild is not None:
            try:
                made = self._rebuild({**graph.excluded, result.refused: result.error})
            except RequestError:
                return None
            name = result.refused[0]
            how = "starts again" if result.kept_seconds is None else "goes on"
            kind = made.by_name[name].kind.name
            told = Event("recovery", f"{result.error.rstrip('.')}; it {how} with {kind}", name)
            again = _Again(made, replace(terms, go_on=True))
        else:
            return None
        notes[:] = [*result.events, told]
        self._told.event(result.job, told)
        return again

    def _do(
        self, job: Job, slot: Slot, pipeline: Pipeline, where: Place, notes: list[Event], terms: Terms
    ) -> _Again | None:
        """Do ``job``; what is given is how to do it again."""
        attempt: Try | None = None
        try:
            if self._pace is not None:
                self._pace.hold(slot.name, job)  # raises if the job is not to be begun at all
            attempt = where.attempt(job, slot, pipeline, terms=terms, events=notes)
            with self._lock:
                self._running.add(attempt)
            result = attempt.run(self.stop)
        except BaseException as error:
            result = JobResult(job, "failed", _text(error), slot.name, events=tuple(notes))
        again = self._next_try(result, pipeline.graph, notes, terms)
        self._finish(None if again else result, attempt)
        return again

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
