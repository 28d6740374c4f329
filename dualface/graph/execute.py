"""Plan → run: one thread a slot takes jobs from one queue until it is empty."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import RequestError
from dualface.graph.faults import Fault
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Plan, Slot
from dualface.graph.recovery import Recovery
from dualface.graph.running.apart import Apart
from dualface.graph.running.here import Here, OpenDevice, Place, Try
from dualface.graph.running.outcome import JobResult, Listener, NodeUse, QueueUse, Status
from dualface.graph.running.rescue import Care
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
    manifest: bool = False,
    rebuild: Callable[[Excluded], Graph] | None = None,
    apart: bool = False,
    recovery: Recovery | None = None,
    faults: Sequence[Fault] = (),
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
    from there that an earlier run left unfinished; ``manifest`` notes what is finished beside it. A job in
    which a node fails, or that stands still, meets what ``recovery`` says: it may go on from where its state
    was kept or else from the beginning, also in the graph that ``rebuild`` makes without a candidate of an
    ``auto`` node, as long as it makes one (`RequestError`: it cannot). With ``apart``, slots on a GPU that
    is not one slot's alone work in a process each; see `Apart`. ``faults`` happen on purpose.
    """
    told = Told(listener)
    care = Care(recovery or Recovery(), (), tuple(faults))
    terms = Terms(overwrite, resume, segment_seconds=segment_seconds, care=care, manifest=manifest)
    run = _Run(plan, leases, told, stop or threading.Event(), open_device, terms, rebuild, apart)
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
class _Way:
    """How a job is done, after ``wait`` seconds."""

    slot: Slot
    pipeline: Pipeline
    terms: Terms
    wait: float = 0.0


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
    ) -> None:
        self.stop = stop
        self._plan = plan
        self._leases = leases
        self._told = told
        self._open_device = open_device
        self._terms = terms
        self._rebuild = rebuild
        self._apart = apart and sum(slot.gpu is not None for slot in plan.slots) > 1
        self._waiting = deque(assignment.job for assignment in plan.assignments)
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
        where: Place = kind(self._told, self._open_device)
        try:
            while not (self._enough.is_set() or self.stop.is_set()):
                notes: list[Event] = []
                way: _Way | None = None
                with self._leased(slot, notes, settled):
                    job = self._next()
                    settled.set()
                    if job is not None:
                        self._told.job_started(job, slot.name)
                        way = self._first(job, slot, notes)
                        if way is not None and way.slot is slot:
                            way = self._do(job, way, where, notes)
                while job is not None and way is not None:
                    self.stop.wait(way.wait)
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
                results.append(JobResult(job, "interrupted", "Stopped before it was started."))
        return results

    def _next(self) -> Job | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None
        finally:
            if not self._waiting:
                self._enough.set()  # nobody needs to wait for a lease any longer

    def _leased(
        self, slot: Slot, notes: list[Event], settled: threading.Event | None = None, job: Job | None = None
    ) -> contextlib.AbstractContextManager[None]:
        """The slot's leases. That they have to be waited for is told of ``job`` or the one that is
        next in the queue, and noted with the one that the slot gets."""
        if self._leases is None or not slot.leases:
            return contextlib.nullcontext()

        def waiting(text: str) -> None:
            notes.append(Event("notice", text))
            with contextlib.suppress(IndexError):
                self._told.event(job or self._waiting[0], notes[-1])
            if settled is not None:
                settled.set()

        stop = self._enough if job is None else self.stop
        return self._leases.hold(slot.leases, waiting=waiting, stop=stop)

    def _first(self, job: Job, slot: Slot, notes: list[Event]) -> _Way | None:
        """How ``job`` is done in ``slot``, or by the slot's GPU in a graph of its own."""
        pipeline = self._plan.pipelines[slot.pipeline]
        graph = self._plan.instead.get(job.index)
        # Whatever slot takes it: the same request.
        request = identity(job, graph or self._plan.pipelines[0].graph, self._terms.segment_seconds)
        way = _Way(slot, pipeline, replace(self._terms, request=request))
        if graph is None:
            return way
        notes += [Event("notice", swap) for swap in graph.swaps()]
        return self._planned(job, graph, way, notes)

    def _planned(self, job: Job, graph: Graph, way: _Way, notes: list[Event]) -> _Way | None:
        """``way`` by another ``graph`` on the same GPU; None where that takes more than there is (VRAM, for
        one), which is then the job's result."""
        hardware, slot = self._plan.hardware, way.slot
        if slot.gpu is not None:
            hardware = replace(hardware, gpus=tuple(g for g in hardware.gpus if g.index == slot.gpu))
        try:
            made = schedule(graph, hardware, [job])
        except RequestError as error:
            self._finish(JobResult(job, "failed", _text(error), slot.name, events=tuple(notes)), None)
            return None
        own = replace(made.slots[0], name=slot.name, threads=slot.threads)
        return _Way(own, made.pipelines[own.pipeline], way.terms)

    def _do(self, job: Job, way: _Way, where: Place, notes: list[Event]) -> _Way | None:
        """Do ``job``; what is given is how to do it again."""
        attempt: Try | None = None
        try:
            attempt = where.attempt(job, way.slot, way.pipeline, terms=way.terms, events=notes)
            with self._lock:
                self._running.add(attempt)
            result = attempt.run(self.stop)
        except BaseException as error:
            result = JobResult(job, "failed", _text(error), way.slot.name)
        again = self._next_way(result, way, notes)
        if again is None:
            self._finish(result, attempt)
            return None
        self._finish(None, attempt)
        terms, graph = again
        way = replace(way, terms=terms, wait=result.decision.wait if result.decision else 0.0)
        return way if graph is None else self._planned(job, graph, way, notes)

    def _next_way(
        self, result: JobResult, way: _Way, notes: list[Event]
    ) -> tuple[Terms, Graph | None] | None:
        """How to do the job once more: from the beginning where what was kept is of no use, in another
        graph if a candidate is to make room, or as before. (`attempt.STARTS_AGAIN` lists what is known here.)
        """
        if self.stop.is_set():
            return None
        graph, made = way.pipeline.graph, None
        if result.start_over:
            told = Event("recovery", f"{result.error.rstrip('.')}; it starts from the beginning")
        elif result.refused is not None and self._rebuild is not None:
            try:
                made = self._rebuild({**graph.excluded, result.refused: result.error})
            except RequestError:
                return None
            name = result.refused[0]
            how = "starts again" if result.kept_seconds is None else "goes on"
            kind = made.by_name[name].kind.name
            told = Event("recovery", f"{result.error.rstrip('.')}; it {how} with {kind}", name)
        elif result.decision is not None and result.decision.action == "resume":
            decision = result.decision
            does = decision.does if result.kept_seconds is not None else f"it starts again{decision.later}"
            told = Event("recovery", f"{result.error.rstrip('.')}; {does}", decision.node)
        else:
            return None
        notes[:] = [*result.events, told]
        self._told.event(result.job, told)
        care = replace(way.terms.care, history=result.history)
        return replace(way.terms, go_on=not result.start_over, care=care), made

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
    return str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _quick_switching(wanted: bool) -> Iterator[None]:
    before = sys.getswitchinterval()
    if wanted:
        sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
