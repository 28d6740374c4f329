"""When a tile's person is somebody else, as told from a tracker that lost and found the same one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dualface.graph.node import Snapshot
from dualface.nodes.camera.framing import Array

NEAR = 1.0  # in faces: who turns up nearer than this to where somebody was lost is the same person
ALIKE = 1.5  # and whose face is at most so many times as large or as small


class Changes:
    """Keeps in mind who was last seen in each of ``tiles`` tiles, and where.

    Persons are numbers that `reid` gives; where nobody is recognised, a new number may be the same
    person, found again. So somebody is another one only if the number is another and the place too.
    """

    def __init__(self, tiles: int) -> None:
        self.persons = np.full(tiles, -1, np.int64)
        self.anchors = np.full((tiles, 3), np.nan)

    def find(
        self, anchors: Array, persons: npt.NDArray[np.int64], cuts: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """``[n, tiles]``: where somebody else is to be seen from this frame on, for the next ``anchors``
        ``[n, tiles, 3]`` and ``persons`` ``[n, tiles]``. Nobody changes where a scene begins (``cuts``)."""
        changed = np.zeros(persons.shape, bool)
        for frame in range(len(persons)):
            if cuts[frame]:
                self.persons[:] = -1
            here = persons[frame] >= 0
            if (persons[frame] == self.persons)[here].all():
                self.anchors[here] = anchors[frame, here]
                continue
            for tile in np.flatnonzero(here):
                known = self.persons[tile] >= 0 and self.persons[tile] != persons[frame, tile]
                changed[frame, tile] = known and _elsewhere(self.anchors[tile], anchors[frame, tile])
            self.persons[here], self.anchors[here] = persons[frame, here], anchors[frame, here]
        return changed

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        return {"persons": self.persons.copy(), "anchors": self.anchors.copy()}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.persons, self.anchors = snapshot["persons"].copy(), snapshot["anchors"].copy()


def _elsewhere(before: Array, now: Array) -> bool:
    size = max(before[2], now[2])
    return bool(np.hypot(*(now[:2] - before[:2])) > NEAR * size or size > ALIKE * min(before[2], now[2]))
