"""Which detections can be faces at all, whatever a detector gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Faces, spans

FARTHEST = 1e5  # pixels from the picture's corner; no picture is as large


def plausible(boxes: Any) -> npt.NDArray[np.bool_]:
    """Which boxes ``[k, 4]`` are finite, in reach of a picture and not empty.

    >>> plausible(np.array([(0, 0, 9, 9), (0, 0, np.nan, 9), (5, 5, 5, 9), (0, 0, 1e9, 9)])).tolist()
    [True, False, False, False]
    """
    near = (np.abs(boxes) < FARTHEST).all(axis=1)  # false for NaN too
    return np.asarray(near & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def only_plausible(faces: Faces) -> Faces:
    """The faces without those that cannot be any; the same object where all can."""
    good = plausible(faces.boxes) & np.isfinite(faces.scores)
    if good.all():
        return faces
    return replace(
        faces,
        counts=np.array([good[span].sum() for span in spans(faces.counts)], np.int64),
        boxes=faces.boxes[good],
        scores=faces.scores[good],
        landmarks=faces.landmarks[good],
    )
