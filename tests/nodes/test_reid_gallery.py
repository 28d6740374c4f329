"""What is known of faces, and what is made of distances."""

from __future__ import annotations

import numpy as np
import pytest

from dualface.nodes.reid.gallery import POSES, Gallery
from dualface.nodes.reid.judge import STRANGER, Limits, nearest, opinion, share_out, surely

LIMITS = Limits(0.5)
INF = float("inf")


def face(*values: float) -> np.ndarray:
    return np.array([*values, *[0.0] * (4 - len(values))], np.float32)


def test_the_anchor_stays_whatever_is_learnt() -> None:
    gallery = Gallery(0.5, 8)
    gallery.add(3, [face(1)], set())
    for i in range(50):
        gallery.feed(3, face(1.3 + i % 5 / 100, i % 10 / 10))
    known = gallery.faces[3]
    assert known.anchor.tolist() == face(1).tolist()
    assert known.mean[0] > 1.2
    assert 0 < len(known.poses) <= POSES
    apart = [np.linalg.norm(a - b) for i, a in enumerate(known.poses) for b in known.poses[:i]]
    assert min(apart) > 0.25  # what is alike is kept once
    assert gallery.distances(face(1)[None], [3, 4]).tolist() == [[0.0, INF]]


def test_who_was_seen_least_is_forgotten_unless_still_wanted() -> None:
    gallery = Gallery(0.5, 2)
    gallery.add(0, [face(1)], set())
    gallery.add(1, [face(0, 1)], set())
    gallery.faces[0].seen = 9
    gallery.add(2, [face(0, 0, 1)], set())
    assert list(gallery.faces) == [0, 2]
    gallery.add(3, [face(0, 0, 0, 1)], {0, 2})
    assert list(gallery.faces) == [0, 2]


def test_a_gallery_comes_back_from_its_snapshot() -> None:
    gallery, fresh = Gallery(0.5, 8), Gallery(0.5, 8)
    gallery.add(5, [face(1)], set())
    gallery.add(2, [face(0, 1), face(0, 1.2)], set())
    gallery.feed(5, face(1, 0.4))
    fresh.restore(gallery.snapshot())
    probe = np.array([face(0.5, 0.5), face(1, 0.3)])
    np.testing.assert_array_equal(fresh.distances(probe, [5, 2]), gallery.distances(probe, [5, 2]))
    assert list(fresh.faces) == [5, 2]


def test_two_faces_are_never_one_person() -> None:
    assert share_out(np.array([[0.2, 0.4], [0.1, INF]]), LIMITS) == [1, 0]
    assert share_out(np.array([[0.2], [0.1]]), LIMITS) == [None, 0]
    assert share_out(np.zeros((1, 0)), LIMITS) == [None]


@pytest.mark.parametrize(
    ("person", "claims", "several", "vote"),
    [
        (1, {1: 0.4, 2: 0.45}, False, 1),  # held for 1 and near to it: nothing to change
        (1, {1: 0.58, 2: 0.9}, False, 1),  # further, but like nobody else
        (1, {1: 0.58, 2: 0.6}, False, None),
        (2, {1: 0.7, 2: 0.4}, False, 2),
        (2, {1: 0.45, 2: 0.4}, False, None),  # too near to each other to tell
        (2, {1: 0.7, 2: 0.4, 3: 0.45}, False, None),
        (2, {1: 0.8, 2: 0.53}, False, None),  # one look is not enough
        (2, {1: 0.8, 2: 0.53}, True, 2),
        (None, {1: 0.7, 2: 0.65}, False, STRANGER),
        (None, {}, False, STRANGER),
        (None, {1: 0.7, 2: 0.55}, False, None),
    ],
)
def test_a_vote_needs_a_near_face_and_a_margin(
    person: int | None, claims: dict[int, float], several: bool, vote: int | None
) -> None:
    assert opinion(1, person, claims, LIMITS, several=several) == vote


def test_a_profile_is_no_stranger_but_may_be_who_was_enrolled() -> None:
    claims, both = {0: 0.7, 1: 0.63}, frozenset({0, 1})
    for several, sideways, expected, vote in (
        (True, True, both, 1),
        (False, True, both, None),  # one look is not enough
        (True, True, frozenset[int](), None),
        (True, False, both, STRANGER),  # a portrait shows faces to the front well enough
    ):
        told = opinion(9, None, claims, LIMITS, several=several, sideways=sideways, expected=expected)
        assert told == vote
    assert opinion(9, None, {0: 0.7, 1: 0.66}, LIMITS, several=True, sideways=True, expected=both) is None
    assert opinion(9, 0, {0: 0.4, 1: 0.7}, LIMITS, several=False, sideways=True, expected=both) == 0


@pytest.mark.parametrize(("other", "vote"), [(0.73, 0), (0.71, None), (0.5, None)])
def test_a_profile_is_not_the_enrolled_one_where_another_is_as_near(other: float, vote: int | None) -> None:
    claims = {0: 0.62, 1: 0.64, 5: other}
    both, rivals = frozenset({0, 1}), frozenset({5})
    told = opinion(9, None, claims, LIMITS, several=True, sideways=True, expected=both, rivals=rivals)
    assert told == vote


def test_long_looking_decides_only_what_is_clear() -> None:
    assert surely({1: 0.58, 2: 0.9}, LIMITS) == 1
    assert surely({1: 0.58, 2: 0.62}, LIMITS) is None
    assert surely({1: 0.61}, LIMITS) is None
    assert surely({}, LIMITS) is None
    assert nearest({1: 0.54, 2: 0.54}, LIMITS, frozenset()) == 1
    assert nearest({1: 0.56}, LIMITS, frozenset()) is None
    assert nearest({1: 0.56}, LIMITS, frozenset({1})) == 1
    assert nearest({1: 0.56, 2: 0.64}, LIMITS, frozenset({1})) is None
    assert nearest({1: 0.56, 2: 0.58}, LIMITS, frozenset({1, 2})) == 1
