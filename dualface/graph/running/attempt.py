"""One job from opening its nodes to its files under their final names."""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, replace

from dualface.graph.errors import InputError, RequestError
from dualface.graph.failures import Failure, failure_of
from dualface.graph.faults import injector
from dualface.graph.job import Job
from dualface.graph.node import Context, Device, Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.recovery import RESTARTS, Action, Decision
from dualface.graph.running.batch import readers
from dualface.graph.running.checkpoint import Checkpoint, Mark, Segments
from dualface.graph.running.line import Line
from dualface.graph.running.manifest import note
from dualface.graph.running.outcome import JobResult, Listener, Status
from dualface.graph.running.outputs import PATIENCE, Outputs
from dualface.graph.running.pace import Pace, Pauses
from dualface.graph.running.rescue import Rescue
from dualface.graph.running.step import NodeFailed, Step
from dualface.graph.running.terms import Terms
from dualface.graph.running.unfinished import Unfinished
from dualface.graph.stages import batches_held

# Blame for failures that somebody can do something about, so that it is worth keeping what was done.
WORTH_KEEPING = {"resource", "device", "stall"}


class CannotGoOn(Exception):
    """What an earlier try has left is of no use; the text is a sentence."""


class Attempt:
    """A job in a slot. Make it, `run` it once on the slot's thread.

    Nodes open and close on that thread, in order and in reverse; ``process`` and ``finish`` run
    on the thread of their stage.
    """

    def __init__(
        self,
        job: Job,
        slot: Slot,
        pipeline: Pipeline,
        listener: Listener,
        device: Device | None = None,
        *,
        terms: Terms = Terms(),  # noqa: B008  # frozen
        events: Iterable[Event] = (),
        pace: Pace | None = None,
    ) -> None:
        self.job = job
        self.slot = slot
        self._pipeline = pipeline
        self._listener = listener
        self._device = device
        self._terms = terms
        self._outputs = Outputs(terms.overwrite)
        self._unfinished = Unfinished(job.output)
        self._events = list(events)  # and those of before the job had its slot
        self._before = 0  # frames that an earlier try has done
        self._over = False  # it was given up: what its nodes still tell nobody hears
        self._started = time.perf_counter()
        care = terms.care
        restarts = RESTARTS - _impossible(slot, pipeline)
        self._rescue = Rescue(care, job, restarts, self.emit, lambda seconds: self.line.wait(seconds))
        count, faults = readers(pipeline.graph), functools.partial(injector, care.faults)
        self.steps = [
            Step(
                node, pipeline.graph, count, self._rescue,
                faults(node.name, job.name, care.history, lambda seconds: self.line.wait(seconds)),
            )
            for node in pipeline.graph.nodes
        ]  # fmt: skip
        self._segments = Segments(care.recovery.segment_seconds)
        delivered = functools.partial(listener.progress, job)
        pauses = Pauses(pace, slot.name, job, self.emit)
        self.line: Line = Line(job, pipeline, self.steps, delivered, self._segments, self._keep, pauses)

    def run(self, stop: threading.Event) -> JobResult:
        """The result; never raises for what nodes do."""
        failure: BaseException | None = None
        complete = False
        opened: list[Step] = []
        try:
            kept = self._taken()
            for step in self.steps:
                if stop.is_set():
                    self.line.abort()
                    break
                step.create()
                opened.append(step)  # closed also if it fails half open
                step.open(self._context(step))
            else:
                if kept is not None:
                    self._restore(kept)
                complete = self.line.run(stop)
                failure = self.line.failure
        except Exception as error:
            failure = error
        finally:
            if not complete:
                self.line.abort()  # Context.stopping: no use in writing a proper end
            failure = self._close(opened, failure)
        if complete and failure is None:
            try:
                if self._terms.manifest:
                    self._outputs.before_commit(functools.partial(note, self.job, self._terms.request))
                self._outputs.commit()
            except Exception as error:
                failure = error
        status: Status = "failed" if failure else "done" if complete else "interrupted"
        told = self._sentence(failure) if failure else "" if complete else "Stopped before its end."
        trace = "".join(traceback.format_exception(failure)) if failure else ""
        over = isinstance(failure, CannotGoOn)
        decision = self._decide() if failure and not over else None
        keep = status == "interrupted" or (decision is not None and decision.action in RESTARTS)
        keep = keep or (not over and failure is not None and failure_of(failure).blame in WORTH_KEEPING)
        self.line.failure = failure = None  # its traceback keeps frames, and with them pictures, alive
        self._outputs.discard()
        if not self._over:  # or it may be somebody else's by now
            self._leave(keep=keep)
        return replace(self._result(status, told, trace, decision), start_over=over)

    def _leave(self, *, keep: bool) -> None:
        """Keep what was done for another try, if there is something to go on from."""
        if keep and self._unfinished.kept is not None:
            self._unfinished.release()
        else:
            self._unfinished.remove()

    def _taken(self) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one that every node can go on from."""
        kept = self._unfinished.take(self._terms.request, go_on=self._terms.go_on)
        if self._unfinished.refused:
            told = f"what an earlier run left of it {self._unfinished.refused}; it starts from the beginning"
            self.emit(Event("notice", told))
        if kept is None:
            return None
        for step in self.steps:
            part = kept.parts.get(step.place.name)
            # What stands between memories has no state, and need not have been there before.
            if not (step.place.inserted if part is None else step.takes(part)):
                self._unfinished.start_over()
                told = f"{step} cannot go on with what another did; it starts from the beginning"
                self.emit(Event("notice", told, step.place.name))
                return None
        return kept

    def _restore(self, kept: Checkpoint) -> None:
        """Go on from ``kept``."""
        try:
            for step in self.steps:
                if step.place.name in kept.parts:
                    step.restore(kept.parts[step.place.name], kept.frame)
        except Exception as error:
            raise CannotGoOn(f"What was done before is of no use: {self._sentence(error)}") from error
        self._segments.go_on(kept.origin, kept.segment)
        self.line.frames_out = self._before = kept.frame
        known = {(event.kind, event.message, event.node, event.frame) for event in self._events}
        earlier = [Event(**event) for event in kept.events]
        self._events[:0] = [e for e in earlier if (e.kind, e.message, e.node, e.frame) not in known]
        self.emit(Event("notice", f"it goes on at {kept.done:.1f} s", frame=kept.frame))

    def _keep(self, mark: Mark) -> None:
        """Keep what ``mark`` has gathered, if a job could go on from it."""
        writers = self._outputs.owners() | {
            step.place.name for step in self.steps if step.place.kind.cls.writes(step.place.config, self.job)
        }
        complete = all(step.place.name in mark.parts for step in self.steps)
        if not (complete and writers and writers <= self._unfinished.workspaces):
            return
        events = tuple(asdict(event) for event in self._events)
        self._unfinished.save(
            Checkpoint(
                self._terms.request, mark.frame, mark.segment, mark.seconds, mark.origin, mark.parts, events
            )
        )

    def abandon(self) -> JobResult:
        """The result, from another thread than the one in `run`, which does not come back from a
        node: what it still does can publish nothing."""
        stuck = [str(step) for step in self.steps if step.inside]
        self._over = True
        self.line.leave()
        self._outputs.discard(PATIENCE)
        self._leave(keep=not self._outputs.published)
        if self._outputs.published:
            return self._result("done")
        who = f": {' and '.join(stuck)} did not come back" if stuck else ""
        return self._result("interrupted", f"Stopped before its end{who}.")

    def stalled(self, node: str, text: str, trace: str) -> JobResult:
        """As `abandon`, because ``node`` makes no progress: it failed, and ``text`` says how."""
        step = next(step for step in self.steps if step.place.name == node)
        decision = self._rescue.decide(step.place, Failure("stall", text))
        self.abandon()
        if self._outputs.published:
            return self._result("done")
        return replace(self._result("failed", text, trace, decision), stuck=True)

    def _decide(self) -> Decision | None:
        """What else may be done about the failure: None where nothing, as about a broken contract."""
        for step in self.steps:
            if step.failure is not None:
                return step.decision or self._rescue.decide(step.place, step.failure)
        return None

    def _result(
        self, status: Status, told: str = "", trace: str = "", decision: Decision | None = None
    ) -> JobResult:
        return JobResult(
            self.job,
            status,
            told,
            self.slot.name,
            time.perf_counter() - self._started,
            self.steps[0].made if self.steps else 0,
            self.line.frames_out,
            tuple(step.use() for step in self.steps),
            self.line.queues(),
            tuple(self._events),
            tuple(map(str, self._outputs.published)),
            trace,
            kept_seconds=None if status == "done" else self._unfinished.kept,
            decision=decision if decision and decision.action != "fail" else None,
            history=self._rescue.history,
            frames_before=self._before,
        )

    def emit(self, event: Event) -> None:
        """Note ``event`` and tell it on, once: what is done again finds the same again."""
        if self._over or (event.kind != "recovery" and event in self._events):
            return
        self._events.append(event)
        self._listener.event(self.job, event)

    def _close(self, opened: list[Step], failure: BaseException | None) -> BaseException | None:
        """Close all nodes, the last first. The first failure stands; those after it are events."""
        while opened:
            step = opened.pop()
            if step.leave():
                continue
            try:
                step.close()
            except (NodeFailed, InputError) as error:
                if failure is None and not self.line.aborted:
                    failure = error
                else:
                    self.emit(Event("error", self._sentence(error), step.place.name))
        return failure

    def _sentence(self, failure: BaseException) -> str:
        told = self._outputs.sentence(failure)
        if told:
            return told
        if isinstance(failure, InputError | RequestError | NodeFailed | CannotGoOn):
            return self._outputs.final_names(str(failure))
        return f"{type(failure).__name__}: {failure}"

    def _context(self, step: Step) -> Context:
        def count(name: str, value: float) -> None:
            step.counted[name] += value

        def report(name: str, value: object) -> None:
            step.reported[name] = value

        def emit(event: Event) -> None:
            # What a node finds wrong once it is being stopped is the stop: "the file breaks off".
            if not self.line.aborted:
                self.emit(event)

        return Context(
            job=self.job,
            name=step.place.name,
            batch=self._pipeline.batch,
            threads=self.slot.threads,
            emit=emit,
            stopping=lambda: self.line.aborted,
            write_as=functools.partial(self._outputs.write_as, owner=step.place.name),
            count=count,
            report=report,
            device=self._device,
            vram_mb=step.place.needs.vram_mb,
            held=batches_held(self._pipeline, step.place.name),
            infer_batch=self._pipeline.infer_batch,
            workspace=functools.partial(self._unfinished.workspace, step.place.name),
        )


def _impossible(slot: Slot, pipeline: Pipeline) -> frozenset[Action]:
    """What would change nothing for a job that runs like this."""
    actions: set[Action] = set()
    if pipeline.batch < 2:
        actions.add("smaller")
    if slot.gpu is None:
        actions.add("cpu")
    return frozenset(actions)
