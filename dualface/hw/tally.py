"""What a run has come to so far: which jobs run, how many have ended how, how many frames are through."""

from __future__ import annotations

from collections import Counter

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.running.outcome import JobResult, Listener


class Tally:
    """A `Listener` that counts and hands everything on to ``listener``. ``failed`` jobs have failed
    before."""

    def __init__(self, listener: Listener, failed: int = 0) -> None:
        self._listener = listener
        self.running: dict[int, str] = {}  # the slot of each job, by its index, in order of their start
        self.ended: Counter[str] = Counter({"done": 0, "failed": failed, "interrupted": 0})
        self.frames = 0  # that have passed the last node, those of jobs that began again included
        self._through: dict[int, int] = {}

    def job_started(self, job: Job, slot: str) -> None:
        self.running = {**self.running, job.index: slot}  # a new one: others read it meanwhile
        self._listener.job_started(job, slot)

    def progress(self, job: Job, frames: int) -> None:
        before = self._through.get(job.index, 0)
        self.frames += frames - before if frames >= before else frames
        self._through[job.index] = frames
        self._listener.progress(job, frames)

    def event(self, job: Job, event: Event) -> None:
        self._listener.event(job, event)

    def job_finished(self, result: JobResult) -> None:
        self.running = {index: slot for index, slot in self.running.items() if index != result.job.index}
        self.ended[result.status] += 1
        self._listener.job_finished(result)
