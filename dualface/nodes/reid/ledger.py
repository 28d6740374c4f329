"""Who each track is, from which frame on."""

from __future__ import annotations

import numpy as np

from dualface.graph.node import Snapshot


class Ledger:
    """Entries of a track are frames from which it is a person; the last one holds until it ends.

    What was answered already (before ``answered``) is never changed.

    >>> ledger = Ledger()
    >>> ledger.write(7, 0, 1)
    >>> ledger.write(7, 20, 2)
    >>> ledger.write(7, 15, 3)
    >>> [ledger.read(7, frame) for frame in (0, 14, 15, 30)]
    [1, 1, 3, 3]
    """

    def __init__(self) -> None:
        self.entries: dict[int, list[tuple[int, int]]] = {}
        self.answered = 0
        self.version = 0  # another one whenever something else is written

    def write(self, track: int, frame: int, person: int) -> None:
        """From ``frame`` on, the track is ``person``, whatever was written of later frames."""
        self.version += 1
        kept = [entry for entry in self.entries.get(track, ()) if entry[0] < frame]
        self.entries[track] = [*kept, (frame, person)]

    def read(self, track: int, frame: int) -> int:
        """Who the track is in this frame."""
        entries = self.entries[track]
        return next((person for first, person in reversed(entries) if first <= frame), entries[0][1])

    def unite(self, person: int, other: int) -> None:
        """``person`` was ``other`` all along."""
        self.version += 1
        for entries in self.entries.values():
            entries[:] = [(first, other if who == person else who) for first, who in entries]

    def answer(self, frame: int, alive: set[int]) -> None:
        """Frames before ``frame`` are answered; forget what only they needed, and tracks that are
        not ``alive``."""
        self.answered = frame
        self.entries = {track: entries for track, entries in self.entries.items() if track in alive}
        for entries in self.entries.values():
            while len(entries) > 1 and entries[1][0] <= frame:
                del entries[0]

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        rows = [(track, *entry) for track, entries in self.entries.items() for entry in entries]
        return {
            "rows": np.array(rows, np.int64).reshape(-1, 3),
            "answered": np.array(self.answered, np.int64),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.answered, self.entries = int(snapshot["answered"]), {}
        for track, first, person in snapshot["rows"].tolist():
            self.entries.setdefault(track, []).append((first, person))
