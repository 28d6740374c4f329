"""The recoveries of one job: what can be done about a failure, what is, and what is told of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dualface.graph.dag import GraphNode
from dualface.graph.failures import Failure
from dualface.graph.faults import Fault
from dualface.graph.job import Job
from dualface.graph.node import Event, Stateless
from dualface.graph.recovery import IN_PLACE, Action, Decision, Recovery, Taken, decide
from dualface.graph.types import Memory


@dataclass(frozen=True)
class Care:
    """How a job's failures are met: the rules, what was done before in this job, and the ``faults``
    that are to happen in it. A plain value, for other processes too."""

    recovery: Recovery = field(default_factory=Recovery)
    history: tuple[Taken, ...] = ()
    faults: tuple[Fault, ...] = ()


class Rescue:
    """Decides and waits for the steps of one attempt, from whichever thread they are on.

    ``restarts`` are the actions by which the job could start again; ``emit`` takes events, and
    ``waiting(seconds)`` waits, true as soon as the job is being stopped.
    """

    def __init__(
        self,
        care: Care,
        job: Job,
        restarts: Collection[Action],
        emit: Callable[[Event], None],
        waiting: Callable[[float], bool],
    ) -> None:
        self.recovery = care.recovery
        self._history = list(care.history)
        self._job = job
        self._restarts = frozenset(restarts)
        self._emit, self._waiting = emit, waiting
        self._lock = threading.Lock()  # over the history: steps fail on several threads

    @property
    def history(self) -> tuple[Taken, ...]:
        return tuple(self._history)

    def in_place(self, place: GraphNode) -> frozenset[Action]:
        """What some rule would do about a failing batch of ``place`` while the job goes on. Nothing for
        a source, nor for a node that writes files, which may hold half of what it was writing, nor where the
        state that it takes may be pictures in a GPU's memory."""
        on_gpu = any(port.memory is Memory.CUDA for port in place.outputs.values())
        if not (place.inputs and place.outputs) or (on_gpu and not isinstance(place.state, Stateless)):
            return frozenset()
        with contextlib.suppress(Exception):  # a plugin's
            if not place.kind.cls.writes(place.config, self._job):
                return self.recovery.actions(place.kind.name) & IN_PLACE
        return frozenset()

    def decide(self, place: GraphNode, failure: Failure, able: Collection[Action] = ()) -> Decision:
        """What to do about ``failure`` of ``place``, where ``able`` can be done in place."""
        others = place.candidate and any(passed.usable for passed in place.passed)
        restarts = self._restarts if others else self._restarts - {"next"}
        with self._lock:
            made = decide(
                self.recovery, place.name, place.kind.name, failure, self._history, {*able, *restarts}
            )
            if made.action != "fail":
                self._history.append(Taken(made.node, made.action))
        return made

    def begin(self, decision: Decision, who: str, frame: int | None) -> bool:
        """Tell of a recovery in place and wait as it says; false if the job is stopped meanwhile."""
        told = f"{decision.failure.text.rstrip('.')}; {decision.does}"
        self._emit(Event("recovery", told if who in told else f"{who}: {told}", decision.node, frame))
        return not self._waiting(decision.wait)
