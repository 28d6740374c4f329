"""What a run tells while it goes on, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.recovery import Decision, Taken

Status = Literal["done", "skipped", "failed", "interrupted"]
STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class NodeUse:
    """What one node did for one job.

    ``seconds`` is wall time inside ``process`` and ``finish``, ``cpu_seconds`` the CPU time of
    the calling thread in there (threads that a library starts are not in it). ``counted`` are
    the sums of ``Context.count``, ``reported`` the last values of ``Context.report``.
    """

    name: str
    kind: str
    calls: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    counted: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class QueueUse:
    """How full the queue before ``stage`` was: the mean is over time. A queue that is always
    full waits for its stage; one that is always empty waits for the stages before."""

    stage: str
    size: int
    mean: float
    max: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """How one job ended.

    A job that was finished by an earlier run is skipped. ``error`` is one sentence, "" for a job that is
    done; ``trace`` is the traceback behind it.
    ``start_over``: what an earlier try had left was of no use. ``kept_seconds`` of the
    source are done and kept for another try, where the job is not done. ``decision`` is what the rules say
    about the failure, None where nothing failed or nothing more is to be tried, ``history`` all recoveries
    that were begun. ``stuck`` says that a thread of the job has not come back. ``frames_in`` left the source,
    ``frames_out`` passed the last node, the first ``frames_before`` of them in an earlier run, whose time is
    not in ``seconds``. ``outputs`` exist under these names, and only if the job is done.
    """

    job: Job
    status: Status
    error: str = ""
    slot: str = ""
    seconds: float = 0.0
    frames_in: int = 0
    frames_out: int = 0
    nodes: tuple[NodeUse, ...] = ()
    queues: tuple[QueueUse, ...] = ()
    events: tuple[Event, ...] = ()
    outputs: tuple[str, ...] = ()
    trace: str = ""
    start_over: bool = False
    kept_seconds: float | None = None
    decision: Decision | None = None
    history: tuple[Taken, ...] = ()
    stuck: bool = False
    frames_before: int = 0

    @property
    def fps(self) -> float | None:
        """Frames a second, where time has passed."""
        return max(0, self.frames_out - self.frames_before) / self.seconds if self.seconds else None

    @property
    def node_seconds(self) -> dict[str, float]:
        """Wall seconds in each node, by name."""
        return {node.name: node.seconds for node in self.nodes}

    @property
    def figures(self) -> dict[str, Any]:
        """What the nodes counted and reported, by name: counts are added up over the nodes, and
        of two reports the one further down the graph stands."""
        merged: dict[str, Any] = {}
        for node in self.nodes:
            for name, value in node.counted.items():
                merged[name] = merged.get(name, 0) + value
        for node in self.nodes:
            merged.update(node.reported)
        return merged


class Listener(Protocol):
    """Is told what happens, one call at a time, from whichever thread it happens on.

    A listener that raises is not called again; the run goes on.
    """

    def job_started(self, job: Job, slot: str) -> None: ...

    def progress(self, job: Job, frames: int) -> None:
        """``frames`` of ``job`` have passed the last node."""

    def event(self, job: Job, event: Event) -> None: ...

    def job_finished(self, result: JobResult) -> None: ...
