"""track/bytetrack: few faces, calm ids."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.types import Cuts, Faces, Tracks, spans
from dualface.nodes.track.assign import hungarian, iou, pair
from dualface.nodes.track.bytetrack import Bytetrack, BytetrackConfig
from dualface.nodes.track.kalman import FIRST_SPEED, SWELL, TURN, BoxFilter

Row = list[tuple[tuple[float, float, float, float], float]]  # boxes and scores of one frame


def box(x: float, y: float, size: float = 100.0) -> tuple[float, float, float, float]:
    return x - 0.4 * size, y - size / 2, x + 0.4 * size, y + size / 2


def faces(rows: list[Row | None]) -> Faces:
    """``None`` for a frame that was not looked at."""
    flat = [face for row in rows for face in row or []]
    k = len(flat)
    return Faces(
        np.array([len(row or []) for row in rows], np.int64),
        np.array([b for b, _ in flat], np.float32).reshape(-1, 4),
        np.array([s for _, s in flat], np.float32),
        np.zeros((k, 5, 2), np.float32),
        np.array([row is not None for row in rows], bool),
    )


def follow(
    rows: list[Row | None],
    batch: int = 8,
    cut: int | None = None,
    fps: float = 30.0,
    seconds: np.ndarray | None = None,
    node: Bytetrack | None = None,
    **options: Any,
) -> list[dict[int, Any]]:
    """For each frame, the boxes by track id and whether the track is only predicted."""
    node = node or Bytetrack(BytetrackConfig(**options))
    times = np.arange(len(rows)) / fps if seconds is None else seconds
    flags = np.arange(len(rows)) == (-1 if cut is None else cut)
    shown: list[dict[int, Any]] = []
    for a in range(0, len(rows), batch):
        part = slice(a, a + batch)
        tracks = node.process(faces(rows[part]), Cuts(flags[part], times[part]))
        assert isinstance(tracks, Tracks)
        shown += [
            {
                int(i): (b, float(s))
                for i, b, s in zip(tracks.ids[span], tracks.boxes[span], tracks.scores[span], strict=True)
            }
            for span in spans(tracks.counts)
        ]
    return shown


def two_people(n: int, jitter: int = 0) -> list[Row | None]:
    rng = np.random.default_rng(jitter)
    move = rng.normal(0, 2, (n, 4)) if jitter else np.zeros((n, 4))
    return [[(box(300 + m[0], 200 + m[1]), 0.9), (box(900 + m[2], 220 + m[3]), 0.8)] for m in move]


def test_people_who_sit_keep_their_ids() -> None:
    shown = follow(two_people(90, jitter=3))
    ids = {tuple(sorted(row)) for row in shown}
    assert ids == {(0, 1)}


def test_people_who_walk_past_at_a_distance_keep_their_ids() -> None:
    rows: list[Row | None] = [
        [(box(200 + 8 * i, 200), 0.9), (box(1000 - 8 * i, 500), 0.9)] for i in range(60)
    ]
    shown = follow(rows)
    assert all(set(row) == {0, 1} for row in shown)
    assert shown[-1][0][0][1] < shown[-1][1][0][1]  # the one above is still the one above


def test_a_short_gap_is_bridged_by_prediction_and_the_id_stays() -> None:
    rows = two_people(40)
    for i in range(20, 24):
        rows[i] = rows[i][1:]  # type: ignore[index]
    shown = follow(rows)
    assert all(set(row) == {0, 1} for row in shown)
    assert [shown[i][0][1] for i in (19, 20, 23, 24)] == [np.float32(0.9), 0.0, 0.0, np.float32(0.9)]


def test_after_a_longer_absence_the_box_goes_and_the_id_may_come_back() -> None:
    rows = two_people(60)
    for i in range(20, 40):
        rows[i] = rows[i][1:]  # type: ignore[index]
    shown = follow(rows, bridge_seconds=0.2, lost_seconds=1.0)
    assert set(shown[35]) == {1}
    assert set(shown[45]) == {0, 1}


def test_after_more_than_a_second_it_is_a_new_face() -> None:
    rows = two_people(90)
    for i in range(20, 60):
        rows[i] = rows[i][1:]  # type: ignore[index]
    assert set(follow(rows, lost_seconds=1.0)[80]) == {1, 2}


def test_seconds_not_frames_say_how_long() -> None:
    """The same 20 missing frames are 2.7 seconds at 7.5 frames/s."""
    rows = two_people(60)
    for i in range(20, 40):
        rows[i] = rows[i][1:]  # type: ignore[index]
    assert set(follow(rows, fps=7.5, lost_seconds=1.0)[50]) == {1, 2}


def test_variable_frame_rate_moves_the_prediction_by_time() -> None:
    """A face at a steady 500 px/s; every fifth frame lasts five times as long."""
    steps = np.where(np.arange(60) % 5 == 4, 5, 1) / 30
    seconds = np.concatenate([[0], np.cumsum(steps)[:-1]])
    rows: list[Row | None] = [[(box(200 + 500 * t, 300), 0.9)] for t in seconds]
    assert all(set(row) == {0} for row in follow(rows, seconds=seconds))


def test_a_weak_face_continues_a_track_but_never_begins_one() -> None:
    rows: list[Row | None] = [
        [(box(300, 200), 0.9 if i < 10 else 0.62), (box(900, 200), 0.62)] for i in range(30)
    ]
    shown = follow(rows, high=0.7)
    assert all(set(row) == {0} for row in shown)
    assert all(row[0][1] > 0 for row in shown)


@pytest.mark.parametrize(("every", "fps"), [(12, 30.0), (1, 2.5)])
def test_a_weak_face_continues_a_track_however_rare_the_looks(every: int, fps: float) -> None:
    rows: list[Row | None] = [
        [(box(300, 200), 0.9 if i < 5 * every else 0.62)] if i % every == 0 else None
        for i in range(12 * every)
    ]
    assert all(set(row) == {0} and row[0][1] > 0 for row in follow(rows, fps=fps)[::every])


def test_a_glimpse_in_one_frame_is_no_track() -> None:
    rows = two_people(20)
    rows[7] = [*rows[7], (box(600, 400), 0.9)]  # type: ignore[misc]
    assert {i for row in follow(rows) for i in row} == {0, 1}


def test_a_scene_change_ends_every_track() -> None:
    shown = follow(two_people(40), cut=20)
    assert set(shown[19]) == {0, 1}
    assert set(shown[20]) == {2, 3}
    assert set(shown[39]) == {2, 3}


def test_frames_nobody_looked_at_are_bridged_on_the_way() -> None:
    rows: list[Row | None] = [[(box(200 + 6 * i, 300), 0.9)] if i % 4 == 0 else None for i in range(80)]
    shown = follow(rows)
    assert all(set(row) == {0} for row in shown)
    for i in range(20, 80):
        middle = float(shown[i][0][0][[0, 2]].mean())
        assert abs(middle - (200 + 6 * i)) < 12


@pytest.mark.parametrize(("every", "lost"), [(60, 1.0), (10, 0.2), (300, 1.0)])
def test_looks_further_apart_than_lost_seconds_are_bridged(every: int, lost: float) -> None:
    slow = 40 / every  # half a face between two looks
    rows: list[Row | None] = [
        [(box(200 + slow * i, 300), 0.9), (box(900, 300), 0.8)] if i % every == 0 else None
        for i in range(6 * every)
    ]
    shown = follow(rows, lost_seconds=lost)
    assert {tuple(sorted(row)) for row in shown} == {(0, 1)}
    for i in range(2 * every, len(rows)):
        centre = (shown[i][0][0][0] + shown[i][0][0][2]) / 2
        assert abs(centre - (200 + slow * i)) < 30


def test_a_face_that_a_rare_look_misses_is_gone_until_it_is_found() -> None:
    """It does not come and go with the frames that are looked at."""
    rows = [row if i % 3 == 0 else None for i, row in enumerate(two_people(60))]
    for i in range(15, 60, 3):
        rows[i] = rows[i][:1] if rows[i] else rows[i]
    shown = [sorted(row) for row in follow(rows)]
    last = max(i for i, row in enumerate(shown) if row == [0, 1])
    assert 15 <= last <= 12 + 0.2 * 30
    assert all(row == [0] for row in shown[last + 1 :])


def test_snapshot_and_restore_go_on_as_if_nothing_had_been() -> None:
    rows = two_people(40, jitter=5)
    for i in range(18, 22):
        rows[i] = rows[i][:1]  # type: ignore[index]
    for i in range(35, 40):
        rows[i] = [*rows[i], (box(600, 500), 0.9)]  # type: ignore[misc]
    for at in (1, 7, 20, 33):
        first = Bytetrack(BytetrackConfig())
        follow(rows[:at], node=first)
        second = Bytetrack(BytetrackConfig())
        second.restore(first.snapshot())
        times = np.arange(len(rows)) / 30
        ours = follow(rows[at:], node=second, seconds=times[at:])
        theirs = follow(rows[at:], node=first, seconds=times[at:])
        assert_same(ours, theirs)


def assert_same(a: list[dict[int, Any]], b: list[dict[int, Any]]) -> None:
    assert [sorted(row) for row in a] == [sorted(row) for row in b]
    for one, other in zip(a, b, strict=True):
        for key, (where, score) in one.items():
            np.testing.assert_array_equal(where, other[key][0])
            assert score == other[key][1]


@st.composite
def films(draw: st.DrawFn) -> list[Row | None]:
    """A few faces on random walks that flicker, with frames nobody looked at."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people, n = draw(st.integers(0, 5)), draw(st.integers(1, 40))
    places = rng.uniform(100, 1100, (people, 2))
    rows: list[Row | None] = []
    for _ in range(n):
        places += rng.normal(0, 12, places.shape)
        present = rng.random(people) < 0.85
        row = [
            (box(*p), float(rng.uniform(0.5, 1))) for p, there in zip(places, present, strict=True) if there
        ]
        rows.append(None if rng.random() < 0.15 else row)
    return rows


@settings(max_examples=40)
@given(films(), st.randoms(use_true_random=False))
def test_the_order_of_detections_changes_nothing(rows: list[Row | None], random: Any) -> None:
    mixed = [None if row is None else random.sample(row, len(row)) for row in rows]
    assert_same(follow(rows), follow(mixed))


@settings(max_examples=40)
@given(films(), st.integers(1, 9))
def test_the_size_of_batches_changes_nothing(rows: list[Row | None], batch: int) -> None:
    assert_same(follow(rows, batch=batch), follow(rows, batch=len(rows)))


@settings(max_examples=40)
@given(films())
def test_no_id_is_used_twice_and_boxes_make_sense(rows: list[Row | None]) -> None:
    """What was away for longer than a lost track is kept does not come back under its id."""
    last: dict[int, int] = {}
    for i, row in enumerate(follow(rows, lost_seconds=0.1)):
        for key, (where, score) in row.items():
            assert key in last or key > max(last, default=-1)
            assert i - last.get(key, i) <= 4
            assert np.isfinite(where).all()
            assert where[0] < where[2]
            assert where[1] < where[3]
            assert 0 <= score <= 1
        last |= dict.fromkeys(row, i)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_pairing_is_the_cheapest_there_is(rows: int, columns: int, seed: int) -> None:
    costs = np.random.default_rng(seed).uniform(0, 1, (rows, columns))
    found = hungarian(costs.tolist())
    assert len(found) == min(rows, columns)
    wide = costs if rows <= columns else costs.T
    best = min(
        sum(wide[i, j] for i, j in enumerate(order))
        for order in itertools.permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert abs(sum(costs[i, j] for i, j in found) - best) < 1e-9


def test_nobody_is_paired_below_the_limit() -> None:
    assert pair([box(0, 0)], [box(90, 0)], 0.3) == []
    assert pair([], [box(0, 0)], 0.3) == []


def test_the_filter_is_the_matrices_of_constant_speed_under_white_acceleration() -> None:
    rng = np.random.default_rng(2)
    ours = BoxFilter(box(400, 300))
    mean = np.array([400.0, 300.0, 80.0, 100.0, 0, 0, 0, 0])
    covariance = np.diag([1.0] * 4 + [FIRST_SPEED**2] * 4)
    turns = np.diag(np.square([TURN, TURN, SWELL, SWELL]))
    for i in range(25):
        t = rng.choice([0.5, 1.0, 1.2, 3.0])
        motion = np.eye(8) + t * np.eye(8, k=4)
        noise = np.kron([[t**3 / 3, t**2 / 2], [t**2 / 2, t]], turns)
        mean, covariance = motion @ mean, motion @ covariance @ motion.T + noise
        ours.predict(t)
        measured = box(400 + 3 * i + rng.normal(), 300 + rng.normal(), 100 + rng.normal())
        if i % 5 != 4:
            x0, y0, x1, y1 = measured
            z = np.array([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
            gain = covariance[:, :4] @ np.linalg.inv(covariance[:4, :4] + np.eye(4))
            mean, covariance = mean + gain @ (z - mean[:4]), covariance - gain @ covariance[:4]
            ours.update(measured)
        np.testing.assert_allclose([*ours.mean, *ours.speed], mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("frames", "way", "above"), [(17, 208, -3), (21, 205, 1), (17, 269, -4), (15, 575, 9)]
)
def test_two_who_start_and_pass_each_other_keep_their_ids(frames: int, way: float, above: float) -> None:
    """Both stand, walk to each other's place and stand again; one is hidden on the way."""
    rng = np.random.default_rng(0)
    share = np.clip((np.arange(80) - 15) / frames, 0, 1)
    moved = way * share**2 * (3 - 2 * share)
    rows: list[Row | None] = []
    for there in moved:
        front, behind = box(300 + there, 300), box(300 + way - there, 300 + above, 95)
        row = [(front, 0.9)] + ([(behind, 0.85)] if iou(front, behind) < 0.3 else [])
        rows.append([((a + rng.normal(), b + rng.normal(), c + rng.normal(), d + rng.normal()), score)
                     for (a, b, c, d), score in row])  # fmt: skip
    shown = follow(rows)
    for i in (0, 1):
        other = shown[0][1 - i][0]
        np.testing.assert_allclose(shown[-1][i][0][0], other[0], atol=15)


def test_tracks_can_be_relabelled_from_outside() -> None:
    node = Bytetrack(BytetrackConfig())
    rows = two_people(10)
    before = follow(rows, node=node)
    node.relabel({0: 1, 1: 0, 8: 9})
    after = follow(rows, node=node, seconds=np.arange(10, 20) / 30)
    assert abs(after[0][1][0][0] - before[-1][0][0][0]) < 5
    assert abs(after[0][0][0][0] - before[-1][1][0][0]) < 5
    node.relabel({1: 7})
    newcomer: list[Row | None] = [[*(row or []), (box(600, 500), 0.9)] for row in rows]
    assert set(follow(newcomer, node=node, seconds=np.arange(20, 30) / 30)[-1]) == {0, 7, 8}
    for wrong in ({0: 7}, {0: -1}):
        with pytest.raises(ValueError, match="relabelled"):
            node.relabel(wrong)
    assert {track.id for track in node.tracks} == {0, 7, 8}
