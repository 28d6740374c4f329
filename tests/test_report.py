"""report.json and the number that a sweep lowers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface.graph.dag import Graph
from dualface.graph.errors import RequestError
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.plan import Assignment, Pipeline, Plan, Slot
from dualface.graph.running.outcome import JobResult, NodeUse, QueueUse
from dualface.graph.types import Video
from dualface.report import build_report, objective

VIDEO = Video(1920, 1080, Fraction(1, 15360), Fraction(30))
JOB = Job("대담", "대담.mp4", Path("outputs/대담_dual.mp4"), VIDEO, 600, 20.0, "h264", "yuv420p")
NODES = (
    NodeUse("decode", "decode/pyav", 76, 2.0, 1.5, {"frames": 600.0}),
    NodeUse("detect", "detect/yunet", 75, 3.0, 3.0, {"frames_without_face": np.int64(7)}),
    NodeUse("reid", "reid/off", 75, 0.1, 0.1, {"frames_with_reid": 60.0}, {"identities": np.int64(2)}),
)
DONE = JobResult(
    JOB, "done", "", "cpu 0", 5.0, 600, 600, NODES,
    (QueueUse("detect", 2, 1.5, 2),),
    (Event("notice", "the video has 10 bits"), Event("recovery", "went on in software", "encode", 40)),
    ("outputs/대담_dual.mp4",),
)  # fmt: skip


def report(*results: JobResult, **more: Any) -> dict[str, Any]:
    hardware = Hardware("test", 2, 4000, (Gpu(0, "A", 1),), frozenset({"nvdec", "cuda"}))
    line = Pipeline(Graph("dualface", (), ()), (), 8, 2, 0)
    slot = Slot("cpu 0", None, {}, 0, 2)
    plan = Plan(
        hardware, (line,), (slot,), tuple(Assignment(r.job, "cpu 0", 0, 1) for r in results), ("A note.",)
    )
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    made = build_report(plan, results, started=started, seconds=10.0, **more)
    # Plain JSON, and none of JSON's non-standard numbers.
    return json.loads(json.dumps(made, allow_nan=False))  # type: ignore[no-any-return]


def test_a_job_in_the_report() -> None:
    (job,) = report(DONE)["jobs"]
    assert job["name"] == "대담"
    assert (job["status"], job["error"], job["outputs"]) == ("done", "", ["outputs/대담_dual.mp4"])
    assert (job["frames_in"], job["frames_out"], job["fps"], job["source_seconds"]) == (600, 600, 120.0, 20.0)
    assert (job["host_to_device_bytes"], job["device_to_host_bytes"]) == (0, 0)
    assert job["figures"] == {
        "frames": 600.0,
        "frames_without_face": 7,
        "frames_with_reid": 60.0,
        "identities": 2,
        "reid_activation_ratio": 0.1,
    }
    assert job["nodes"][1]["seconds"] == 3.0
    assert job["nodes"][1]["milliseconds_per_call"] == 40.0
    assert job["queues"] == [{"stage": "detect", "size": 2, "mean": 1.5, "max": 2}]
    assert job["recoveries"] == 1
    assert job["events"][1] == {
        "kind": "recovery", "message": "went on in software", "node": "encode", "frame": 40
    }  # fmt: skip


def test_what_no_node_counted_is_left_out() -> None:
    made = report(replace(DONE, nodes=NODES[:1]))
    assert made["jobs"][0]["figures"] == {"frames": 600.0}
    assert "frames_without_face" not in made["totals"]
    assert "swaps_corrected" not in made["totals"]


def test_the_run_in_the_report() -> None:
    made = report(DONE, replace(DONE, job=replace(JOB, index=1)), command=["input=대담.mp4"])
    assert made["graph"] == "dualface"
    assert made["command"] == ["input=대담.mp4"]
    assert made["started"] == "2026-01-02T03:04:05+00:00"
    assert made["notes"] == ["A note."]
    assert made["hardware"]["features"] == ["cuda", "nvdec"]
    assert made["versions"]["python"].startswith("3.")
    assert made["peak_memory_mb"] > 1
    totals = made["totals"]
    assert (totals["jobs"], totals["done"], totals["failed"]) == (2, 2, 0)
    assert (totals["frames"], totals["fps"], totals["source_seconds"]) == (1200, 120.0, 40.0)
    assert totals["frames_without_face"] == 14


def test_transfers_are_summed_from_what_nodes_count() -> None:
    moved = NodeUse("up", "transfer", 1, counted={"host_to_device_bytes": 3110400.0})
    made = report(replace(DONE, nodes=(*NODES, moved, replace(moved, name="up2"))))
    assert made["jobs"][0]["host_to_device_bytes"] == 6220800
    assert made["totals"]["host_to_device_bytes"] == 6220800
    assert "host_to_device_bytes" not in made["jobs"][0]["figures"]


def test_a_traceback_is_only_told_for_debugging() -> None:
    failed = replace(DONE, status="failed", error="node 'x' failed.", trace="Traceback ...")
    assert "trace" not in report(failed)["jobs"][0]
    assert report(failed, debug=True)["jobs"][0]["trace"] == "Traceback ..."


def test_the_objective() -> None:
    made = report(DONE)
    assert objective(made) == 0.5  # 10 s for 20 s of source
    assert objective(made, "totals.fps") == 60.0
    assert objective(made, "jobs.0.figures.frames_without_face") == 7
    assert objective(made, "jobs.0.nodes.1.seconds") == 3.0


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("totals.fsp", "'totals.fps'"),
        ("jobs.0.figures.frames_with_face", "'jobs.0.figures.frames_without_face'"),
        ("jobs.0.status", ""),
        ("?", "Take totals.seconds_per_source_second"),
    ],
)
def test_an_objective_that_is_no_number_of_the_report(name: str, near: str) -> None:
    with pytest.raises(RequestError) as caught:
        objective(report(DONE), name)
    assert f"the report has no number '{name}'" in str(caught.value)
    assert near in str(caught.value)


def test_a_failed_job_does_not_make_a_run_look_fast() -> None:
    failed = replace(DONE, status="failed", frames_out=0, seconds=0.1, nodes=(), outputs=())
    made = report(DONE, failed)
    assert made["totals"]["seconds_per_source_second"] is None
    assert objective(made) == math.inf
    assert objective(made, "jobs.1.figures.identities") == math.inf


def test_a_source_whose_length_nobody_knows() -> None:
    made = report(replace(DONE, job=replace(JOB, duration=0.0, video=replace(VIDEO, frame_rate=None))))
    assert made["jobs"][0]["source_seconds"] == 0
    assert objective(made) == math.inf
    by_rate = report(replace(DONE, job=replace(JOB, duration=0.0)))
    assert by_rate["jobs"][0]["source_seconds"] == 20.0
