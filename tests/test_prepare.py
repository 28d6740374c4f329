"""From a request to a plan: jobs beyond the encode sessions, and what the nodes say of the jobs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from dualface.actions import Request, prepare
from dualface.actions.outputs import check
from dualface.graph.build import build
from dualface.graph.draw import draw_plan
from dualface.graph.errors import RequestError
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.node import Needs, Node, NodeConfig
from dualface.graph.plan import Plan
from dualface.graph.registry import node, registry_of
from dualface.graph.schedule import schedule
from dualface.graph.types import NV12, Cpu, Cuda, Frames, Memory
from dualface.hw.layers import Resolved
from dualface.nodes.transfer import Transfer
from dualface.settings import Monitor


@node("decode/chip", rank=10)
class Decode(Node[NodeConfig]):
    def process(self) -> Frames[NV12, Cuda]: ...


class Encoder(Node[NodeConfig]):
    word = ""

    @classmethod
    def check(cls, config: Any, job: Job) -> tuple[str, ...]:  # type: ignore[override]
        return (f"{cls.kind} cannot hold {job.name}.",) if cls.word and cls.word in job.name else ()

    @classmethod
    def writes(cls, config: Any, job: Job) -> tuple[Path, ...]:  # type: ignore[override]
        return (job.output, *([job.output.with_suffix(".log")] if cls.kind == "encode/soft" else []))


@node("encode/chip", rank=10)
class Chip(Encoder):
    word = "ten"

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("nvenc", resources={"encode_sessions": 1})

    def process(self, frames: Frames[NV12, Cuda]) -> None: ...


@node("encode/soft", rank=50)
class Soft(Encoder):
    word = "odd"

    def process(self, frames: Frames[NV12, Cpu]) -> None: ...


CARD = Hardware(
    "card", 16, 65536, (Gpu(0, "Card", 24576),), frozenset({"cuda", "nvenc"}), frozenset({"cupy"}),
    cuda_streams=4, encode_sessions=1, vram_limit_mb=24576, vram_per_stream_mb=6144,
    encode_overflow="software",
)  # fmt: skip
DEFAULT: dict[str, Any] = {"auto": "encode", "inputs": {"frames": "decode"}}


def jobs(*names: str) -> list[Job]:
    return [
        dataclasses.replace(
            prepare.NOMINAL, name=name, input=f"{name}.mp4", output=Path(f"{name}_x.mp4"), index=index
        )
        for index, name in enumerate(names)
    ]


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(
        wanted: list[Job], *, encode: dict[str, Any] = DEFAULT, strict: bool = False, **change: Any
    ) -> Plan:
        registry = registry_of([Decode, Chip, Soft, Transfer])
        hardware = Resolved(dataclasses.replace(CARD, **change), ())
        monkeypatch.setattr(prepare, "installed", lambda: registry)
        monkeypatch.setattr(prepare, "hardware", lambda *_, **__: hardware)
        graph = {"name": "copy", "nodes": {"decode": {"auto": "decode"}, "encode": encode}}
        config = {"graph": graph, "strict_zero_copy": strict, "record": False, "objective": ""}
        monkeypatch.setattr(prepare, "probe_all", lambda *_: (wanted, []))
        config |= {"input": "x", "protocols": ["file"], "monitor": vars(Monitor())}
        return prepare.prepare(config, Request(), trust=True).plan(wanted)

    return made


def kinds(plan: Plan) -> list[str]:
    return [plan.pipelines[slot.pipeline].graph.nodes[-1].kind.name for slot in plan.slots]


def test_jobs_beyond_the_sessions_encode_in_software(plan: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert kinds(plan(jobs("a", "b"))) == ["encode/chip", "encode/soft"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"strict": True}, "as strict_zero_copy=true forbids it: pixels would cross from cuda to cpu"),
        ({"encode": {**DEFAULT, "auto": None, "kind": "encode/chip"}}, "as encode is pinned to encode/chip."),
        ({"encode": {**DEFAULT, "candidates": {"soft": {"kind": "encode/soft", "rank": 60}}}, "cpu_cores": 1},
         "as cores, streams or sessions are taken."),
    ],
)  # fmt: skip
def test_the_plan_says_why_jobs_wait(given: dict[str, Any], why: str, plan: Any) -> None:
    waiting = plan(jobs("a", "b"), **given)
    assert kinds(waiting) == ["encode/chip"]
    assert any("1 job waits, " + why in note for note in waiting.notes), waiting.notes


def test_what_only_the_software_encoder_cannot_do_waits_for_the_hardware(plan: Any) -> None:
    wanted = jobs("a", "b", "odd")
    able, unable = prepare.without_unable(plan(wanted), wanted)
    assert (kinds(able), unable) == (["encode/chip"], [])
    assert any("as the software encoder cannot do odd: encode/soft cannot hold odd." in n for n in able.notes)
    alone = jobs("odd")
    assert kinds(prepare.without_unable(plan(alone), alone)[0]) == ["encode/chip"]  # no overflow, not asked


PINNED = {**DEFAULT, "auto": None, "kind": "encode/chip"}


def test_what_a_named_encoder_cannot_do_is_left_out(plan: Any) -> None:
    wanted = jobs("a", "b", "ten", "c")
    able, unable = prepare.without_unable(plan(wanted, encode=PINNED), wanted)
    assert [(job.name, why) for job, why in unable] == [("ten", "encode/chip cannot hold ten.")]
    assert kinds(able) == ["encode/chip"]


def test_what_the_best_candidate_cannot_do_is_done_by_the_next(plan: Any) -> None:
    wanted = jobs("a", "ten", "odd ten")
    made = plan(wanted, encode_sessions=3)
    able, unable = prepare.without_unable(made, wanted)
    assert [(job.name, why) for job, why in unable] == [("odd ten", "encode/chip cannot hold odd ten.")]
    assert kinds(able) == ["encode/chip", "encode/chip"]
    (graph,) = able.instead.values()
    assert [*able.instead] == [1]
    assert [node.kind.name for node in graph.nodes] == ["decode/chip", "transfer", "encode/soft"]
    told = "In ten 'encode' is encode/soft instead of encode/chip: encode/chip cannot hold ten."
    assert told in able.notes
    assert told in draw_plan(made, "text")


def test_what_no_job_can_use_is_not_in_the_plan(plan: Any) -> None:
    wanted = jobs("ten", "ten more")
    made = plan(wanted)
    assert (kinds(made), made.instead) == (["encode/soft", "encode/soft"], {})
    assert "not encode/chip: encode/chip cannot hold ten." in draw_plan(made, "text")
    assert not any("gpu0-encode" in slot.leases for slot in made.slots)


def test_why_jobs_wait_is_not_forgotten_when_some_are_left_out(plan: Any) -> None:
    wanted = jobs("a", "b", "ten")
    able, _ = prepare.without_unable(plan(wanted, strict=True), wanted)
    assert any("strict_zero_copy=true forbids it" in note for note in able.notes)


def test_files_of_the_overflow_are_checked_too(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b_x.log").touch()
    check(plan(jobs("b")), jobs("b"), overwrite=False)
    with pytest.raises(RequestError) as caught:
        check(plan(jobs("a", "b")), jobs("a", "b"), overwrite=False)
    assert [str(p) for p in caught.value.problems] == [
        "output: b_x.log exists already. Say overwrite=true to replace it. [exists]"
    ]


def test_two_nodes_that_write_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    registry = registry_of([Decode, Chip, Soft, Transfer])
    soft = {"kind": "encode/soft", "inputs": {"frames": "decode"}}
    nodes = {"decode": {"auto": "decode"}, "one": soft, "two": soft}
    made = schedule(build({"name": "both", "nodes": nodes}, CARD, registry), CARD, jobs("a"))
    with pytest.raises(RequestError) as caught:
        check(made, jobs("a"), overwrite=False)
    assert [str(p) for p in caught.value.problems] == [
        f"graph.nodes.two: the nodes 'one' and 'two' would both write a_x.{suffix}. Set "
        "graph.nodes.two.enabled=false, or take one of them out of the graph. [same-output]"
        for suffix in ("mp4", "log")
    ]
