"""One job from opening its nodes to its files under their final names."""

from __future__ import annotations

import functools
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import asdict, replace

from dualface.graph.errors import DeviceError, InputError, RequestError
from dualface.graph.job import Job
from dualface.graph.node import Context, Device, Event
from dualface.graph.plan import Pipeline, Slot
from dualface.graph.running.batch import readers
from dualface.graph.running.checkpoint import Checkpoint, Mark, Segments
from dualface.graph.running.line import Line
from dualface.graph.running.outcome import JobResult, Listener, Status
from dualface.graph.running.outputs import PATIENCE, Outputs
from dualface.graph.running.pace import Pace, Pauses
from dualface.graph.running.step import NodeFailed, Step
from dualface.graph.running.terms import Terms
from dualface.graph.running.unfinished import Unfinished
from dualface.graph.stages import batches_held


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
        self._started = time.perf_counter()
        count = readers(pipeline.graph)
        self._steps = [Step(node, pipeline.graph, count) for node in pipeline.graph.nodes]
        self._segments = Segments(terms.segment_seconds) if terms.segment_seconds else None
        delivered = functools.partial(listener.progress, job)
        pauses = Pauses(pace, slot.name, job, self.emit)
        self._line = Line(job, pipeline, self._steps, delivered, self._segments, self._keep, pauses)

    def run(self, stop: threading.Event) -> JobResult:
        """The result; never raises for what nodes do."""
        failure: BaseException | None = None
        complete = False
        opened: list[Step] = []
        try:
            kept = self._taken()
            for step in self._steps:
                if stop.is_set():
                    self._line.abort()
                    break
                step.create()
                opened.append(step)  # closed also if it fails half open
                step.open(self._context(step))
            else:
                if kept is not None:
                    self._restore(kept)
                complete = self._line.run(stop)
                failure = self._line.failure
        except Exception as error:
            failure = error
        finally:
            if not complete:
                self._line.abort()  # Context.stopping: no use in writing a proper end
            failure = self._close(opened, failure)
        if complete and failure is None:
            try:
                self._outputs.commit()
            except Exception as error:
                failure = error
        status: Status = "failed" if failure else "done" if complete else "interrupted"
        told = self._sentence(failure) if failure else "" if complete else "Stopped before its end."
        trace = "".join(traceback.format_exception(failure)) if failure else ""
        refused = self._refused() if isinstance(failure, DeviceError) else None
        over = isinstance(failure, CannotGoOn)
        self._line.failure = failure = None  # its traceback keeps frames, and with them pictures, alive
        self._outputs.discard()
        self._leave(done=status == "done" or over)
        return replace(self._result(status, told, trace, refused), start_over=over)

    def _leave(self, *, done: bool) -> None:
        """Keep what was done for another try, if there is something to go on from."""
        if done or self._unfinished.kept is None:
            self._unfinished.remove()
        else:
            self._unfinished.release()

    def _taken(self) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one that every node can go on from."""
        kept = self._unfinished.take(self._terms.request, go_on=self._terms.go_on)
        if kept is None:
            return None
        for step in self._steps:
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
        assert self._segments is not None
        try:
            for step in self._steps:
                if step.place.name in kept.parts:
                    step.restore(kept.parts[step.place.name], kept.frame)
        except Exception as error:
            raise CannotGoOn(
                f"What was done before cannot be gone on with: {self._sentence(error)}"
            ) from error
        self._segments.go_on(kept.origin, kept.segment)
        self._line.frames_out = kept.frame
        known = {(event.kind, event.message, event.node, event.frame) for event in self._events}
        earlier = [Event(**event) for event in kept.events]
        self._events[:0] = [e for e in earlier if (e.kind, e.message, e.node, e.frame) not in known]
        self.emit(Event("notice", f"it goes on at {kept.seconds - kept.origin:.1f} s", frame=kept.frame))

    def _keep(self, mark: Mark) -> None:
        """Keep what ``mark`` has gathered, if a job could go on from it."""
        writers = self._outputs.owners() | {
            step.place.name for step in self._steps if step.place.kind.cls.writes(step.place.config, self.job)
        }
        complete = all(step.place.name in mark.parts for step in self._steps)
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
        stuck = [str(step) for step in self._steps if step.inside]
        self._line.abort()
        self._outputs.discard(PATIENCE)
        self._leave(done=bool(self._outputs.published))
        if self._outputs.published:
            return self._result("done")
        who = f": {' and '.join(stuck)} did not come back" if stuck else ""
        return self._result("interrupted", f"Stopped before its end{who}.")

    def _refused(self) -> tuple[str, str] | None:
        """The node that gave up, and its candidate; None where it is pinned."""
        places = [step.place for step in self._steps if step.gave_up]
        return next(((place.name, place.candidate) for place in places if place.candidate), None)

    def _result(
        self, status: Status, told: str = "", trace: str = "", refused: tuple[str, str] | None = None
    ) -> JobResult:
        kept = self._unfinished.kept
        return JobResult(
            self.job,
            status,
            told,
            self.slot.name,
            time.perf_counter() - self._started,
            self._steps[0].made if self._steps else 0,
            self._line.frames_out,
            tuple(step.use() for step in self._steps),
            self._line.queues(),
            tuple(self._events),
            tuple(map(str, self._outputs.published)),
            trace,
            refused,
            kept_seconds=None if kept is None or status == "done" else kept.seconds - kept.origin,
        )

    def emit(self, event: Event) -> None:
        """Note ``event`` and tell it on, once: what is done again finds the same again."""
        if event in self._events:
            return
        self._events.append(event)
        self._listener.event(self.job, event)

    def _close(self, opened: list[Step], failure: BaseException | None) -> BaseException | None:
        """Close all nodes, the last first. The first failure stands; those after it are events."""
        while opened:
            step = opened.pop()
            try:
                step.close()
            except (NodeFailed, InputError) as error:
                if failure is None and not self._line.aborted:
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
            if not self._line.aborted:
                self.emit(event)

        return Context(
            job=self.job,
            name=step.place.name,
            batch=self._pipeline.batch,
            threads=self.slot.threads,
            emit=emit,
            stopping=lambda: self._line.aborted,
            write_as=functools.partial(self._outputs.write_as, owner=step.place.name),
            count=count,
            report=report,
            device=self._device,
            vram_mb=step.place.needs.vram_mb,
            held=batches_held(self._pipeline, step.place.name),
            infer_batch=self._pipeline.infer_batch,
            workspace=functools.partial(self._unfinished.workspace, step.place.name),
        )
