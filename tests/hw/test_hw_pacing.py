"""Who pauses, who starts and who is given up."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.running.outcome import JobResult
from dualface.graph.types import Video
from dualface.hw.pacing import Pacing, Places
from dualface.hw.pressure import Limits
from dualface.hw.sampling import Gpu, Sample
from dualface.hw.tally import Tally

VIDEO = Video(64, 48, Fraction(1, 30))
JOBS = [
    Job(f"j{n}", f"{n}.mp4", Path(f"{n}.out"), VIDEO, 10, 1.0, "h264", "yuv420p", index=n) for n in range(6)
]
GPUS = {"a": 0, "b": 0, "c": 0, "d": 1}
HOT, COOL = ("thermal slowdown",), ()


class Quiet:
    def job_started(self, job: Job, slot: str) -> None: ...
    def progress(self, job: Job, frames: int) -> None: ...
    def event(self, job: Job, event: Event) -> None: ...
    def job_finished(self, result: JobResult) -> None: ...


class Table:
    """A run of six jobs: 0 to 4 write to /x, the last to /y; ``see`` is one sample a second."""

    def __init__(self, **limits: object) -> None:
        self.tally = Tally(Quiet())
        disks = {n: (0,) for n in range(5)} | {5: (1,)}
        given = {"disk_mb": 100, "patience": 20, "calm": 30, "slots": {0: 3, 1: 1}, **limits}
        self.pacing = Pacing(Limits(**given), Places(GPUS, disks, [Path("/x"), Path("/y")]), self.tally)
        self.now = 0.0

    def see(
        self, times: int = 1, x: float = 999, y: float = 999, hot: bool = False, used: float = 10
    ) -> None:
        for _ in range(times):
            self.now += 1
            gpu = Gpu(0, vram_used_mb=used, vram_total_mb=100, throttle=HOT if hot else COOL)
            self.pacing.take(Sample(self.now, free_mb=(x, y), gpus=(gpu, Gpu(1))))

    def start(self, number: int, slot: str) -> None:
        self.tally.job_started(JOBS[number], slot)

    def end(self, number: int) -> None:
        self.tally.job_finished(JobResult(JOBS[number], "done"))

    def held(self, number: int, slot: str = "z") -> str | None:
        return self.pacing.hold(slot, JOBS[number])


def test_before_the_first_sample_and_on_a_calm_machine_all_go_on() -> None:
    table = Table()
    assert not any(table.held(n) for n in range(6))
    table.see()
    assert not any(table.held(n, "a") for n in range(6))
    assert table.pacing.events == []


def test_a_full_disk_holds_those_who_write_there() -> None:
    table = Table()
    table.start(0, "z")
    table.see(x=60.4)
    sentence = "only 60 MiB are free in /x (monitor.disk_mb=100); it goes on with 125 MiB."
    assert table.held(0) == table.held(1) == sentence
    assert table.held(5) is None
    table.see(x=130)
    assert table.held(0) is None
    assert table.pacing.events == [
        {"seconds": 0.0, "message": "Only" + sentence[4:]},
        {"seconds": 1.0, "message": "/x has room again."},
    ]


def test_the_job_that_started_last_is_given_up_first_then_those_that_wait() -> None:
    table = Table()
    for number in (2, 0):
        table.start(number, "z")
    table.see(20, x=50)
    assert table.held(0)
    table.see(x=50)
    with pytest.raises(InputError, match=r"^/x has had less than 100 MiB free .* for 20 s .* is given up"):
        table.held(0)
    assert table.held(2)
    table.see(9, x=50)
    assert table.held(1)  # the first one's file may still make room
    table.end(0)
    table.see(x=50)
    with pytest.raises(InputError):
        table.held(2)
    assert table.held(1)
    table.end(2)
    table.see(10, x=50)
    with pytest.raises(InputError, match=r"the job is given up\. Make room"):
        table.held(1)
    table.start(1, "z")  # in order to fail
    with pytest.raises(InputError, match=r"the job is given up\. Make room"):
        table.held(1)
    assert table.held(5) is None
    table.see(x=200)
    assert table.held(3) is None


def test_with_patience_without_end_nobody_is_given_up() -> None:
    table = Table(patience=None)
    table.start(0, "z")
    table.see(5000, x=50)
    assert table.held(0)


def test_heat_pauses_what_started_last_on_that_gpu() -> None:
    table = Table()
    for number, slot in enumerate("bca"):
        table.start(number, slot)
    table.start(5, "d")
    table.see(7, hot=True)
    assert [table.held(0, "b"), table.held(1, "c"), table.held(5, "d")] == [None] * 3
    assert table.held(2, "a") == "GPU 0 holds its clock down (thermal slowdown); 2 of its 3 slots go on."
    table.see(60, hot=True)
    assert table.held(0, "b") is None  # never the last one
    assert table.held(1, "c")
    table.end(0)
    assert table.held(1, "c") is None  # it is the last one now
    table.see(62)
    assert table.held(2, "a") is None
    assert len(table.pacing.events) == 4  # two slots taken, two given back
    assert table.pacing.events[-1]["message"] == "GPU 0 gets a slot back: its clock is free again."


def test_a_lack_of_vram_lets_who_runs_go_on_and_nobody_start() -> None:
    table = Table()
    for number, slot in enumerate("abc"):
        table.start(number, slot)
    table.see(7, used=97)
    assert [table.held(n, slot) for n, slot in enumerate("abc")] == [None] * 3
    table.end(1)
    assert table.held(3, "b") == (
        "GPU 0 has little memory left (monitor.vram_percent=95); 2 of its 3 slots go on."
    )
    assert table.held(3, "d") is None  # of the other GPU
    table.end(0)
    assert table.held(3, "b") is None


def test_a_tally_counts_and_hands_on() -> None:
    table = Table()
    tally = table.tally
    table.start(0, "a")
    table.start(1, "b")
    for frames in (4, 8, 2, 6):  # it began again after 8
        tally.progress(JOBS[0], frames)
    tally.progress(JOBS[1], 5)
    tally.job_finished(JobResult(JOBS[0], "failed"))
    assert tally.running == {1: "b"}
    assert tally.frames == 8 + 6 + 5
    assert tally.ended == {"done": 0, "failed": 1, "interrupted": 0}
