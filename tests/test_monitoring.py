"""The monitor of a whole run: what is reported, and a disk that fills."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from media import Film, make

from dualface.app import main
from dualface.hw import probe

Run = Callable[..., int]
Usage = namedtuple("Usage", "total used free")
LOOK = "monitor.interval=0.1"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The MiB that are free from look to look; the last one stays. A look at a time after the first waits
    until the job writes its file."""
    free = [9999]

    def usage(path: Any) -> Usage:
        if len(free) > 1 and (free[0] == 9999 or list((tmp_path / "outputs").glob(".*"))):
            return Usage(0, 0, free.pop(0) << 20)
        return Usage(0, 0, free[0] << 20)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    return free


def report(folder: Path) -> Any:
    (path,) = (folder / "runs").glob("*/*/report.json")
    return json.loads(path.read_text())


def pictures(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray().tobytes() for frame in file.decode(video=0)]


def test_a_disk_that_fills_pauses_the_job_and_nothing_is_lost(
    run: Run, tmp_path: Path, disk: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4", Film(size=(320, 240), times=range(150)))
    slow = ["input=a.mp4", "graph.nodes.encode.preset=veryslow"]
    assert run(*slow, "output=plain.mp4", "monitor.enabled=false") == 0
    assert "monitor" not in report(tmp_path)
    shutil.rmtree(tmp_path / "runs")
    disk[:] = [9999, 100, 90, 600, 639, 700]
    capsys.readouterr()
    # The source is still at work when the monitor looks a second time, however busy the machine.
    late = "+faults=[{node: decode, fault: delay, seconds: 0.1, times: 25}]"
    assert run(*slow, LOOK, late, "quiet=false") == 0
    told = report(tmp_path)
    first, second = told["jobs"][0]["events"]
    folder = tmp_path / "outputs"
    sentence = f"only 100 MiB are free in {folder} (monitor.disk_mb=512); it goes on with 640 MiB."
    assert first["message"] == f"Paused: {sentence}"
    assert second["message"].startswith("Goes on after ")
    assert [event["message"] for event in told["monitor"]["events"]] == [
        f"O{sentence[1:]}",
        f"{folder} has room again.",
    ]
    lines = capsys.readouterr().err
    assert lines.count(f"a: warning: Paused: {sentence}") == 1
    assert lines.count("a: notice: Goes on after") == 1
    assert pictures(folder / "a_copy.mp4") == pictures(tmp_path / "plain.mp4")


def test_a_disk_that_stays_full_ends_the_run_in_a_sentence(
    run: Run, tmp_path: Path, disk: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4", Film(times=range(10)))
    disk[:] = [10]
    assert run("input=a.mp4", LOOK, "monitor.patience=0.3") == 1
    (job,) = report(tmp_path)["jobs"]
    sentence = (
        f"{tmp_path / 'outputs'} has had less than 512 MiB free (monitor.disk_mb) for 0.3 s "
        "(monitor.patience): the job is given up. Make room and run it again."
    )
    assert job["error"] == sentence
    assert [event["message"][:16] for event in job["events"]] == ["Not started yet:"]
    assert f"a: failed: {sentence}" in capsys.readouterr().err
    assert not (tmp_path / "outputs").exists()


def test_zero_means_that_a_disk_may_be_filled(run: Run, tmp_path: Path, disk: list[int]) -> None:
    make(tmp_path / "a.mp4", Film(times=range(10)))
    disk[:] = [0]
    assert run("input=a.mp4", LOOK, "monitor.disk_mb=0") == 0


def test_figures_are_in_the_report_and_may_be_an_objective(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", Film(times=range(60)))
    assert run("input=a.mp4", LOOK, "objective=monitor.figures.process_memory_mb.max") == 0
    told = report(tmp_path)["monitor"]
    assert told["interval"] == 0.1
    assert told["disks"] == {"disk0": str(tmp_path / "outputs")}
    for figure in ("memory_used_mb", "process_memory_mb", "disk0_free_mb"):
        spread = told["figures"][figure]
        assert 0 < spread["min"] <= spread["mean"] <= spread["max"]
        assert len(told["timeline"][figure]) == len(told["timeline"]["seconds"]) == told["samples"] >= 2
    assert told["events"] == []
    assert "fault" not in told
    assert not [thread for thread in threading.enumerate() if thread.name == "monitor"]


def test_a_port_is_told_and_one_that_is_taken_refused(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("prometheus_client", reason="the extra 'monitor' is not installed")
    make(tmp_path / "a.mp4", Film(times=range(5)))
    assert run("input=a.mp4", "monitor.port=0") == 0
    assert "Figures for Prometheus: http://127.0.0.1:" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "runs")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run("input=a.mp4", "output=new/b.mp4", f"monitor.port={port}") == 2
    assert f"monitor.port: port {port} cannot be opened: {os.strerror(98)}." in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "runs").glob("*/*"))


def test_what_is_wrong_with_the_keys_is_told_in_one_go(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "importable", lambda name: name != "prometheus_client")
    assert main(["action=plan", "monitor.interval=0", "monitor.vram_percent=101", "monitor.port=9000"]) == 2
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "monitor.interval: it cannot be 0.0. It is from 0.1 to 3600. [bad-value]",
        "monitor.vram_percent: it cannot be 101.0. It is from 1 to 100. [bad-value]",
        "monitor.port: prometheus-client is not installed. pip install 'dualface[monitor]' brings it. "
        "[not-installed]",
    ]


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("monitor.intervall=2", "there is no key 'monitor.intervall'. Did you mean 'monitor.interval'?"),
        ("+monitor.foo=2", "there is no key 'monitor.foo'."),
        ("monitor.interval=fast", "monitor.interval: it cannot be 'fast'."),
        ("monitor.disk_mb=nan", "monitor.disk_mb: it cannot be nan. It is at least 0."),
        ("monitor=null", "monitor: it cannot be 'null'."),
    ],
)
def test_a_wrong_key_is_a_sentence(typed: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["action=plan", typed]) == 2
    assert told in capsys.readouterr().err
