"""YuNet's outputs, read: from twelve arrays to boxes, scores and landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualface.graph.types import Floats
from dualface.infer.session import Arrays

STRIDES = (8, 16, 32)


class Found(NamedTuple):
    """Faces of one picture, best first: ``boxes`` ``[k, 4]``, ``scores`` ``[k]`` and
    ``landmarks`` ``[k, 5, 2]``."""

    boxes: Floats
    scores: Floats
    landmarks: Floats


def decode(outputs: Arrays, width: int, score: float, nms: float, most: int) -> list[Found]:
    """The faces of each picture in the batch, in pixels of the network's input.

    ``width`` is that of the input; ``score`` the least confidence, the geometric mean of class
    and objectness; boxes that overlap a better one by more than ``nms`` (IoU) are dropped, and
    beyond ``most`` the weakest.
    """
    scores = [
        np.sqrt(np.clip(outputs[f"cls_{s}"], 0, 1) * np.clip(outputs[f"obj_{s}"], 0, 1))[..., 0]
        for s in STRIDES
    ]
    found = []
    for picture in range(len(scores[0])):
        parts = [
            _read(
                outputs,
                picture,
                np.flatnonzero(scores[level][picture] >= score),
                scores[level][picture],
                s,
                width,
            )
            for level, s in enumerate(STRIDES)
        ]
        together = Found(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        found.append(best(together, nms, most))
    return found


def _read(
    outputs: Arrays,
    picture: int,
    cells: np.ndarray[tuple[int], np.dtype[np.intp]],
    scores: Floats,
    stride: int,
    width: int,
) -> Found:
    rows, columns = np.divmod(cells, width // stride)
    grid = np.stack([columns, rows], axis=1).astype(np.float32)
    box = outputs[f"bbox_{stride}"][picture, cells]
    centres = (grid + box[:, :2]) * stride
    halves = np.exp(np.minimum(box[:, 2:], 10.0)) * (stride / 2)
    points = outputs[f"kps_{stride}"][picture, cells].reshape(-1, 5, 2)
    landmarks = (grid[:, None] + points) * stride
    return Found(np.hstack([centres - halves, centres + halves]), scores[cells], landmarks)


def best(found: Found, nms: float, most: int) -> Found:
    """``found``, best first, without those that overlap a better one by more than ``nms`` (IoU),
    and at most ``most``."""
    kept = suppress(found.boxes, found.scores, nms, most)
    return Found(*(array[kept] for array in found))


def suppress(boxes: Floats, scores: Floats, limit: float, most: int | None = None) -> list[int]:
    """Indices of the boxes kept by greedy non-maximum suppression, best first, at most ``most``.

    >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]], np.float32)
    >>> suppress(boxes, np.array([0.7, 0.9, 0.8]), 0.3)
    [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    boxes = boxes[order].astype(np.float64)
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        if len(kept) == most:
            break
        kept.append(int(order[i]))
        corner = np.minimum(boxes[i, 2:], boxes[:, 2:]) - np.maximum(boxes[i, :2], boxes[:, :2])
        shared = np.prod(np.maximum(corner, 0), axis=1)
        alive &= shared <= limit * np.maximum(areas[i] + areas - shared, 1e-9)
    return kept
