"""Small nodes and hand-made plans for the executor's tests."""

from __future__ import annotations

import faulthandler
import itertools
import sys
import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from dualface.graph.dag import Edge, Graph, GraphNode
from dualface.graph.execute import JobResult, execute
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Node, NodeConfig
from dualface.graph.plan import Assignment, Pipeline, Plan, Slot, Stage
from dualface.graph.registry import kind_of, node
from dualface.graph.types import Video

WATCHDOG = 60  # seconds until a hang is called one; no test waits for it


class Items:
    """A value of one number a frame, which can be watched by a weakref."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = tuple(numbers)

    def __len__(self) -> int:
        return len(self.numbers)


class Log:
    """What the fake nodes of a run saw, by job and node."""

    def __init__(self) -> None:
        self.opened: Counter[tuple[str, str]] = Counter()
        self.closed: Counter[tuple[str, str]] = Counter()
        self.seen: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self.alive: list[weakref.ref[Items]] = []
        self.most_alive = 0
        self.threads: set[str] = set()
        self.reached = threading.Event()


@dataclass
class FakeConfig(NodeConfig):
    log: Log = field(default_factory=Log)
    frames: int = 10
    salt: int = 1
    lookahead: int = 0
    late: tuple[bool, ...] = (True,)  # whether to hold an answer back while that is allowed
    fail: str = ""  # init, open, process, finish or close
    fail_frame: int = 0
    fail_job: str = "a"
    error: BaseException | None = None
    write: str = ""  # a file to write, in the folder of the job's output


class Fake(Node[FakeConfig]):
    def __init__(self, config: FakeConfig) -> None:
        super().__init__(config)
        self.job = "?"
        self.frame = 0
        self.fail("init")

    def fail(self, where: str) -> None:
        c = self.config
        if c.fail == where and (where == "init" or self.job == c.fail_job) and self.frame >= c.fail_frame:
            raise c.error or ValueError(f"bad {where}")

    def open(self, context: Context) -> None:
        self.context, self.job, self.name = context, context.job.name, context.name
        self.config.log.opened[self.job, self.name] += 1
        self.file = None
        if self.config.write:
            self.path = context.write_as(context.job.output.with_name(self.config.write))
            self.file = self.path.open("w")
        if self.config.fail_frame == 0:
            self.fail("open")

    def step(self, frames: int) -> None:
        self.frame += frames
        self.config.log.threads.add(threading.current_thread().name)
        self.fail("process")

    def finish(self) -> Iterator[Any]:
        self.frame = 1 << 30
        self.fail("finish")
        return iter(())

    def close(self) -> None:
        self.config.log.closed[self.job, self.name] += 1
        if self.file is not None:
            self.file.close()
        self.frame = 1 << 30
        self.fail("close")


@node("fake/source")
class Source(Fake):
    def process(self) -> Items:
        start = self.frame
        count = min(self.context.batch, self.config.frames - start)
        if count <= 0 or self.context.stopping():
            return None  # type: ignore[return-value]
        self.step(count)
        made = Items(range(start, start + count))
        log = self.config.log
        log.alive = [ref for ref in log.alive if ref() is not None]
        log.alive.append(weakref.ref(made))
        log.most_alive = max(log.most_alive, len(log.alive))
        return made


@node("fake/work")
class Work(Fake):
    @staticmethod
    def lookahead(config: FakeConfig) -> int:
        return config.lookahead

    def open(self, context: Context) -> None:
        super().open(context)
        self.kept: list[Items] = []
        self.calls = 0

    def process(self, a: Items, b: Items | None = None, c: Items | None = None) -> Items:
        self.step(len(a))
        self.context.count("frames_seen", len(a))
        self.kept.append(Items(work(self.config.salt, [v.numbers for v in (a, b, c) if v is not None])))
        self.calls += 1
        hold = self.config.late[self.calls % len(self.config.late)]
        # A batch is due once so many later frames are there.
        if hold and sum(map(len, self.kept[1:])) < self.config.lookahead:
            return None  # type: ignore[return-value]
        return self.kept.pop(0)

    def finish(self) -> Iterator[Any]:
        super().finish()
        while self.kept:
            yield self.kept.pop(0)


def work(salt: int, inputs: Sequence[Sequence[int]]) -> list[int]:
    """What `Work` makes of each frame."""
    return [(salt + sum((k + 3) * n for k, n in enumerate(frame))) % 100_003 for frame in zip(*inputs)]  # noqa: B905


class Pair(NamedTuple):
    even: Items
    odd: Items


@node("fake/pair")
class Split(Fake):
    def process(self, a: Items) -> Pair:
        self.step(len(a))
        return Pair(Items([2 * n for n in a.numbers]), Items([2 * n + 1 for n in a.numbers]))


@node("fake/sink")
class Sink(Fake):
    def process(self, a: Items, b: Items | None = None) -> None:
        self.step(len(a))
        self.config.log.seen[self.job, self.name] += a.numbers
        if self.file is not None:
            self.file.writelines(f"{n}\n" for n in a.numbers)
        if self.frame > 8:
            self.config.log.reached.set()


def place(name: str, cls: type[Node[Any]], config: Any = None, **inputs: str) -> tuple[GraphNode, list[Edge]]:
    """A node of a graph, and its edges: ``input="producer"`` or ``input="producer.output"``."""
    config = config or FakeConfig()
    kind = kind_of(cls)
    ins = {n: p.type for n, p in kind.ports.inputs.items()}
    outs = {n: p.type for n, p in kind.ports.outputs.items()}
    edges = []
    for port, source in inputs.items():
        producer, _, output = source.partition(".")
        edges.append(Edge(producer, output, name, port, ins[port]))
    needs, ahead = cls.needs(config, None), cls.lookahead(config)  # type: ignore[arg-type]
    return GraphNode(name, kind, config, needs, ahead, cls.state(config), ins, outs), edges


def make_graph(*places: tuple[GraphNode, list[Edge]]) -> Graph:
    return Graph("test", tuple(n for n, _ in places), tuple(e for _, edges in places for e in edges))


def make_job(name: str = "a", folder: Path = Path("."), index: int = 0) -> Job:
    video = Video(64, 48, Fraction(1, 30))
    return Job(name, f"{name}.mp4", folder / f"{name}.out", video, 10, 1.0, "h264", "yuv420p", index=index)


def make_plan(
    graph: Graph,
    jobs: Sequence[Job],
    *,
    cuts: Sequence[int] | None = None,
    batch: int = 4,
    queue: int = 2,
    slots: int = 1,
    gpu: int | None = None,
    leases: Mapping[str, int] | None = None,
) -> Plan:
    """A plan with stages cut before the nodes at ``cuts`` (default: before every node)."""
    names = [n.name for n in graph.nodes]
    at = sorted({0, len(names), *(range(len(names)) if cuts is None else cuts)})
    stages = tuple(Stage("+".join(names[i:j]), "cpu", tuple(names[i:j])) for i, j in itertools.pairwise(at))
    line = Pipeline(graph, stages, batch, queue, 0)
    made = tuple(Slot(f"slot {i}", gpu, leases or {}, 0, 1) for i in range(slots))
    return Plan(Hardware("test", 1, 1000), (line,), made, tuple(Assignment(j, "", 0, 1) for j in jobs))


def run(plan: Plan, **options: Any) -> tuple[JobResult, ...]:
    """`execute`, under a watchdog; leaves no thread behind, but those that are about to end."""
    before = set(threading.enumerate())
    faulthandler.dump_traceback_later(WATCHDOG, exit=True, file=sys.__stderr__)
    try:
        results = execute(plan, **options)
    finally:
        faulthandler.cancel_dump_traceback_later()
    for thread in set(threading.enumerate()) - before:
        thread.join(WATCHDOG)
        assert not thread.is_alive(), "threads are left"
    return results


def line(log: Log, middle: tuple[Any, FakeConfig] | None = None, **source: Any) -> Any:
    """source → work → sink, the one in the middle a `Work` unless told otherwise."""
    return make_graph(
        place("source", Source, FakeConfig(log, **source)),
        place("work", *(middle or (Work, FakeConfig(log))), a="source"),
        place("sink", Sink, FakeConfig(log, write="x_dual.mp4"), a="work"),
    )


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def job_started(self, job: Any, slot: str) -> None:
        self.calls.append(("started", job.name, slot))

    def progress(self, job: Any, frames: int) -> None:
        self.calls.append(("progress", job.name, frames))

    def event(self, job: Any, event: Event) -> None:
        self.calls.append(("event", job.name, event.message))

    def job_finished(self, result: JobResult) -> None:
        self.calls.append(("finished", result.job.name, result.status))
