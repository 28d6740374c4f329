"""Timestamps that an encoder can take: the source's own, and strictly increasing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from dualface.graph.node import Snapshot


class Timeline:
    """Gives each picture its time in the stream's ``time_base``.

    A picture keeps its own timestamp wherever that is later than the one before. Without one, it
    follows the picture before at the usual distance. Where time jumps back by more than a second
    (recordings joined together), all that follows moves on by the jump; a smaller step back is
    one tick later than the picture before. ``repaired`` counts pictures that did not keep theirs.
    """

    def __init__(self, time_base: Fraction, frame_rate: Fraction | None) -> None:
        self.step = max(1, round(1 / (time_base * (frame_rate or 25))))
        self.second = max(1, round(1 / time_base))
        self.last: int | None = None
        self.shift = 0
        self.repaired = 0

    def place(self, pts: int | None, dts: int | None = None) -> int:
        """The time of the next picture.

        >>> line = Timeline(Fraction(1, 1000), Fraction(25))
        >>> [line.place(t) for t in (0, 40, None, 75, 5000, 0, 40)]
        [0, 40, 80, 81, 5000, 5040, 5080]
        >>> line.repaired
        4
        """
        stamp = pts if pts is not None else dts
        if stamp is None:
            placed = 0 if self.last is None else self.last + self.step
        else:
            placed = stamp + self.shift
            if self.last is not None and placed <= self.last:
                if self.last - placed > self.second:
                    self.shift += self.last + self.step - placed
                    placed = self.last + self.step
                else:
                    placed = self.last + 1
        if pts is None or placed != pts:
            self.repaired += 1
        self.last = placed
        return placed

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        last = 0 if self.last is None else self.last
        return {"timeline": np.array([self.last is not None, last, self.shift, self.repaired], np.int64)}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        placed, last, self.shift, self.repaired = snapshot["timeline"].tolist()
        self.last = last if placed else None
