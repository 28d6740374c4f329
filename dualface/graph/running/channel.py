"""The bounded queue between two stages."""

from __future__ import annotations

import threading
import time
from collections import deque

from dualface.graph.running.batch import Batch
from dualface.graph.running.outcome import QueueUse


class Aborted(Exception):
    """The job is being abandoned; the stage ends without a word."""


class Channel:
    """Batches in order, at most ``size`` waiting, from one stage to the next.

    No call can block for ever: `abort` wakes both sides with `Aborted`. (``queue.Queue`` has no
    such thing before Python 3.13, and nothing that measures how full it is over time.)
    """

    def __init__(self, stage: str, size: int) -> None:
        self.stage = stage
        self.size = size
        self._waiting: deque[Batch] = deque()
        self.putting = self.getting = False  # whether somebody waits in there
        self._changed = threading.Condition()
        self._ended = self._aborted = False
        self._born = self._since = time.monotonic()
        self._area = 0.0  # depth x seconds
        self._max = 0

    def put(self, batch: Batch) -> None:
        """Hand ``batch`` on; waits while the queue is full."""
        with self._changed:
            while len(self._waiting) >= self.size and not self._aborted:
                self.putting = True
                self._changed.wait()
            self.putting = False
            if self._aborted:
                raise Aborted
            self._measure()
            self._waiting.append(batch)
            self._max = max(self._max, len(self._waiting))
            self._changed.notify_all()

    def get(self) -> Batch | None:
        """The next batch, or ``None`` when no more will come; waits while there is none."""
        with self._changed:
            while not (self._waiting or self._ended or self._aborted):
                self.getting = True
                self._changed.wait()
            self.getting = False
            if self._aborted:
                raise Aborted
            if not self._waiting:
                return None
            self._measure()
            self._changed.notify_all()
            return self._waiting.popleft()

    def end(self) -> None:
        """No more batches will come."""
        with self._changed:
            self._measure()
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Wake whoever waits, and let go of what is waiting."""
        with self._changed:
            self._measure()
            self._aborted = True
            self._waiting.clear()
            self._changed.notify_all()

    def use(self) -> QueueUse:
        """How full the queue was, from its making to the last change."""
        with self._changed:
            lived = self._since - self._born
            return QueueUse(self.stage, self.size, self._area / lived if lived else 0.0, self._max)

    def _measure(self) -> None:
        now = time.monotonic()
        self._area += len(self._waiting) * (now - self._since)
        self._since = now
