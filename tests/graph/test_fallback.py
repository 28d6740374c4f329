"""A candidate that is refused while a job runs makes room for the next one, for that job alone."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import Items, Recorder, make_job

from dualface.graph.build import build
from dualface.graph.dag import Excluded, Graph
from dualface.graph.errors import DeviceError
from dualface.graph.execute import JobResult, execute
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.node import Context, Device, Needs, Node, NodeConfig
from dualface.graph.recovery import Recovery, Rule
from dualface.graph.registry import node, registry_of
from dualface.graph.schedule import schedule
from dualface.graph.types import Memory

CARD = Hardware(
    "card", 8, 16_000, (Gpu(0, "Card", 8192),), frozenset({"cuda"}), cuda_streams=2, encode_sessions=1,
    vram_limit_mb=8192, vram_per_stream_mb=1024,
)  # fmt: skip
NEXT = Recovery(rules=tuple(Rule("*", error, ("next", "fail")) for error in ("resource", "device")))
REFUSED: dict[str, str] = {}  # when a kind gives up on the job "bad": open or process


@node("read/numbers")
class Read(Node[NodeConfig]):
    def open(self, context: Context) -> None:
        self.left = 3

    def process(self) -> Items | None:
        self.left -= 1
        return Items([self.left]) if self.left >= 0 else None


class Keep(Node[NodeConfig]):
    """Writes each number on a line."""

    def open(self, context: Context) -> None:
        self.bad = context.job.name == "bad"
        self.file = context.write_as(context.job.output).open("w")
        self.give_up("open")

    def process(self, numbers: Items) -> None:
        print(self.kind, numbers.numbers[0], file=self.file, flush=True)
        self.give_up("process")

    def close(self) -> None:
        self.file.close()

    def give_up(self, where: str) -> None:
        if self.bad and REFUSED.get(self.kind) == where:
            raise DeviceError(f"{self.kind} refused a session")


@node("keep/chip", rank=1)
class Chip(Keep):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("nvenc", ("cuda",), resources={"encode_sessions": 1})


@node("keep/card", rank=20)
class Card(Keep):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("cuda", ("cuda",))


@node("keep/soft", rank=50)
class Soft(Keep): ...


REGISTRY = registry_of([Read, Chip, Card, Soft])


class Watched:
    """Leases that are always free: what is held, and what was."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()
        self.told: list[Mapping[str, int]] = []

    @contextlib.contextmanager
    def hold(self, wanted: Mapping[str, int], **_: Any) -> Iterator[None]:
        assert not +self.held, "the leases of the attempt before are not given back"
        self.told.append(wanted)
        self.held.update(wanted)
        yield
        self.held.subtract(wanted)


@pytest.fixture(autouse=True)
def nothing_refused() -> Iterator[None]:
    yield
    REFUSED.clear()


def run(folder: Path, keep: dict[str, Any] | None = None) -> tuple[list[JobResult], Watched, Recorder]:
    """The jobs "good" and "bad", one after the other, in folder."""
    nodes = {"read": {"kind": "read/numbers"}, "keep": keep or {"auto": "keep"}}
    nodes["keep"] = {**nodes["keep"], "inputs": {"numbers": "read"}}

    def rebuild(exclude: Excluded) -> Graph:
        return build({"name": "fall", "nodes": nodes}, CARD, REGISTRY, exclude=exclude)

    jobs = [make_job("good", folder), make_job("bad", folder, 1)]
    leases, heard = Watched(), Recorder()
    results = execute(
        schedule(rebuild({}), CARD, jobs), leases=leases, listener=heard, rebuild=rebuild,
        open_device=lambda gpu: Device(gpu, 1), recovery=NEXT,
    )  # fmt: skip
    assert not +leases.held
    return list(results), leases, heard


@pytest.mark.parametrize("when", ["open", "process"])
def test_the_next_candidate_does_the_job(when: str, tmp_path: Path) -> None:
    REFUSED["keep/chip"] = when
    (good, bad), leases, heard = run(tmp_path)
    assert (good.status, bad.status) == ("done", "done")
    assert good.events == ()
    (event,) = bad.events
    assert (event.kind, event.node) == ("recovery", "keep")
    assert event.message == "keep/chip refused a session; it starts again with keep/card"
    assert bad.frames_out == 3
    assert (tmp_path / "bad.out").read_text() == "keep/card 2\nkeep/card 1\nkeep/card 0\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.out", "good.out"]
    assert [dict(one).get("gpu0-encode", 0) for one in leases.told][:3] == [1, 1, 0]
    calls = [call[0] for call in heard.calls if call[1] == "bad" and call[0] != "progress"]
    assert calls == ["started", "event", "finished"]


def test_each_candidate_is_tried_once(tmp_path: Path) -> None:
    REFUSED.update({"keep/chip": "open", "keep/card": "process"})
    (_, bad), *_ = run(tmp_path)
    assert bad.status == "done"
    assert [event.message.rpartition(" ")[2] for event in bad.events] == ["keep/card", "keep/soft"]
    REFUSED["keep/soft"] = "open"
    (good, bad), *_ = run(tmp_path / "more")
    assert (good.status, bad.status, bad.error) == ("done", "failed", "keep/soft refused a session")
    assert len(bad.events) == 2
    assert [path.name for path in (tmp_path / "more").iterdir()] == ["good.out"]


def test_a_kind_that_was_named_is_never_swapped(tmp_path: Path) -> None:
    REFUSED["keep/chip"] = "open"
    (good, bad), *_ = run(tmp_path, {"kind": "keep/chip"})
    assert (good.status, bad.status, bad.error) == ("done", "failed", "keep/chip refused a session")
    assert bad.events == ()


def test_a_job_with_a_graph_of_its_own_from_the_start(tmp_path: Path) -> None:
    nodes = {"read": {"kind": "read/numbers"}, "keep": {"auto": "keep", "inputs": {"numbers": "read"}}}
    config = {"name": "fall", "nodes": nodes}
    own = build(config, CARD, REGISTRY, exclude={("keep", "chip"): "it cannot."})
    jobs = [make_job("good", tmp_path), make_job("odd", tmp_path, 1)]
    plan = schedule(build(config, CARD, REGISTRY), CARD, jobs, instead={1: own})
    good, odd = execute(plan, leases=Watched(), open_device=lambda gpu: Device(gpu, 1))
    assert (good.nodes[-1].kind, odd.nodes[-1].kind) == ("keep/chip", "keep/card")
    assert [(event.kind, event.message) for event in odd.events] == [
        ("notice", "'keep' is keep/card instead of keep/chip: it cannot.")
    ]
