"""blur/cpu: no frame shows a face, nothing else changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dualface.graph.job import Job
from dualface.graph.node import Context, Event
from dualface.graph.types import Cuts, Frames, Tracks, Video
from dualface.nodes.blur import Blur, BlurConfig

BOX = (40.0, 30.0, 72.0, 70.0)


def hidden(seen: list[int], n: int = 40, batch: int = 8, cut: int = -1, rotation: int = 0,
           style: str = "blur", bridge: int = 12, gap: int = 30,
           told: list[Event] | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Noise through the node, the face tracked in frames ``seen``; before and after."""
    video = Video(128, 96, Fraction(1, 30), rotation=rotation)
    data = np.random.default_rng(0).integers(16, 235, (n, 144, 128), np.uint8)
    node = Blur(BlurConfig(style=style, bridge=bridge, gap=gap))  # type: ignore[arg-type]
    job = Job("x", "x", Path("y"), video, n, 0.0, "h264", "yuv420p")
    emit = ([] if told is None else told).append
    node.open(Context(job, "blur", batch, 1, emit, lambda: False, lambda p: p,
                      lambda a, b: None, lambda a, b: None))  # fmt: skip
    out = []
    for a in range(0, n, batch):
        span = range(a, min(a + batch, n))
        counts = np.array([int(i in seen) for i in span])
        k = int(counts.sum())
        boxes = np.tile(np.array(BOX, np.float32), (k, 1))
        marks = np.zeros((k, 5, 2), np.float32)
        tracks = Tracks(counts, boxes, np.ones(k, np.float32), marks, np.ones(k, int))
        cuts = Cuts(np.array([i == cut for i in span]), np.array(span) / 30)
        answer = node.process(Frames(data[span.start : span.stop], np.array(span), video, a), tracks, cuts)
        out += [answer.data.copy()] if answer is not None else []
    out += [answer.data.copy() for answer in node.finish()]
    node.close()
    return data, np.concatenate(out)


def face_detail(frames: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(frames[:, 32:68, 42:70].astype(float), axis=2)).mean((1, 2))


@pytest.mark.parametrize("style", ["blur", "pixelate", "black"])
def test_the_face_goes_and_the_rest_stays(style: str) -> None:
    before, after = hidden(list(range(40)), style=style)
    assert (face_detail(before) > 50).all()
    assert (face_detail(after) < 6).all()
    assert np.array_equal(before[:, :96, :20], after[:, :96, :20])
    assert np.array_equal(before[:, 96:, :20], after[:, 96:, :20])


def test_missed_detections_before_between_and_after_show_nothing() -> None:
    before, after = hidden([15, 16, 24])
    assert (face_detail(after)[3:37] < 6).all()
    assert np.array_equal(before[:3], after[:3])
    assert np.array_equal(before[37:], after[37:])


def test_a_face_is_not_carried_over_a_cut() -> None:
    before, after = hidden([18, 19], cut=20)
    assert np.array_equal(before[20:], after[20:])
    assert (face_detail(after)[6:20] < 6).all()


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_the_batch_size_changes_nothing(batch: int) -> None:
    assert np.array_equal(hidden([5, 20, 21], batch=8)[1], hidden([5, 20, 21], batch=batch)[1])


def test_a_lost_face_is_told_once_and_late() -> None:
    told: list[Event] = []
    hidden([2, 3], n=60, told=told)
    assert [(e.kind, e.message, e.node) for e in told] == [
        ("warning", "a face was lost inside the picture at 0:00.5: look at the result there", "blur")
    ]
    told.clear()
    hidden(list(range(20)), cut=20, told=told)
    assert not told


def test_scenes_are_told_apart_however_short_the_memory() -> None:
    told: list[Event] = []
    hidden([20], cut=20, batch=1, bridge=0, gap=0, told=told)
    assert len(told) == 1


def test_boxes_are_in_display_orientation() -> None:
    before, after = hidden(list(range(4)), n=4, rotation=180)
    assert np.array_equal(before[:, 30:60, 34:46], after[:, 30:60, 34:46])
    assert not np.array_equal(before[:, 32:60, 60:80], after[:, 32:60, 60:80])


def test_senseless_options_are_refused() -> None:
    for wrong in ({"expand": 0.5}, {"cells": 40}, {"bridge": -1}, {"gap": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            BlurConfig(**wrong)  # type: ignore[arg-type]
