"""The plan: which slot runs which job, on which threads, with what in between.

A plan is a value: it can be printed, saved and compared, and making it touches no hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dualface.graph.dag import Graph
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job


@dataclass(frozen=True, slots=True)
class Stage:
    """Nodes that run one after the other on one thread, and the engine they share."""

    name: str
    engine: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A graph cut into stages. Every batch passes through all of them in order, carrying its
    values; ``queue`` batches may wait before each stage but the first. ``infer_batch`` is the largest
    batch that engines of networks are built for."""

    graph: Graph
    stages: tuple[Stage, ...]
    batch: int
    queue: int
    frames_in_flight: int  # the most frames between the source and the last reader
    infer_batch: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """What one running job holds. ``leases`` counts machine-wide resources by name;
    ``pipeline`` is the index of the plan's pipeline that runs in this slot."""

    name: str
    gpu: int | None
    leases: Mapping[str, int]
    vram_mb: int
    threads: int
    pipeline: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """A job's expected place: its slot, and its start and end in ``cost`` units from the
    plan's start. Slots take jobs from one queue, so a run may differ where costs do."""

    job: Job
    slot: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that `execute` needs.

    ``assignments`` are in queue order (longest job first). ``notes`` are sentences worth
    reading: what limits the number of slots, what runs in software and why.
    ``no_overflow`` says, as a clause, why no job can encode in software beyond the encode
    sessions, "" where some can. ``instead`` has the graph of each job, by its index, that the
    pipelines cannot do: it runs in a slot of its own making, in the place of the one that takes it.
    """

    hardware: Hardware
    pipelines: tuple[Pipeline, ...]
    slots: tuple[Slot, ...]
    assignments: tuple[Assignment, ...]
    notes: tuple[str, ...] = ()
    no_overflow: str = ""
    instead: Mapping[int, Graph] = field(default_factory=dict)
