"""Scene changes, found on a thumbnail of each frame's luma."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from dualface.graph.node import Snapshot

THUMB = (32, 18)
LEVELS = 24
MEMORY = 8  # frames whose ordinary change is remembered
FLAT = 4.0  # standard deviation of luma below which a picture shows nothing: black, white, fog


class CutFinder:
    """Says for each frame in turn whether it begins a new scene.

    Two things must break at once, far beyond what the last frames did: the layout (correlation
    of thumbnails, which a flash or a change of exposure leaves alone) and the distribution of
    brightness (which people or a camera that move leave alone). Pictures that show nothing are
    passed over, so that a white flash compares what was before with what comes after.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.layout: Any = None
        self.levels: Any = None
        self.usual: list[float] = []

    def look(self, luma: Any) -> bool:
        """Take the next frame's luma ``[h, w]`` uint8, of any size that stays the same."""
        thumb = cv2.resize(luma, THUMB, interpolation=cv2.INTER_AREA).astype(np.float32)
        spread = float(thumb.std())
        if spread < FLAT:
            return False
        layout = (thumb - thumb.mean()) / spread
        # Standardised as well: a flash moves and stretches the distribution but keeps its shape.
        levels = np.sort(layout, axis=None)
        before, self.layout = self.layout, layout
        before_levels, self.levels = self.levels, levels
        if before is None:
            return False
        moved = float(1.0 - np.mean(layout * before))
        reshaped = float(np.mean(np.abs(levels - before_levels)))
        change = moved + reshaped
        usual = float(np.median(self.usual)) if self.usual else 0.0
        cut = change > self.threshold and change > 4.0 * usual
        self.usual = [] if cut else [*self.usual, change][-MEMORY:]
        return cut

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        if self.layout is None:
            return {}
        return {"layout": self.layout, "levels": self.levels, "usual": np.array(self.usual, np.float64)}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.layout, self.levels = snapshot.get("layout"), snapshot.get("levels")
        self.usual = [float(x) for x in snapshot.get("usual", ())]
