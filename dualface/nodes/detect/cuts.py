"""Scene changes, found on a thumbnail of each frame's luma."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.node import Snapshot

Thumb = npt.NDArray[np.float32]

THUMB = (32, 18)
EMPTY = 4.0  # spread (standard deviation) of luma below which a picture shows nothing: black, white, fog
FAINT = 20.0  # spread below which a picture shows so little that somebody who steps in changes it all
WHITE = 225.0  # luma from which a cell of the thumbnail is as good as saturated
DARKER = 6.0  # grey levels from which a cell is darker than it was
FLASH = 3  # frames for which a picture to which light was only added may be a flash
LIGHT = 0.03  # share of cells that may be darker all the same: somebody moves
RECENT = 4  # frames whose own changes a cut has to exceed, so that pans and fast hands are none
SUDDEN = 4.0  # how many times
LONG = 15  # frames that show nothing, after which whatever comes is a new scene
MEMORY = LONG + RECENT + 1  # frames that an answer depends on


class CutFinder:
    """Says for each frame in turn whether it begins a new scene.

    Thumbnails are centred and scaled by their spread, which takes out exposure; cells that a
    flash drives into white are left out. What then differs from the frame before, in layout and
    in the shares of bright and dark, must exceed ``threshold``, and by far what the last frames
    did. Pictures that show nothing are passed over: what comes after a white flash is compared
    with what was before. So are, for a few frames, those to which light was only added: another
    scene is darker somewhere.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.before: _Look | None = None  # at the last thumbnail that showed something
        self.empty = 0  # frames that showed nothing since
        self.recent = [0.0] * RECENT

    def look(self, now: Thumb) -> bool:
        """Take the next frame's thumbnail ``[18, 32]``, see `thumb`."""
        seen = _Look(now)
        empty = seen.spread < EMPTY
        change = None if empty else 0.0 if self.before is None else _difference(self.before, seen)
        sudden = change is not None and change > self.threshold and change > SUDDEN * max(self.recent)
        if change is None or (sudden and self.empty < FLASH and self._lit(now)):
            self.empty = min(self.empty + 1, LONG)
            if self.empty == LONG:
                self.before = None
            self.recent = [*self.recent[1:], 0.0]
            return False
        after_nothing = self.empty == LONG
        self.before, self.empty = seen, 0
        self.recent = [*self.recent[1:], change]
        return sudden or after_nothing

    def _lit(self, now: Thumb) -> bool:
        """Whether a flash could have made this of the picture before."""
        return self.before is not None and float(np.mean(now < self.before.thumb - DARKER)) < LIGHT

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        made = {"empty": np.array(self.empty, np.int64), "recent": np.array(self.recent, np.float64)}
        return made if self.before is None else {**made, "before": self.before.thumb}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.before = _Look(snapshot["before"]) if "before" in snapshot else None
        self.empty, self.recent = int(snapshot["empty"]), snapshot["recent"].tolist()


def thumb(luma: Any) -> Thumb:
    """The thumbnail of a picture's luma ``[h, w]`` uint8."""
    return np.asarray(cv2.resize(luma, THUMB, interpolation=cv2.INTER_AREA), np.float32)


def difference(a: Thumb, b: Thumb) -> float | None:
    """How much two thumbnails differ, 0 to about 2; ``None`` where too little is left to say.

    Half the mean square (one less the correlation, for pictures of much contrast), and how far
    the sorted samples lie apart.
    """
    return _difference(_Look(a), _Look(b))


class _Look:
    """A thumbnail with what comparing it takes, made once though it is compared twice."""

    __slots__ = ("bright", "ordered", "samples", "spread", "thumb")

    def __init__(self, thumb: Thumb) -> None:
        self.thumb = thumb
        self.samples, self.spread = _standard(thumb.ravel())
        self.ordered = np.sort(self.samples)
        self.bright = bool(thumb.max() >= WHITE)


def _difference(a: _Look, b: _Look) -> float | None:
    if not (a.bright or b.bright):
        return _distance(a.samples, b.samples, a.ordered, b.ordered)
    kept = (a.thumb < WHITE) == (b.thumb < WHITE)
    if np.count_nonzero(kept) < kept.size / 4:
        return None
    first, second = _standard(a.thumb[kept])[0], _standard(b.thumb[kept])[0]
    return _distance(first, second, np.sort(first), np.sort(second))


def _distance(first: Thumb, second: Thumb, ordered: Thumb, other: Thumb) -> float:
    apart = first - second
    layout = float(apart @ apart) / len(apart) / 2
    return layout + float(np.abs(ordered - other).sum()) / len(apart)


def _standard(samples: Thumb) -> tuple[Thumb, float]:
    """Samples ``[n]`` from their mean in units of their spread, and that spread."""
    centred = samples - samples.sum() / len(samples)
    spread = math.sqrt(float(centred @ centred) / len(centred))
    return np.asarray(centred * np.float32(1 / math.hypot(spread, FAINT)), np.float32), spread
