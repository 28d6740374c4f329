"""What people see while a run goes on."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from rich.console import Console

from dualface import progress as module
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.running.outcome import JobResult
from dualface.graph.types import Video
from dualface.progress import Bars, Lines, progress

JOB = Job(
    "한글 [red] 이름", "x.mp4", Path("x"), Video(640, 360, Fraction(1, 30)), 100, 4.0, "h264", "yuv420p"
)
DONE = JobResult(JOB, "done", "", "cpu 0", 2.0, 100, 100, outputs=("x_dual.mp4",))
WARNING = Event("warning", "the file breaks off", "decode", 60)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a test moves it."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_plain_lines(clock: list[float]) -> None:
    stream = io.StringIO()
    with progress([JOB], stream=stream) as listener:
        listener.job_started(JOB, "cpu 0")
        for frames in range(8, 101, 8):
            clock[0] += 0.1
            listener.progress(JOB, frames)
        listener.event(JOB, WARNING)
        listener.progress(JOB, 100)
        listener.job_finished(DONE)
    name = "한글 [red] 이름"
    assert lines(stream) == [
        f"{name}: started, 640x360, 100 frames",
        *(f"{name}: {n}%, 80.0 frames/s, 0:0{left} left" for n, left in [(16, 1), (32, 1), (48, 1)]),
        *(f"{name}: {n}%, 80.0 frames/s, 0:00 left" for n in (64, 80, 96)),
        f"{name}: warning: the file breaks off (frame 60)",
        f"{name}: done, 100 frames in 2.0 s, 50.0 frames/s -> x_dual.mp4",
    ]


def test_what_was_done_before_is_no_speed(clock: list[float]) -> None:
    stream = io.StringIO()
    listener = Lines(1, stream)
    listener.job_started(JOB, "cpu 0")
    for frames in (68, 76, 84, 44, 52):  # goes on at 60; then a recovery at 36
        clock[0] += 0.1
        listener.progress(JOB, frames)
    listener.job_finished(replace(DONE, frames_before=60, seconds=0.5))
    name = "한글 [red] 이름"
    assert lines(stream)[1:] == [
        f"{name}: 76%, 80.0 frames/s, 0:00 left",
        f"{name}: done, 100 frames in 0.5 s, 80.0 frames/s -> x_dual.mp4",
    ]


def test_lines_every_ten_seconds_where_the_length_is_unknown(clock: list[float]) -> None:
    stream, job = io.StringIO(), replace(JOB, name="live", frames=0)
    listener = Lines(1, stream)
    listener.job_started(job, "cpu 0")
    for second in range(1, 25):
        clock[0] += 1
        listener.progress(job, 30 * second)
    assert lines(stream) == [
        "live: started, 640x360, length unknown",
        "live: 300 frames, 30.0 frames/s",
        "live: 600 frames, 30.0 frames/s",
    ]


def test_jobs_are_counted_where_there_are_several() -> None:
    stream, other = io.StringIO(), replace(JOB, name="b", index=1)
    listener = Lines(2, stream)
    for job in (JOB, other):
        listener.job_started(job, "cpu 0")
    listener.job_finished(JobResult(other, "failed", "b.mp4: has no frames"))
    listener.job_finished(JobResult(JOB, "interrupted", "Stopped before its end.", frames_out=8))
    assert lines(stream)[2:] == [
        "[1/2] b: failed: b.mp4: has no frames",
        "[2/2] 한글 [red] 이름: stopped after 8 frames; its unfinished output is removed",
    ]


def test_quiet_leaves_warnings_and_failures() -> None:
    stream = io.StringIO()
    with progress([JOB], quiet=True, stream=stream) as listener:
        listener.job_started(JOB, "cpu 0")
        listener.progress(JOB, 50)
        listener.event(JOB, Event("notice", "10 bits"))
        listener.event(JOB, WARNING)
        listener.job_finished(DONE)
        listener.job_finished(replace(DONE, status="failed", error="b.mp4: is damaged"))
    assert [line.split(": ", 1)[1] for line in lines(stream)] == [
        "warning: the file breaks off (frame 60)",
        "failed: b.mp4: is damaged",
    ]


def test_a_stream_that_cannot_show_a_name_does_not_stop_the_run() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Lines(1, stream).job_finished(DONE)
    assert raw.getvalue().startswith(rb"\ud55c\uae00 [red]")


def shown(bars: Bars) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    console.print(bars.bars.get_renderable())
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_bars_show_share_and_count_and_take_names_as_they_are() -> None:
    stream, unknown = io.StringIO(), replace(JOB, name="live", frames=0, index=1)
    bars = Bars(2, Console(file=stream, width=100, color_system=None))
    for job in (JOB, unknown):
        bars.job_started(job, "cpu 0")
        bars.progress(job, 40)
    text = shown(bars)
    assert "한글 [red] 이름" in text
    assert " 40%" in text
    assert "40 frames" in text
    assert "0/2 done" in text
    bars.progress(JOB, 120)  # more than the container claimed
    assert "100%" in shown(bars)
    bars.event(JOB, WARNING)
    bars.job_finished(DONE)
    assert "한글" not in shown(bars)
    assert "1/2 done" in shown(bars)
    assert "한글 [red] 이름: warning: the file breaks off (frame 60)" in stream.getvalue()
    assert "한글 [red] 이름: done, 100 frames" in stream.getvalue()
