"""Boxes that no detector should give: every node of the people's part goes on, and the camera with it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.registry import installed
from dualface.graph.types import Cuts, Faces, Frames, People, Tracks, Video
from dualface.nodes.compose.policy import Reason, fault
from dualface.nodes.track.assign import MANY, iou, pair
from dualface.nodes.track.plausible import only_plausible

SIZE = 320, 240
VIDEO = Video(*SIZE, Fraction(1, 30), Fraction(30))
BAD = [np.nan, np.inf, -np.inf, 0.0, -1e9, 1e9, 3e38, -3e38, 100.0, 1e-30]
KINDS = ["track/bytetrack", "track/trackers", "reid/off", "reid/conditional", "camera/steady"]


def arrays(random: Any, how: str, frames: int) -> dict[str, Any]:
    """Counts, boxes, scores and landmarks of a batch."""
    counts = np.full(frames, 700) if how == "crowd" else random.integers(0, 5, frames)
    k = int(counts.sum())
    corner, size = random.uniform(-100, 400, (k, 2)), random.uniform(5, 150, (k, 2))
    boxes = np.concatenate([corner, corner + size], 1).astype(np.float32)
    scores = random.uniform(0, 1, k).astype(np.float32)
    landmarks = random.uniform(-100, 400, (k, 5, 2)).astype(np.float32)
    if how == "zero":
        boxes[:, 2:] = boxes[:, :2]
    if how in ("some", "all"):
        for values, share in ((boxes, 0.2 if how == "some" else 1), (scores, 0.2), (landmarks, 0.1)):
            hit = random.random(values.shape) < share
            values[hit] = random.choice(BAD, int(hit.sum()))
    return {"counts": counts.astype(np.int64), "boxes": boxes, "scores": scores, "landmarks": landmarks}


def feed(how: str, seed: int) -> Iterator[dict[str, Any]]:
    random, frames = np.random.default_rng(seed), 4
    for first in range(0, 8 if how == "crowd" else 64, frames):
        made, index = arrays(random, how, frames), np.arange(first, first + frames)
        ids = np.concatenate([np.arange(count) for count in made["counts"]]).astype(np.int64)
        yield {
            "faces": Faces(**made, looked=np.ones(frames, np.bool_)),
            "tracks": Tracks(**made, ids=ids),
            "people": People(**made, ids=ids, persons=ids.copy(), sides=np.where(ids < 2, ids, -1)),
            "cuts": Cuts(random.random(frames) < 0.05, index / 30),
            "frames": Frames(random.integers(0, 256, (frames, 360, 320), np.uint8), index, VIDEO, first),
        }


def answers(kind: str, how: str, seed: int) -> list[Any]:
    known = installed().kinds[kind]
    node = known.cls(known.config())
    job = Job("x", "x", Path("y"), VIDEO, 64, 2.0, "h264", "yuv420p")
    node.open(Context(job, "node", 4, 1, lambda e: None, lambda: False, lambda p: p,
                      lambda n, v: None, lambda n, v: None))  # fmt: skip
    try:
        made = [
            node.process(**{name: batch[name] for name in known.ports.inputs}) for batch in feed(how, seed)
        ]
        made += node.finish()
        node.snapshot()
    finally:
        node.close()
    return [answer for answer in made if answer is not None]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of arithmetic with what is no number
@pytest.mark.parametrize("how", ["some", "all", "zero", "crowd"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_box_stops_a_node(kind: str, how: str) -> None:
    if kind == "track/trackers":
        pytest.importorskip("trackers")
    if kind in ("reid/conditional", "track/trackers") and how == "crowd":
        pytest.skip("it ends, but takes its time: a recognition a face")
    for seed in range(2):
        made = answers(kind, how, seed)
        assert sum(map(len, made)) == (8 if how == "crowd" else 64)
        for answer in made:
            if kind.startswith("track"):
                assert np.isfinite(answer.boxes).all()
                assert np.isfinite(answer.scores).all()
            if kind.startswith("camera"):
                crops = answer.crops[~answer.blank].tolist()
                assert {fault(crop, SIZE) for crop in crops} <= {Reason.fine}
                x0, y0, x1, y1 = np.array(crops).T
                assert min(x0.min(), y0.min()) >= 0
                assert x1.max() <= SIZE[0]
                assert y1.max() <= SIZE[1]


def test_one_bad_box_changes_nothing_for_the_others() -> None:
    random = np.random.default_rng(0)
    made = arrays(random, "none", 4)
    clean = Faces(**made, looked=np.ones(4, np.bool_))
    assert only_plausible(clean) is clean
    first = np.concatenate([[0], np.cumsum(clean.counts)[:-1]])
    bad = {"boxes": (0, 0, math.nan, 9), "scores": 0.9, "landmarks": 0.0}
    spoilt = {n: np.insert(made[n], first, np.asarray(v, np.float32), axis=0) for n, v in bad.items()}
    again = only_plausible(Faces(clean.counts + 1, **spoilt, looked=clean.looked))
    for name in ("counts", "boxes", "scores", "landmarks"):
        assert (getattr(again, name) == getattr(clean, name)).all()


def test_in_a_crowd_the_nearest_are_paired() -> None:
    random = np.random.default_rng(1)
    corner = random.uniform(0, 4000, (100, 2))
    boxes = np.concatenate([corner, corner + random.uniform(20, 60, (100, 2))], 1)
    order = random.permutation(100)
    moved = boxes[order] + random.uniform(-2, 2, (100, 1))
    assert len(boxes) * len(moved) > MANY
    pairs = pair([tuple(b) for b in boxes], [tuple(b) for b in moved], 0.3)
    assert len({t for t, _ in pairs}) == len({d for _, d in pairs}) == len(pairs)
    assert all(iou(boxes[t], moved[d]) >= 0.3 for t, d in pairs)
    assert sum(order[d] == t for t, d in pairs) >= 97  # a few lie on each other
