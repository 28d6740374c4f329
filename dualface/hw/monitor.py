"""The machine while a run lasts: one thread looks at it at an interval and hands on what it saw."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from dualface.hw.history import History
from dualface.hw.sampling import Sample

PATIENCE = 2.0  # seconds that a run waits for a look at its beginning and at its end


class Monitor:
    """Calls ``look`` every ``interval`` seconds while it is entered, and ``hear`` with each `Sample`.

    The first look is over before the block begins, so that nothing starts on a full disk; only a driver
    that takes more than `PATIENCE` for it is not waited for. The last one is at the end. A look that
    fails, which none should, is the last one; ``hear`` is then told of a machine of which nothing is
    known, so that nobody waits for a sample that does not come.
    """

    def __init__(self, look: Callable[[], Sample], interval: float, hear: Callable[[Sample], None]) -> None:
        self._look, self._interval, self._hear = look, interval, hear
        self._over, self._seen = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="monitor", daemon=True)
        self._history, self._began = History(), 0.0
        self._reasons: Counter[str] = Counter()
        self._cpu_seconds = 0.0
        self._fault = ""
        self.latest: Sample | None = None

    def __enter__(self) -> Monitor:
        self._began = time.monotonic()
        self._thread.start()
        self._seen.wait(PATIENCE)
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE)

    def told(self) -> dict[str, Any]:
        """What was seen, as plain values, once the block has ended: see `History.told`. Also the CPU time
        that looking took, and the share of samples in which each reason held a GPU's clock down."""
        told = self._history.told()
        shares = {name: count / told["samples"] for name, count in sorted(self._reasons.items())}
        fault = {"fault": self._fault} if self._fault else {}
        return {
            "interval": self._interval,
            "cpu_seconds": self._cpu_seconds,
            **fault,
            **told,
            "throttle_reasons": shares,
        }

    def _work(self) -> None:
        due = time.monotonic()
        self._step()
        self._seen.set()
        while not self._fault:
            # What was missed, as on a machine that slept, is not made up for.
            due = max(due + self._interval, time.monotonic())
            ended = self._over.wait(due - time.monotonic())
            self._step()  # also at the end, of which a short run would else know nothing
            if ended:
                return

    def _step(self) -> None:
        before = time.thread_time()
        try:
            sample = self._look()
            self.latest = sample
            self._history.add(sample.seconds - self._began, sample.figures())
            self._reasons.update(
                f"gpu{gpu.index} {reason}" for gpu in sample.gpus for reason in gpu.throttle or ()
            )
            self._hear(sample)
        except Exception as error:
            self._fault = f"{type(error).__name__}: {error}"
            self._hear(Sample(time.monotonic()))
        self._cpu_seconds += time.thread_time() - before
