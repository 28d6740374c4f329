"""Progress on stderr: a bar a job on a terminal, plain lines anywhere else."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.running.outcome import JobResult, Listener

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, Task, TaskID

STEP = 0.1  # of a job between two plain lines,
EVERY = 10.0  # or seconds, whichever comes first


@contextlib.contextmanager
def progress(jobs: Sequence[Job], *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Listener]:
    """The listener for a run of ``jobs``, while it lasts: bars where ``stream`` (stderr) is a
    terminal, else lines. ``quiet`` leaves only warnings and failures, as lines."""
    stream = stream or sys.stderr
    if quiet or not _is_terminal(stream):
        yield Lines(len(jobs), stream, quiet=quiet)
        return
    from rich.console import Console

    bars = Bars(len(jobs), Console(file=stream))
    with bars.bars:
        yield bars


def _is_terminal(stream: TextIO) -> bool:
    with contextlib.suppress(AttributeError, ValueError):  # a stand-in for a stream, or a closed one
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def summary(result: JobResult) -> str:
    """How a job ended, in one line."""
    name, seconds = result.job.name, result.seconds
    kept = result.kept_seconds
    if result.status == "failed":
        on = "" if kept is None else f" (resume=true goes on from {clock(kept)})"
        return f"{name}: failed: {result.error}{on}"
    if result.status == "interrupted":
        how = (
            "its unfinished output is removed" if kept is None else f"resume=true goes on from {clock(kept)}"
        )
        return f"{name}: stopped after {result.frames_out} frames; {how}"
    if result.status == "skipped":
        return f"{name}: was done before -> {', '.join(result.outputs)}"
    rate = "" if result.fps is None else f", {result.fps:.1f} frames/s"
    return f"{name}: done, {result.frames_out} frames in {seconds:.1f} s{rate} -> {', '.join(result.outputs)}"


def told(job: Job, event: Event) -> str:
    """An event in one line."""
    frame = "" if event.frame is None else f" (frame {event.frame})"
    return f"{job.name}: {event.kind}: {event.message}{frame}"


@dataclass
class _Lap:
    start: float
    first: int = 0  # how many were done when `start` was
    frames: int = 0
    shown_at: float = 0.0
    shown_frames: int = 0


class Lines:
    """One plain line for a start, each tenth of a job or ten seconds, an event, an end."""

    def __init__(self, jobs: int, stream: TextIO, *, quiet: bool = False) -> None:
        self._jobs = jobs
        self._stream = stream
        self._quiet = quiet
        self._laps: dict[Job, _Lap] = {}
        self._ended = 0

    def job_started(self, job: Job, slot: str) -> None:
        now = time.monotonic()
        self._laps[job] = _Lap(now, shown_at=now)
        length = f"{job.frames} frames" if job.frames else "length unknown"
        self._write(f"{job.name}: started, {job.video.width}x{job.video.height}, {length}")

    def progress(self, job: Job, frames: int) -> None:
        lap, now = self._laps[job], time.monotonic()
        if frames <= lap.frames or not lap.frames:  # at the beginning, or going on from somewhere
            lap.start, lap.first, lap.frames = now, frames, frames
            lap.shown_frames = min(lap.shown_frames, frames)
            return
        lap.frames = frames
        far = bool(job.frames) and frames - lap.shown_frames >= STEP * job.frames
        if frames == job.frames or not (far or now - lap.shown_at >= EVERY):
            return
        lap.shown_at, lap.shown_frames = now, frames
        rate = (frames - lap.first) / max(now - lap.start, 1e-9)
        if job.frames > frames:
            share = f"{100 * frames // job.frames}%"
            self._write(
                f"{job.name}: {share}, {rate:.1f} frames/s, {clock((job.frames - frames) / rate)} left"
            )
        else:
            self._write(f"{job.name}: {frames} frames, {rate:.1f} frames/s")

    def event(self, job: Job, event: Event) -> None:
        self._write(told(job, event), always=event.kind != "notice")

    def job_finished(self, result: JobResult) -> None:
        self._ended += 1
        count = f"[{self._ended}/{self._jobs}] " if self._jobs > 1 else ""
        self._write(count + summary(result), always=result.status == "failed")

    def _write(self, line: str, always: bool = False) -> None:
        if always or not self._quiet:
            # A name may hold what the stream's encoding cannot.
            encoding = self._stream.encoding or "utf-8"
            safe = line.encode(encoding, "backslashreplace").decode(encoding)
            print(safe, file=self._stream, flush=True)


class Bars:
    """A bar for each running job, a line over all where there are several, events above."""

    def __init__(self, jobs: int, console: Console) -> None:
        self.bars = _bars(console)
        self._console = console
        self._tasks: dict[Job, TaskID] = {}
        self._moving: set[TaskID] = set()
        self._all = self.bars.add_task(f"{jobs} jobs", total=jobs, unit="job") if jobs > 1 else None

    def job_started(self, job: Job, slot: str) -> None:
        self._tasks[job] = self.bars.add_task(job.name, total=job.frames or None, unit="frame")

    def progress(self, job: Job, frames: int) -> None:
        task = self._tasks[job]
        # Containers count wrongly at times: a bar never ends before its job.
        total = max(job.frames, frames) if job.frames else None
        if task not in self._moving:  # what was done before, in no time, is no speed
            self._moving.add(task)
            self.bars.reset(task, completed=frames, total=total)
        self.bars.update(task, completed=frames, total=total)

    def event(self, job: Job, event: Event) -> None:
        self._print(told(job, event), "" if event.kind == "notice" else "yellow")

    def job_finished(self, result: JobResult) -> None:
        self._print(summary(result), {"failed": "red", "done": "green"}.get(result.status, ""))
        self.bars.remove_task(self._tasks.pop(result.job))
        if self._all is not None:
            self.bars.advance(self._all)

    def _print(self, line: str, style: str) -> None:
        # Names are not markup: "[red]" may be part of one.
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """A time as people read it.

    >>> clock(9.6), clock(75), clock(4000)
    ('0:10', '1:15', '1:06:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _bars(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Figures(ProgressColumn):
        """Share, speed and time left; what is not known is not shown."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            done, rate = int(task.completed), task.speed
            if task.fields["unit"] == "job":
                return Text(f"{done}/{int(task.total or 0)} done")
            parts = [f"{task.percentage:3.0f}%" if task.total else f"{done} frames"]
            if rate:
                parts.append(f"{rate:.1f} frames/s")
            if rate and task.total:
                parts.append(f"{clock(max(0.0, task.total - done) / rate)} left")
            return Text("  ".join(parts))

    name = Column(max_width=32, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=24),
        Figures(),
        console=console,
        transient=True,
    )
