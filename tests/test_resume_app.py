"""resume=true as it is typed: what is skipped, what is gone on with, and what is left on the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from media import Film, Sound, make, tracks, video_times

from dualface.graph.running.unfinished import folder_of

Run = Callable[..., int]
SHORT = ("output=out.mp4", "recovery.segment_seconds=0.2", "hydra.run.dir=run")
BREAKS = ("+faults=[{node: encode, frame: 20, error: device}]", "recovery=strict")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make(tmp_path / "a.mp4", Film(times=range(30), sounds=(Sound(),)))


def told() -> dict[str, Any]:
    (job,) = json.loads(Path("run/report.json").read_text())["jobs"]
    return dict(job)


def test_a_job_goes_on_and_is_then_skipped(run: Run, film: Path) -> None:
    assert run("input=a.mp4", *SHORT, *BREAKS) == 1
    assert told()["kept_seconds"] > 0
    assert not Path("out.mp4").exists()
    assert run("input=a.mp4", *SHORT, "resume=true") == 0
    job = told()
    assert 0 < job["frames_before"] < job["frames_out"] == 30
    assert job["fps"] == pytest.approx((30 - job["frames_before"]) / job["seconds"])
    assert video_times(Path("out.mp4")) == video_times(film)
    assert tracks(Path("out.mp4"), "audio")[0].data == tracks(film, "audio")[0].data
    assert not folder_of(Path("out.mp4")).exists()
    assert run("input=a.mp4", *SHORT, "resume=true") == 0
    assert told()["status"] == "skipped"


def test_what_a_kill_after_the_end_left_goes_when_the_job_is_skipped(run: Run, film: Path) -> None:
    assert run("input=a.mp4", *SHORT) == 0
    left = folder_of(Path("out.mp4"))
    (left / "encode.0").mkdir(parents=True)
    (left / "encode.0" / "0000.mkv").write_bytes(b"x")
    assert run("input=a.mp4", *SHORT, "resume=true") == 0
    assert told()["status"] == "skipped"
    assert not left.exists()


def test_that_another_request_starts_over_is_said(run: Run, film: Path) -> None:
    assert run("input=a.mp4", *SHORT, *BREAKS) == 1
    assert run("input=a.mp4", *SHORT, "resume=true", "graph.nodes.encode.crf=30") == 0
    job = told()
    assert job["frames_before"] == 0
    said = "is of another request, or of the input before it changed; it starts from the beginning"
    assert any(said in event["message"] for event in job["events"])
