"""The user's listener, as the threads of a run may call it."""

from __future__ import annotations

import threading
from typing import Any

from dualface.graph.job import Job
from dualface.graph.node import Event
from dualface.graph.running.outcome import JobResult, Listener


class Told:
    """A listener behind a lock; one that raises is not called again."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._lock = threading.Lock()

    def job_started(self, job: Job, slot: str) -> None:
        self._tell("job_started", job, slot)

    def progress(self, job: Job, frames: int) -> None:
        self._tell("progress", job, frames)

    def event(self, job: Job, event: Event) -> None:
        self._tell("event", job, event)

    def job_finished(self, result: JobResult) -> None:
        self._tell("job_finished", result)

    def mute(self) -> None:
        """Call it no more, not even for a thread that is still at work."""
        self._listener = None

    def _tell(self, what: str, *args: Any) -> None:
        with self._lock:
            try:
                if self._listener is not None:
                    getattr(self._listener, what)(*args)
            except Exception:
                self._listener = None
