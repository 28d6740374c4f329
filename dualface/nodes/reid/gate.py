"""When a track may show somebody else: the signs of a swap, and which faces can settle it.

Pure functions on arrays; ``k`` is the number of faces in a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Bools
from dualface.nodes.track.plausible import FARTHEST, plausible

Array = npt.NDArray[np.float64]

# Why a face is to be recognised, the least of them first.
REASONS = ("none", "check", "near", "weak", "gap", "cut", "new")
NONE, CHECK, NEAR, WEAK, GAP, CUT, NEW = range(len(REASONS))

TOUCH = 0.05  # overlap (IoU) from which a tracker can take one face for the other
MOVED = 0.45  # overlap with the same track's box before, below which it may be another's
AWAY = 0.12  # seconds not found after which a track is found again, rather than blinked
LOST = 1.0  # seconds not found after which motion says nothing any more
SIDEWAYS = 0.5  # of the way from eyes to mouth: eyes that are nearer to each other are in profile
MISSED = 1.5  # looks after which a face was missed, where looks are rarer than that
AFTER = 0.3  # seconds after a cut in which whoever turns up is there because of it


def overlaps(boxes: Array, others: Array) -> tuple[Array, Array]:
    """IoU ``[k, m]`` of ``boxes`` ``[k, 4]`` with ``others`` ``[m, 4]``, and the share of each of
    ``boxes`` that each of the others covers, ``[k, m]``.

    >>> iou, share = overlaps(np.array([[0, 0, 10.0, 10]]), np.array([[0, 5, 20.0, 15]]))
    >>> iou.round(2).tolist(), share.tolist()
    ([[0.2]], [[0.5]])
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=2)
    area, their = (np.prod(np.maximum(b[:, 2:] - b[:, :2], 1e-3), axis=1) for b in (boxes, others))
    return shared / (area[:, None] + their - shared), shared / area[:, None]


def near(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the middles of two boxes are less than a box apart and the boxes about as large."""
    tall, their = a[3] - a[1], b[3] - b[1]
    across, down = a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]
    return max(abs(across), abs(down)) < tall + their and 0.67 < tall / max(their, 1e-3) < 1.5


def signs(away: Array, kept: Array, touching: Array, since_cut: float, pace: float = 0.0) -> Any:
    """The strongest reason ``[k]`` to look at each face.

    ``away`` is for how many seconds its track was not found before (infinite: never seen),
    ``kept`` the IoU with its box before, ``touching`` the largest IoU with anybody else's box now
    or a moment ago; ``since_cut`` are seconds, ``pace`` those from one look for faces to the next.

    >>> inf = np.inf
    >>> away, kept = np.array([0, 0, 0, 0.5, inf]), np.array([1, 1, 0.2, 1, 0])
    >>> found = signs(away, kept, np.array([0, 0.3, 0, 0, 0]), inf)
    >>> [REASONS[i] for i in found]
    ['none', 'near', 'weak', 'gap', 'new']
    """
    found = np.where(touching > TOUCH, NEAR, NONE)
    found = np.where(kept < MOVED, WEAK, found)
    found = np.where(away > max(AWAY, MISSED * pace), GAP, found)
    return np.where(away > patience(pace), CUT if since_cut <= AFTER else NEW, found)


def patience(pace: float) -> float:
    """Seconds not found after which motion says nothing any more."""
    return max(LOST, MISSED * pace)


def clean(
    boxes: Array, scores: Any, landmarks: Any, covered: Array, *, score: float, overlap: float, height: float
) -> Bools:
    """Which faces ``[k]`` are fit to be recognised: sure, not ``covered`` ``[k]`` by others, and tall
    enough, with landmarks; and such that they can be faces at all."""
    tall = boxes[:, 3] - boxes[:, 1] >= height
    known = (np.abs(landmarks) < FARTHEST).all(axis=(1, 2)) & plausible(boxes)
    return np.asarray((scores >= score) & (covered < overlap) & tall & known)


def sideways(landmarks: Any) -> Bools:
    """Which faces ``[k, 5, 2]`` look to the side: their eyes are nearer to each other than half of what
    they are from the mouth, where faces to the front have about the same."""
    points = np.asarray(landmarks, np.float64)
    across = np.linalg.norm(points[:, 1] - points[:, 0], axis=1)
    down = np.linalg.norm(points[:, 3:].mean(1) - points[:, :2].mean(1), axis=1)
    return np.asarray(across < SIDEWAYS * down)
