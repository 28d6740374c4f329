"""The outputs of YOLO networks for faces, read: from one array to boxes, scores and landmarks.

The five landmarks come in the order of `Faces`: these networks learn from pictures in which the
eye and the corner of the mouth on the picture's left are named first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualface.graph.types import Floats
from dualface.nodes.detect.heads import Found, best
from dualface.zoo import ModelError

# Numbers of a candidate → numbers of each of its five landmarks (0: it has none).
HEADS: Mapping[str, Mapping[int, int]] = {
    "yolov5-face": {16: 2, 6: 0},  # centre, size, objectness, x and y of landmarks, class
    "yolov8-face": {20: 3, 15: 2, 5: 0},  # centre, size, score, x, y (and visibility) of landmarks
}


def decode_yolo(answer: Any, head: str, name: str, score: float, nms: float, most: int) -> list[Found]:
    """The faces of each picture in the batch, in pixels of the network's input.

    ``answer`` is ``[n, candidates, numbers]`` of a v5 head, ``[n, numbers, candidates]`` of a v8
    head; ``score`` the least confidence (v5: objectness times class); boxes that overlap a better
    one by more than ``nms`` (IoU) are dropped, and beyond ``most`` the weakest. Landmarks are NaN
    where the network has none. Raises `ModelError`, which calls the model ``name``, where the
    answer is not that of such a head.
    """
    rows = _rows(np.asarray(answer), head, name)
    scores = rows[..., 4] * rows[..., -1] if head == "yolov5-face" else rows[..., 4]
    return [
        best(_read(picture[sure], one[sure], HEADS[head][rows.shape[2]]), nms, most)
        for picture, one in zip(rows, scores, strict=True)
        for sure in [one >= score]
    ]


def _rows(answer: Any, head: str, name: str) -> Any:
    """``[n, candidates, numbers]``."""
    numbers = HEADS[head]
    rows = answer if head == "yolov5-face" or answer.ndim != 3 else answer.transpose(0, 2, 1)
    if rows.ndim == 3 and rows.shape[2] in numbers:
        return rows
    counts = " or ".join(map(str, numbers))
    wanted = f"[n, candidates, {counts}]" if head == "yolov5-face" else f"[n, {counts}, candidates]"
    raise ModelError(
        f"the model '{name}' answers {list(answer.shape)}, but a {head} head gives {wanted}; "
        "correct detector.head in its descriptor, or export it with decoded boxes and without NMS"
    )


def _read(rows: Floats, scores: Floats, each: int) -> Found:
    centres, halves = rows[:, :2], np.maximum(rows[:, 2:4], 0) / 2
    landmarks = np.full((len(rows), 5, 2), np.nan, np.float32)
    if each:
        # Visibility goes: a guess at a hidden eye is more than none.
        landmarks[:] = rows[:, 5 : 5 + 5 * each].reshape(-1, 5, each)[..., :2]
    return Found(np.hstack([centres - halves, centres + halves]), scores, landmarks)
