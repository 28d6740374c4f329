"""Which detection belongs to which track: the cheapest pairing of two small sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualface.nodes.track.kalman import Box

INF = float("inf")
MANY = 64 * 64  # pairs beyond which the best pairing takes too long, and a good one has to do


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union, counting the far edge as part of a box (+1), as ByteTrack does.

    >>> iou((0, 0, 9, 9), (0, 0, 9, 9))
    1.0
    """
    ax0, ay0, ax1, ay1 = a
    bx0, by0, bx1, by1 = b
    # Asked for every pair in every frame; min() and max() would take twice as long.
    width = (ax1 if ax1 < bx1 else bx1) - (ax0 if ax0 > bx0 else bx0) + 1
    if width <= 0:
        return 0.0
    height = (ay1 if ay1 < by1 else by1) - (ay0 if ay0 > by0 else by0) + 1
    if height <= 0:
        return 0.0
    shared = width * height
    areas = (ax1 - ax0 + 1) * (ay1 - ay0 + 1) + (bx1 - bx0 + 1) * (by1 - by0 + 1)
    return shared / (areas - shared)


def pair(tracks: Sequence[Box], detections: Sequence[Box], least: float) -> list[tuple[int, int]]:
    """Pairs ``(track, detection)`` with the largest sum of IoU; none below ``least``. In a crowd of more
    than `MANY` pairs, the nearest first.

    >>> pair([(0, 0, 9, 9), (5, 0, 14, 9)], [(5, 0, 14, 9), (1, 0, 10, 9)], 0.2)
    [(0, 1), (1, 0)]
    """
    if len(tracks) * len(detections) > MANY:
        return _nearest_first(tracks, detections, least)
    scores = [[iou(t, d) for d in detections] for t in tracks]
    near = [[j for j, s in enumerate(row) if s >= least] for row in scores]
    wanted = [row[0] for row in near if len(row) == 1]
    if all(len(row) <= 1 for row in near) and len(set(wanted)) == len(wanted):
        return [(i, row[0]) for i, row in enumerate(near) if row]  # nothing to choose: the usual case
    # A pair below the limit costs as much as leaving both alone.
    costs = [[min(1.0 - s, 1.0) if s >= least else 1.0 for s in row] for row in scores]
    return [(i, j) for i, j in hungarian(costs) if scores[i][j] >= least]


def _nearest_first(tracks: Sequence[Box], detections: Sequence[Box], least: float) -> list[tuple[int, int]]:
    a, b = np.array(tracks)[:, None], np.array(detections)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]) + 1
    shared = np.prod(np.maximum(sides, 0), axis=2)
    areas = np.prod(a[..., 2:] - a[..., :2] + 1, axis=2) + np.prod(b[..., 2:] - b[..., :2] + 1, axis=2)
    scores = shared / (areas - shared)
    near = np.argwhere((scores >= least) & (shared > 0))
    near = near[np.argsort(-scores[near[:, 0], near[:, 1]], kind="stable")]
    pairs, taken = dict[int, int](), set[int]()
    for track, detection in near.tolist():
        if track not in pairs and detection not in taken:
            pairs[track] = detection
            taken.add(detection)
    return sorted(pairs.items())


def hungarian(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The pairing of least cost that covers the smaller side (Kuhn 1955, with shortest
    augmenting paths and potentials); O(n³).

    >>> hungarian([[4, 1, 3], [2, 0, 5]])
    [(0, 1), (1, 0)]
    """
    if not costs or not costs[0]:
        return []
    if len(costs) > len(costs[0]):
        return sorted((i, j) for j, i in hungarian(list(zip(*costs, strict=True))))
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0.0] * rows, [0.0] * columns
    owner = [-1] * columns
    for first in range(rows):
        distance, came_from, done = [INF] * columns, [-1] * columns, [False] * columns
        row, column = first, -1
        while row >= 0:
            reached = 0.0 if column < 0 else distance[column]
            for j in range(columns):
                if not done[j]:
                    through = reached + costs[row][j] - row_price[row] - column_price[j]
                    if through < distance[j]:
                        distance[j], came_from[j] = through, column
            column = min((j for j in range(columns) if not done[j]), key=distance.__getitem__)
            done[column] = True
            row = owner[column]
        length = distance[column]
        for j in range(columns):
            if done[j] and j != column:
                row_price[owner[j]] += length - distance[j]
                column_price[j] -= length - distance[j]
        row_price[first] += length
        while column >= 0:
            before = came_from[column]
            owner[column] = owner[before] if before >= 0 else first
            column = before
    return sorted((i, j) for j, i in enumerate(owner) if i >= 0)
