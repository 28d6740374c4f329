"""reid/off: who gets which tile, by size and by position, calmly."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Cuts, People, Tracks, Video, spans
from dualface.nodes.reid.off import ReidOff, ReidOffConfig
from dualface.nodes.reid.sides import Seen, Sides

Rows = list[dict[int, tuple[float, float]]]  # for each frame: (middle's x, height) by track


def context() -> Context:
    job = Job("x", "x.mp4", Path("y.mp4"), Video(1000, 600, Fraction(1, 30)), 0, 0.0, "h264", "yuv420p")
    return Context(job, "reid", 8, 1, lambda e: None, lambda: False, lambda p: p,
                   lambda n, v: None, lambda n, v: None)  # fmt: skip


def tracks(rows: Rows) -> Tracks:
    flat = [(track, x, size) for row in rows for track, (x, size) in row.items()]
    boxes = [[x - size / 2, 300 - size / 2, x + size / 2, 300 + size / 2] for _, x, size in flat]
    return Tracks(np.array([len(row) for row in rows], np.int64), np.array(boxes, np.float32).reshape(-1, 4),
                  np.ones(len(flat), np.float32), np.full((len(flat), 5, 2), np.nan, np.float32),
                  np.array([f[0] for f in flat], np.int64))  # fmt: skip


def sides(rows: Rows, cut: int = -1, batch: int = 4, resume: int = -1) -> list[dict[int, int]]:
    """The side of each track, for each frame."""
    node = ReidOff(ReidOffConfig())
    node.open(context())
    answers: list[People] = []
    for k, a in enumerate(range(0, len(rows), batch)):
        if k == resume:
            taken = node.snapshot()
            node = ReidOff(ReidOffConfig())
            node.open(context())
            node.restore(taken)
        n = len(rows[a : a + batch])
        cuts = Cuts(np.arange(a, a + n) == cut, np.arange(a, a + n) / 30)
        answer = node.process(tracks(rows[a : a + batch]), cuts)
        answers += [answer] if answer is not None else []
    answers += list(node.finish())
    return [dict(zip(p.ids[s].tolist(), p.sides[s].tolist(), strict=True))
            for p in answers for s in spans(p.counts)]  # fmt: skip


def test_two_people_have_the_side_they_sit_on() -> None:
    assert sides([{7: (700, 100), 9: (300, 100)}] * 30) == [{7: 1, 9: 0}] * 30


def test_trembling_past_each_other_exchanges_nothing_but_a_real_crossing_does() -> None:
    near: Rows = [{1: (500 + 20 * (-1) ** i, 100), 2: (515, 100)} for i in range(60)]
    assert len({tuple(sorted(row.items())) for row in sides(near)}) == 1
    crossing: Rows = [{1: (300 + 8 * i, 100), 2: (700 - 8 * i, 100)} for i in range(51)]
    crossing += [crossing[-1]] * 30
    got = [row[1] for row in sides(crossing)]
    assert got[0] == 0
    assert got[-1] == 1
    assert np.count_nonzero(np.diff(got)) == 1


def test_a_glimpse_takes_no_tile_from_whoever_has_it() -> None:
    rows: Rows = [{1: (300, 100), 2: (700, 100)} for _ in range(60)]
    for row in rows[30:33]:
        row[3] = (500, 160)
    assert all(row[1] == 0 and row[2] == 1 and row.get(3, -1) == -1 for row in sides(rows))


@pytest.mark.parametrize(("x", "side"), [(250, 0), (750, 1)])
def test_one_person_has_the_nearer_tile(x: float, side: int) -> None:
    assert sides([{4: (x, 100)}] * 20) == [{4: side}] * 20


def test_of_four_people_the_two_largest_stay() -> None:
    rng = np.random.default_rng(3)
    people = {1: (150.0, 60.0), 2: (400.0, 100.0), 3: (600.0, 62.0), 4: (850.0, 100.0)}
    rows: Rows = [{t: (x, h + rng.normal(0, 4)) for t, (x, h) in people.items()} for _ in range(60)]
    assert sides(rows) == [{1: -1, 2: 0, 3: -1, 4: 1}] * 60


def test_who_comes_for_a_free_tile_moves_nobody_who_stayed() -> None:
    sides = Sides(2, smoothing=0.3, margin=1.25, gap=0.02, reserve=0.0)
    left, middle, right = Seen(1, 0.2, 0.3), Seen(2, 0.5, 0.3), Seen(3, 0.8, 0.2)
    assert sides.step([left, middle, right], 0.0) == {1: 0, 2: 1}
    # The left one is gone; the one on the right takes the free tile and the other stays for good.
    for _ in range(50):
        assert sides.step([middle, right], 0.0) == {2: 1, 3: 0}
    fresh = Sides(2, smoothing=0.3, margin=1.25, gap=0.02, reserve=0.0)
    fresh.restore(sides.snapshot())
    assert fresh.step([middle, right], 0.0) == {2: 1, 3: 0}
    # Once they stand as their tiles do, a real crossing counts as ever.
    for x in (0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3):
        assert fresh.step([middle, Seen(3, x, 0.2)], 0.0) == {2: 1, 3: 0}
    for x in (0.9,) * 8:
        crossed = fresh.step([middle, Seen(3, x, 0.2)], 0.0)
    assert crossed == {2: 0, 3: 1}


@pytest.mark.parametrize(("away", "side"), [(20, -1), (80, 0)])
def test_a_tile_is_kept_for_a_second_for_who_was_lost(away: int, side: int) -> None:
    """Two sit, a third stands on the right; who sits on the left is not found for a while."""
    rows: Rows = [{1: (300, 100), 2: (600, 100), 3: (850, 60)} for _ in range(160)]
    for row in rows[60 : 60 + away]:
        del row[1]
    got = sides(rows)
    assert got[:60] == [{1: 0, 2: 1, 3: -1}] * 60
    assert {row[3] for row in got[60 : 60 + min(away, 28)]} == {-1}
    assert got[60 + away - 9][3] == side
    assert all(row[2] == 1 for row in got)  # who stayed is never moved
    if away < 30:
        assert got[-1] == {1: 0, 2: 1, 3: -1}


def test_the_same_person_under_a_new_number_has_the_tile_at_once() -> None:
    rows: Rows = [{1: (300, 100), 2: (600, 100), 3: (850, 60)} for _ in range(40)]
    rows += [{4: (310, 100), 2: (600, 100), 3: (850, 60)} for _ in range(40)]
    assert sides(rows)[40] == {4: 0, 2: 1, 3: -1}


def test_after_a_cut_positions_begin_anew() -> None:
    rows: Rows = [{1: (300, 100), 2: (700, 100)}] * 20 + [{1: (700, 100), 2: (300, 100)}] * 20
    got = sides(rows, cut=20)
    assert got[19] == {1: 0, 2: 1}
    assert got[20] == {1: 1, 2: 0}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), batch=st.integers(1, 8), resume=st.integers(0, 9))
def test_never_two_on_a_side_and_batches_and_resume_change_nothing(
    seed: int, n: int, batch: int, resume: int
) -> None:
    rng = np.random.default_rng(seed)
    rows: Rows = [
        {t: (rng.uniform(0, 1000), rng.uniform(20, 200)) for t in range(5) if rng.random() < 0.5}
        for _ in range(n)
    ]
    got = sides(rows, cut=n // 2, batch=batch, resume=resume)
    assert got == sides(rows, cut=n // 2, batch=1)
    for row, answer in zip(rows, got, strict=True):
        assert set(row) == set(answer)
        taken = [side for side in answer.values() if side >= 0]
        assert len(taken) == len(set(taken)) <= 2


@pytest.mark.parametrize(
    ("option", "value"), [("window", -1), ("smoothing", 0), ("gap", 2), ("margin", 0.5), ("reserve", -1)]
)
def test_a_senseless_option_is_named_with_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        ReidOffConfig(**{option: value})  # type: ignore[arg-type]
