"""What a node is: its options, its needs, its state, its life."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.types import Layout, Memory, MemoryMark, PixelFormat


@dataclass
class NodeConfig:
    """Base of every node's options: a dataclass whose fields have defaults.

    The comment behind a field is its help text; ``__post_init__`` raises ValueError with one
    sentence where a value makes no sense.
    """


@dataclass(frozen=True, slots=True)
class Needs:
    """What a node takes while it runs.

    ``engine`` is the part of the machine that does the work (``cpu``, ``cuda``, ``nvdec``,
    ``nvenc``); neighbours on one engine share a thread. ``resources`` counts what is leased, by
    the key of `Hardware` that limits it (``{"decode_sessions": 1}``). ``vram_mb`` is fixed
    memory; ``frame_buffers`` are full-size frames held beyond those in flight. ``threads`` is
    the CPU time a node can use, in cores. ValueError where one of the three is no finite number of
    0 or more.
    """

    engine: str = "cpu"
    features: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)
    vram_mb: int = 0
    frame_buffers: int = 0
    threads: float = 1.0

    def __post_init__(self) -> None:
        for name in ("vram_mb", "frame_buffers", "threads"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"Needs has {name}={value}; it is a finite number, 0 or more")


@dataclass(frozen=True, slots=True)
class Stateless:
    """Each batch is answered from that batch alone."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """Started ``frames`` early, the node gives the same answers as from the beginning."""

    frames: int


@dataclass(frozen=True, slots=True)
class Unbounded:
    """Answers may depend on every frame before."""


State = Stateless | Bounded | Unbounded
Snapshot = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth telling about a job: ``kind`` is notice, warning, recovery or error."""

    kind: str
    message: str
    node: str = ""
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """The GPU of a slot and the handle of its CUDA stream (never the default stream). What a node
    leaves in ``spare`` when it closes, the one of the slot's next job may go on using."""

    gpu: int
    stream: int
    spare: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


def _no_workspace() -> Path:
    raise InputError("There is no folder for unfinished work here.")


@dataclass(frozen=True)
class Context:
    """What a node is handed when it opens.

    ``batch`` is the number of frames in a batch (the last one may be shorter), ``infer_batch`` the
    largest that engines of networks are built for; ``threads`` how many CPU threads the node should
    use at most; ``vram_mb`` its memory budget; ``held`` the most batches
    of its pictures that are alive at once, so that a pool need never be larger. ``stopping()``
    turns true when the job is being abandoned. ``write_as(path)`` gives the temporary name to
    write instead of ``path``: it becomes ``path`` when the whole job succeeded and is removed
    when it did not. ``count(name, value)`` adds to a figure in the job's report; ``report(name,
    value)`` sets one (plain JSON values). ``workspace()`` is a folder of the node's own beside the
    output: it outlives the process and the job, unless the job succeeds or nothing can be gained from
    going on with it. A node that writes and keeps there what it has written so far, so that `Node.snapshot`
    need only say how much that is, makes its job one that can go on where it was broken off.
    """

    job: Job
    name: str
    batch: int
    threads: int
    emit: Callable[[Event], None]
    stopping: Callable[[], bool]
    write_as: Callable[[Path], Path]
    count: Callable[[str, float], None]
    report: Callable[[str, Any], None]
    device: Device | None = None
    vram_mb: int = 0
    held: int = 1
    infer_batch: int = 0
    workspace: Callable[[], Path] = _no_workspace


def most_owed(lookahead: int, batch: int) -> int:
    """The most frames unanswered after a call, for batches of up to ``batch`` frames.

    >>> most_owed(0, 8), most_owed(1, 8), most_owed(45, 4)
    (0, 8, 48)
    """
    return lookahead + batch - 1 if lookahead else 0


C = TypeVar("C", bound=NodeConfig)


class Node(Generic[C]):
    """One step of work. Subclass it, annotate ``process``, register it with `node`.

    ``process`` takes its inputs by port name and answers with a value (a NamedTuple where there
    are several outputs) or with ``None`` for "later": then the next value it returns belongs to
    the oldest batch not yet answered. A batch is due once `lookahead` later frames are there,
    and `finish` yields the answers still owed. A node without inputs is a source: ``process``
    returns the next batch, and ``None`` when there are no more. A node whose ``process`` is
    annotated ``-> None`` is there for its effect.
    """

    kind: ClassVar[str] = ""
    takes_over: ClassVar[frozenset[str]] = frozenset()  # other kinds whose snapshots `restore` understands
    process: Callable[..., Any]

    def __init__(self, config: C) -> None:
        self.config = config

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        """What the node takes from the machine when its pixels are in ``memory``."""
        return Needs()

    @staticmethod
    def binds(config: Any) -> Mapping[Any, type[PixelFormat] | type[MemoryMark]]:
        """What the options alone decide: a type variable of the ports to the mark it stands
        for. Other variables take what they are wired to."""
        return {}

    @staticmethod
    def size(config: Any, width: int, height: int) -> tuple[int, int]:
        """Width and height of the pictures that the node gives for pictures of this size: its
        ``layout``'s, where it has one, else the same. The scheduler counts memory by it."""
        layout = getattr(config, "layout", None)
        return (layout.width, layout.height) if isinstance(layout, Layout) else (width, height)

    @staticmethod
    def lookahead(config: Any) -> int:
        """How many later frames an answer may depend on; 0 answers each batch at once.

        Batches stay whole, so that up to `most_owed` frames can be unanswered.
        """
        return 0

    @staticmethod
    def state(config: Any) -> State:
        """How far back an answer can depend on earlier frames."""
        return Stateless()

    @staticmethod
    def writes(config: Any, job: Job) -> tuple[Path, ...]:
        """The files the node will write for ``job``, under their final names."""
        return ()

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        """Sentences saying why ``job`` cannot be done, found before anything runs."""
        return ()

    def open(self, context: Context) -> None:
        """Take what the job needs. Called once, before the first batch."""

    def finish(self) -> Iterator[Any]:
        """Yield the answers still owed, oldest first."""
        return iter(())

    def close(self) -> None:
        """Give everything back. Always called once, also after an error in `open`."""

    def snapshot(self) -> Snapshot:
        """All of the state as plain arrays (none of objects), taken between two calls of ``process``:
        wherever a segment begins, of a source before each call, and perhaps elsewhere.

        Answers still owed are part of it. A node that writes ends its segment here: what it was given
        so far is safe on the disk when this returns.
        """
        return {}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`, of this kind or of one in `takes_over`; called
        once, after `open`. From there on the node answers as that one would have."""
