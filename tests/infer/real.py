"""Real pictures as the detector gets them, and faces of two detectors compared."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from dualface.graph.types import Color, Video
from dualface.infer.session import Session
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.detect.small import bgr_rows, plan_small, small_chroma, small_luma, write_channels

CLIPS = ("duo_1080p.mp4", "cuts_360p.mp4", "four_270p.mp4")


def pictures(film: Path, every: int, longer: int = 384) -> Any:
    """Every n-th picture of ``film`` as YuNet's input, ``[n, 3, H, W]`` BGR 0..255."""
    found = []
    with av.open(str(film)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % every:
                continue
            plan = plan_small(Video(frame.width, frame.height, Fraction(1, 30), Fraction(30)), longer)
            planes = frame.to_ndarray(format="nv12")
            out = np.zeros((3, *plan.padded[::-1]), np.float32)
            luma = small_luma(planes[: frame.height], plan)
            u, v = small_chroma(planes[frame.height :], plan)
            write_channels(luma, u, v, bgr_rows(Color(), frame.height), out)
            found.append(out)
    return np.stack(found)


def faces(session: Session, batch: Any, score: float = 0.6) -> list[Found]:
    """The faces in each picture."""
    name = session.inputs[0]
    return [
        one
        for i in range(0, len(batch), 2)
        for one in decode(session.run({name: batch[i : i + 2]}), batch.shape[3], score, 0.3, 16)
    ]


class Difference(NamedTuple):
    """Between two detectors: how many faces both have, the scores of those that only one has,
    and for each common face the largest difference of a box's edges and of its landmarks, in
    pixels of the detector's input, and that of its score."""

    common: int
    single: list[float]
    boxes: Any
    landmarks: Any
    scores: Any


def difference(ours: list[Found], theirs: list[Found]) -> Difference:
    """How far two detectors are apart on the same pictures."""
    alone: list[float] = []
    rows = []
    for a, b in zip(ours, theirs, strict=True):
        left = set(range(len(b.scores)))
        for box, score, landmarks in zip(*a, strict=True):
            apart = {k: float(np.abs(b.boxes[k] - box).max()) for k in left}
            near = min(apart, key=lambda k: apart[k], default=None)
            if near is None or apart[near] > 8:
                alone.append(float(score))
                continue
            left.remove(near)
            of_landmarks = np.abs(b.landmarks[near] - landmarks).max()
            rows.append((apart[near], of_landmarks, abs(b.scores[near] - score)))
        alone += [float(b.scores[k]) for k in left]
    return Difference(len(rows), alone, *np.array(rows, np.float64).reshape(-1, 3).T)
