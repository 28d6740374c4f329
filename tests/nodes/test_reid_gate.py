"""The signs that a track may show somebody else, and the faces that can settle it."""

from __future__ import annotations

import numpy as np
import pytest

from dualface.nodes.reid import gate


def test_each_sign_has_its_reason_and_the_strongest_is_told() -> None:
    away = np.array([0.0, 0.03, 0.03, 0.5, np.inf, 2.0, 0.5])
    kept = np.array([1.0, 0.9, 0.3, 0.9, 0.0, 0.9, 0.1])
    touching = np.array([0.0, 0.2, 0.2, 0.0, 0.0, 0.0, 0.3])
    told = [gate.REASONS[i] for i in gate.signs(away, kept, touching, np.inf)]
    assert told == ["none", "near", "weak", "gap", "new", "new", "gap"]
    just_cut = [gate.REASONS[i] for i in gate.signs(away, kept, touching, 0.1)]
    assert just_cut[4] == "cut"
    rare = [gate.REASONS[i] for i in gate.signs(away, kept, touching, np.inf, pace=0.5)]
    assert rare == ["none", "near", "weak", "none", "new", "new", "weak"]


def test_nobody_is_no_problem() -> None:
    none = np.zeros(0)
    assert len(gate.signs(none, none, none, 0.0)) == 0
    iou, share = gate.overlaps(np.zeros((0, 4)), np.zeros((0, 4)))
    assert iou.shape == share.shape == (0, 0)


@pytest.mark.parametrize(
    ("score", "covered", "height", "landmark", "fit"),
    [(0.8, 0.0, 30, 1, True), (0.6, 0.0, 30, 1, False), (0.8, 0.2, 30, 1, False), (0.8, 0.0, 20, 1, False),
     (0.8, 0.0, 30, np.nan, False)],
)  # fmt: skip
def test_only_clean_faces_are_recognised(
    score: float, covered: float, height: float, landmark: float, fit: bool
) -> None:
    found = gate.clean(
        np.array([[0, 0, 20, height]], float), np.array([score]), np.full((1, 5, 2), landmark),
        np.array([covered]), score=0.7, overlap=0.15, height=24,
    )  # fmt: skip
    assert found.tolist() == [fit]


def test_what_covers_a_small_face_says_little_of_a_large_one() -> None:
    _, share = gate.overlaps(
        np.array([[0, 0, 10, 10], [5, 0, 105, 100]], float), np.array([[5, 0, 105, 100.0]])
    )
    assert share[0, 0] == pytest.approx(0.5)


def test_near_is_a_matter_of_place_and_size() -> None:
    box = [0.0, 0.0, 40.0, 50.0]
    assert gate.near(box, [30.0, 0.0, 70.0, 50.0])
    assert not gate.near(box, [80.0, 0.0, 120.0, 50.0])
    assert not gate.near(box, [0.0, 0.0, 80.0, 100.0])


def test_a_profile_has_its_eyes_together_however_it_is_tilted() -> None:
    front = np.array([(0, 0), (40, 0), (20, 22), (5, 42), (35, 42)], float)
    profile = front * (0.35, 1)
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    faces = np.array([front, profile, front @ turn, profile @ turn])
    assert gate.sideways(faces).tolist() == [False, True, False, True]
