"""Batches that wait for the future which their answers look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.types import Cuts, Tracks

TRACKS = ("counts", "boxes", "scores", "landmarks", "ids")


class Owed(list[tuple[Tracks, Cuts]]):
    """What is not answered yet, the oldest first."""

    def due(self, window: int) -> bool:
        """Whether ``window`` frames are known behind the oldest batch."""
        return sum(len(tracks) for tracks, _ in self[1:]) >= window

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        made: dict[str, Any] = {"count": np.array(len(self), np.int64)}
        for i, (tracks, cuts) in enumerate(self):
            made |= {f"{i}.{name}": getattr(tracks, name) for name in TRACKS}
            made |= {f"{i}.flags": cuts.flags, f"{i}.seconds": cuts.seconds}
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self[:] = [
            (
                Tracks(*(snapshot[f"{i}.{name}"] for name in TRACKS)),
                Cuts(snapshot[f"{i}.flags"], snapshot[f"{i}.seconds"]),
            )
            for i in range(int(snapshot["count"]))
        ]
