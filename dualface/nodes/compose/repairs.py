"""The account of repaired tiles: counted, told once at the first and once at the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualface.graph.node import Context, Event, Snapshot
from dualface.nodes.compose.policy import WORDS, Action, Reason


class Repairs:
    """Counts tiles by what was wrong and by what they show instead."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._counts = np.zeros((len(Reason), len(Action)), np.int64)
        self._first = -1

    @property
    def total(self) -> int:
        """Tiles repaired so far."""
        return int(self._counts.sum())

    def add(self, tile: str, frame: int, reason: Reason, action: Action, error: Exception | None) -> None:
        """Tile ``tile`` of frame ``frame`` shows ``action`` because of ``reason``."""
        if self._first < 0:
            self._first = frame
            event = f"tile '{tile}': {because(reason, error)}, so that it shows {SHOWN[action]}"
            self._context.emit(Event("recovery", event, self._context.name, frame))
        self._counts[reason, action] += 1
        self._context.report("tiles_repaired", self._told())

    def summary(self) -> None:
        """Tell of all repairs, if there was more than the one that was told of."""
        if self.total > 1:
            told = self._told()
            what = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in told["by_reason"].items())
            shown = ", ".join(f"{n} {name}" for name, n in told["by_action"].items())
            message = f"{self.total} tiles were repaired from frame {self._first} on ({what}); shown: {shown}"
            self._context.emit(Event("warning", message, self._context.name))

    def _told(self) -> dict[str, Any]:
        by_reason, by_action = self._counts.sum(axis=1).tolist(), self._counts.sum(axis=0).tolist()
        return {
            "total": self.total,
            "by_reason": {r.name: n for r, n in zip(Reason, by_reason, strict=True) if n},
            "by_action": {a.name: n for a, n in zip(Action, by_action, strict=True) if n},
        }

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        return {"repairs": self._counts.copy(), "first_repair": np.array(self._first)}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self._counts, self._first = snapshot["repairs"].copy(), int(snapshot["first_repair"])
        if self.total:
            self._context.report("tiles_repaired", self._told())


SHOWN = {
    Action.last: "its last good picture",
    Action.wide: "the whole picture",
    Action.blank: "nothing",
}


def because(reason: Reason, error: Exception | None) -> str:
    """The reason in words."""
    text = " ".join(str(error).split()) if error else ""
    return f"{WORDS[reason]} ({text})" if text else WORDS[reason]


class TileError(Exception):
    """A tile went wrong where the policy is to fail."""

    def __init__(self, tile: str, frame: int, reason: Reason) -> None:
        super().__init__(f"tile '{tile}' of frame {frame}: {WORDS[reason]}; on_error=last would go on")
