"""How a job is done, and how it is done once more where that failed."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import RequestError
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Pipeline, Plan, Slot
from dualface.graph.recovery import RESTARTS, Action, Decision, Taken, decide
from dualface.graph.running.outcome import JobResult
from dualface.graph.running.terms import Terms
from dualface.graph.running.unfinished import identity
from dualface.graph.schedule import schedule


@dataclass(frozen=True, slots=True)
class Way:
    """A way to do a job; ``fresh`` is in a process that nothing has happened to yet, and ``wait`` how many
    seconds that is to be put off. ``began`` is when the run first tried (by `time.perf_counter`), ``before``
    how many frames an earlier run had done by then, as far as that is known."""

    slot: Slot
    pipeline: Pipeline
    terms: Terms
    fresh: bool = False
    wait: float = 0.0
    began: float | None = None
    before: int | None = None

    def begin(self) -> Way:
        """This way, begun now if it was not before."""
        return self if self.began is not None else replace(self, began=time.perf_counter())

    def whole(self, result: JobResult) -> JobResult:
        """``result`` of the last try, with the time and the frames of all tries of this run."""
        assert self.began is not None
        before = result.frames_before if self.before is None else self.before
        return replace(result, seconds=time.perf_counter() - self.began, frames_before=before)


class Impossible(Exception):
    """What was decided cannot be done with this job on this machine."""


class Ways:
    """Finds them. ``rebuild`` makes the graph without some candidates, ``on_cpu`` the one for a machine
    without a GPU; both raise `RequestError` where there is none."""

    def __init__(
        self,
        plan: Plan,
        terms: Terms,
        rebuild: Callable[[Excluded], Graph] | None,
        on_cpu: Callable[[], Graph] | None,
    ) -> None:
        self._plan, self._terms = plan, terms
        self._rebuild, self._on_cpu = rebuild, on_cpu

    def first(self, job: Job, slot: Slot) -> tuple[Way, list[Event]]:
        """In ``slot``, or by the slot's GPU in a graph of the job's own; and what to tell of that. Raises
        `RequestError` where that takes more than there is (VRAM, for one)."""
        graph = self._plan.instead.get(job.index)
        # Whatever slot takes it: the same request.
        request = identity(
            job, graph or self._plan.pipelines[0].graph, self._terms.care.recovery.segment_seconds
        )
        way = Way(slot, self._plan.pipelines[slot.pipeline], replace(self._terms, request=request))
        if graph is None:
            return way, []
        return self._planned(job, graph, way), [Event("notice", swap) for swap in graph.swaps()]

    def again(self, result: JobResult, way: Way) -> tuple[Way, Event] | None:
        """How to do the job of ``result`` once more, and what to tell of that; None where nothing is left
        to be tried. An action that turns out not to be possible makes room for the next of the rule."""
        error = result.error.rstrip(".")
        if result.start_over:
            told = Event("recovery", f"{error}; it starts from the beginning")
            return replace(way, terms=replace(way.terms, go_on=False), fresh=False, wait=0.0), told
        if result.frames_out:  # or it did not get as far as to go on from anywhere
            way = replace(way, before=result.frames_before)
        decision, history, impossible = result.decision, result.history, set[Action]()
        while decision is not None and decision.action != "fail":
            care = replace(way.terms.care, history=history)
            terms = replace(way.terms, go_on=True, care=care)
            try:
                again = replace(way, terms=terms, fresh=False, wait=decision.wait)
                again, how = self._as_decided(decision, result, again)
            except Impossible:
                impossible.add(decision.action)
                kind = way.pipeline.graph.by_name[decision.node].kind.name if decision.node else ""
                able = RESTARTS - impossible
                decision = decide(care.recovery, decision.node, kind, decision.failure, result.history, able)
                history = (*result.history, Taken(decision.node, decision.action))
            else:
                does = "starts again" if result.kept_seconds is None else "goes on"
                text = f"{error}; it {does}{how}{decision.later}"
                return again, Event("recovery", text, decision.node)
        return None

    def _as_decided(self, decision: Decision, result: JobResult, way: Way) -> tuple[Way, str]:
        """``way`` changed as ``decision`` says, and how, as words. Raises `Impossible`."""
        graph = way.pipeline.graph
        try:
            if decision.action == "smaller" and way.pipeline.batch > 1:
                pipeline = replace(way.pipeline, batch=way.pipeline.batch // 2)
                return replace(way, pipeline=pipeline), f" with batches of {pipeline.batch}"
            if decision.action == "next" and decision.node and self._rebuild is not None:
                taken = decision.node, graph.by_name[decision.node].candidate
                if taken[1]:
                    made = self._rebuild({**graph.excluded, taken: result.error})
                    kind = made.by_name[decision.node].kind.name
                    return self._planned(result.job, made, way), f" with {kind}"
            if decision.action == "cpu" and way.slot.gpu is not None and self._on_cpu is not None:
                return self._planned(result.job, self._on_cpu(), way, gpu=False), " on the CPU"
            if decision.action == "fresh":
                pickle.dumps(way.pipeline)  # or it cannot get there
                return replace(way, fresh=True), " in a new process"
            if decision.action == "resume":
                return way, ""
        except (RequestError, pickle.PicklingError, TypeError, AttributeError) as error:
            raise Impossible from error
        raise Impossible

    def _planned(self, job: Job, graph: Graph, way: Way, *, gpu: bool = True) -> Way:
        """``way`` by another ``graph``, on the same GPU or on none."""
        hardware, slot = self._plan.hardware, way.slot
        if not gpu:
            hardware = replace(hardware, gpus=())
        elif slot.gpu is not None:
            hardware = replace(hardware, gpus=tuple(g for g in hardware.gpus if g.index == slot.gpu))
        made = schedule(graph, hardware, [job])
        own = replace(made.slots[0], name=slot.name, threads=slot.threads)
        return replace(way, slot=own, pipeline=made.pipelines[own.pipeline])
