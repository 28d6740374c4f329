"""The outputs of YOLO networks for faces, read: from one array to boxes, scores and landmarks.

The five landmarks come in the order of `Faces`: these networks learn from pictures in which the
eye and the corner of the mouth on the picture's left are named first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dualface.graph.types import Floats
from dualface.nodes.detect.heads import Found, best
from dualface.zoo import ModelError

V5, V8 = "yolov5-face", "yolov8-face"
# Numbers of a candidate → numbers of each of its five landmarks (0: it has none).
HEADS: Mapping[str, Mapping[int, int]] = {
    V5: {16: 2, 6: 0},  # centre, size, objectness, x and y of landmarks, class
    V8: {20: 3, 15: 2, 5: 0},  # centre, size, score, x, y (and visibility) of landmarks
}


def decode_yolo(answer: Any, head: str, name: str, score: float, nms: float, most: int) -> list[Found]:
    """The faces of each picture in the batch, in pixels of the network's input.

    ``answer`` is ``[n, candidates, numbers]`` of a v5 head, ``[n, numbers, candidates]`` of a v8
    head; ``score`` the least confidence (v5: objectness times class); boxes that overlap a better
    one by more than ``nms`` (IoU) are dropped, and beyond ``most`` the weakest. Landmarks are NaN
    where the network has none. Raises `ModelError`, which calls the model ``name``, where the
    answer is not that of such a head.
    """
    rows = np.asarray(answer)
    shape_of(rows.shape, head, name)
    rows = rows if head == V5 else rows.transpose(0, 2, 1)
    scores = rows[..., 4] * rows[..., -1] if head == V5 else rows[..., 4]
    return [
        best(_read(picture[sure], one[sure], HEADS[head][rows.shape[2]]), nms, most)
        for picture, one in zip(rows, scores, strict=True)
        for sure in [one >= score]
    ]


def shape_of(shape: Sequence[int], head: str, name: str) -> tuple[int, int]:
    """Candidates in a picture, and numbers of each, by the ``shape`` of the answer.

    >>> shape_of((8, 20, 8400), "yolov8-face", "mine")
    (8400, 20)
    """
    numbers = HEADS[head]
    if len(shape) == 3:
        candidates, each = shape[1:] if head == V5 else shape[:0:-1]
        if each in numbers:
            return candidates, each
    counts = " or ".join(map(str, numbers))
    wanted = f"[n, candidates, {counts}]" if head == V5 else f"[n, {counts}, candidates]"
    raise ModelError(
        f"the model '{name}' answers {list(shape)}, but a {head} head gives {wanted}; "
        "correct detector.head in its descriptor, or export it with decoded boxes and without NMS"
    )


def _read(rows: Floats, scores: Floats, each: int) -> Found:
    centres, halves = rows[:, :2], np.maximum(rows[:, 2:4], 0) / 2
    landmarks = np.full((len(rows), 5, 2), np.nan, np.float32)
    if each:
        # Visibility goes: a guess at a hidden eye is more than none.
        landmarks[:] = rows[:, 5 : 5 + 5 * each].reshape(-1, 5, each)[..., :2]
    return Found(np.hstack([centres - halves, centres + halves]), scores, landmarks)
