"""reid/off: who gets which tile, by position."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.job import Job
from dualface.graph.node import Context, most_owed
from dualface.graph.types import NO_SIDE, Cuts, Layout, People, Tile, Tracks, Video, spans
from dualface.nodes.reid.off import ReidOff, ReidOffConfig

WIDTH = 1000
Row = dict[int, tuple[float, float]]  # for each track: x of its middle, and its height

ONE = Layout(1080, 1080, (Tile("solo", 0, 0, 1080, 1080),))
THREE = Layout(1920, 1080, tuple(Tile(n, 640 * i, 0, 640, 1080) for i, n in enumerate("abc")))


def opened(figures: dict[str, Any] | None = None, **options: Any) -> ReidOff:
    node = ReidOff(ReidOffConfig(**options))
    kept = {} if figures is None else figures
    job = Job("x", "x.mp4", Path("y.mp4"), Video(WIDTH, 500, Fraction(1, 30)), 0, 0.0, "h264", "yuv420p")

    def count(name: str, value: float) -> None:
        kept[name] = kept.get(name, 0) + value

    node.open(Context(job, "reid", 8, 1, lambda e: None, lambda: False, lambda p: p, count, kept.__setitem__))
    return node


def batches(rows: list[Row], batch: int, cut: int | None) -> list[tuple[Tracks, Cuts]]:
    made = []
    for a in range(0, len(rows), batch):
        part = rows[a : a + batch]
        flat = [(key, x, h) for row in part for key, (x, h) in row.items()]
        boxes = [[x - 0.4 * h, 200 - h / 2, x + 0.4 * h, 200 + h / 2] for _, x, h in flat]
        k, n = len(flat), len(part)
        tracks = Tracks(
            np.array([len(row) for row in part], np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.ones(k, np.float32),
            np.zeros((k, 5, 2), np.float32),
            np.array([key for key, _, _ in flat], np.int64),
        )
        made.append(
            (tracks, Cuts(np.arange(a, a + n) == (-1 if cut is None else cut), np.arange(a, a + n) / 30))
        )
    return made


def run(
    rows: list[Row], batch: int = 8, cut: int | None = None, node: ReidOff | None = None, **options: Any
) -> list[People]:
    node = node or opened(**options)
    answers = [node.process(*each) for each in batches(rows, batch, cut)]
    return [a for a in answers if a is not None] + list(node.finish())


def sides(people: list[People]) -> list[dict[int, int]]:
    """For each frame: the side of each track that has one."""
    return [
        {int(t): int(s) for t, s in zip(p.ids[span], p.sides[span], strict=True) if s != NO_SIDE}
        for p in people
        for span in spans(p.counts)
    ]


def still(n: int, *places: tuple[float, float]) -> list[Row]:
    return [dict(enumerate(places)) for _ in range(n)]


def test_two_people_get_the_sides_they_sit_on_from_the_first_frame() -> None:
    assert sides(run(still(40, (750, 150), (200, 140)))) == [{0: 1, 1: 0}] * 40


@pytest.mark.parametrize(("x", "side"), [(100, 0), (420, 0), (600, 1), (900, 1)])
def test_somebody_alone_gets_the_side_where_they_are(x: float, side: int) -> None:
    assert sides(run(still(10, (x, 150)))) == [{0: side}] * 10


def test_who_is_left_alone_stays_on_their_side() -> None:
    rows = still(30, (250, 150), (750, 150)) + [{0: (250 + 8 * i, 150)} for i in range(60)]
    assert sides(run(rows))[30:] == [{0: 0}] * 60


def test_who_stands_near_the_middle_does_not_flicker() -> None:
    rng = np.random.default_rng(1)
    rows = [{0: (500 + a, 150), 1: (505 + b, 150)} for a, b in rng.normal(0, 12, (120, 2))]
    assert len({tuple(sorted(s.items())) for s in sides(run(rows))}) == 1


def test_a_real_crossing_changes_sides_once() -> None:
    rows = [{0: (200 + 6 * i, 150), 1: (800 - 6 * i, 150)} for i in range(101)]
    found = [s[0] for s in sides(run(rows))]
    assert found[0] == 0
    assert found[-1] == 1
    assert sum(a != b for a, b in itertools.pairwise(found)) == 1
    assert 51 <= found.index(1) <= 70  # after they have met, by the gap and the smoothing


def test_a_glimpse_takes_no_tile() -> None:
    rows = still(60, (250, 150), (750, 150))
    for i in (30, 31):
        rows[i] = {**rows[i], 2: (500, 190)}
    assert all(s == {0: 0, 1: 1} for s in sides(run(rows)))


def test_the_audience_behind_is_ignored() -> None:
    rows = [{0: (700, 200), 1: (100, 40), 2: (300, 50)} for _ in range(30)]
    assert sides(run(rows)) == [{0: 1}] * 30


def test_of_four_the_two_largest_get_the_tiles() -> None:
    found = sides(run(still(30, (100, 100), (400, 160), (600, 100), (900, 150))))
    assert found == [{1: 0, 3: 1}] * 30


def test_a_newcomer_needs_to_be_much_larger() -> None:
    rows = [{0: (250, 150), 1: (750, 150), **({2: (500, 170)} if i >= 20 else {})} for i in range(80)]
    assert all(2 not in s for s in sides(run(rows)))
    rows = [{0: (250, 150), 1: (750, 150), **({2: (500, 400)} if i >= 20 else {})} for i in range(80)]
    assert 2 in sides(run(rows))[-1]


def test_a_cut_decides_afresh_by_position() -> None:
    rows = [{0: (200, 150), 1: (800, 150)}] * 30 + [{2: (800, 150), 3: (200, 150)}] * 30
    found = sides(run(rows, cut=30))
    assert found[29] == {0: 0, 1: 1}
    assert found[30:] == [{2: 1, 3: 0}] * 30


def test_one_tile_takes_the_largest_and_three_go_from_left_to_right() -> None:
    assert sides(run(still(20, (200, 100), (800, 200)), layout=ONE)) == [{1: 0}] * 20
    assert (
        sides(run(still(20, (900, 150), (500, 150), (100, 150)), layout=THREE)) == [{0: 2, 1: 1, 2: 0}] * 20
    )


def test_figures_of_the_report() -> None:
    figures: dict[str, Any] = {}
    run([*still(20, (200, 150), (800, 150)), *[{}] * 7], node=opened(figures))
    assert figures == {"identities": 2, "frames_without_face": 7}


def test_persons_are_small_numbers_and_stable() -> None:
    rows = [{17: (200, 150), 4: (800, 150)}] * 20 + [{4: (800, 150)}] * 20
    found = run(rows)
    by_track = {int(t): int(p) for people in found for t, p in zip(people.ids, people.persons, strict=True)}
    assert sorted(by_track.values()) == [0, 1]
    for people in found:
        assert all(by_track[int(t)] == p for t, p in zip(people.ids, people.persons, strict=True))


@st.composite
def films(draw: st.DrawFn) -> list[Row]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, k = draw(st.integers(1, 50)), draw(st.integers(0, 5))
    x, height = rng.uniform(0, WIDTH, k), rng.uniform(30, 200, k)
    rows = []
    for _ in range(n):
        x = np.clip(x + rng.normal(0, 30, k), 0, WIDTH)
        there = rng.random(k) < 0.8
        rows.append({i: (float(x[i]), float(height[i])) for i in range(k) if there[i]})
    return rows


@settings(max_examples=40)
@given(films(), st.sampled_from([None, 1, 7, 20]), st.sampled_from([ONE, THREE, ReidOffConfig().layout]))
def test_never_two_on_one_side_and_every_frame_answered(
    rows: list[Row], cut: int | None, layout: Layout
) -> None:
    people = run(rows, cut=cut, layout=layout)
    assert [int(c) for p in people for c in p.counts] == [len(row) for row in rows]
    for row, shown in zip(sides(people), rows, strict=True):
        assert len(set(row.values())) == len(row)
        assert len(row) >= min(1, len(shown))
        assert all(0 <= side < len(layout.tiles) for side in row.values())


@settings(max_examples=40)
@given(films(), st.integers(1, 16), st.sampled_from([None, 5, 11]))
def test_the_size_of_batches_changes_nothing(rows: list[Row], batch: int, cut: int | None) -> None:
    assert sides(run(rows, batch=batch, cut=cut)) == sides(run(rows, batch=1, cut=cut))


def test_it_never_owes_more_than_it_said() -> None:
    for batch in (1, 5, 8, 32):
        node, asked, answered = opened(), 0, 0
        for tracks, cuts in batches(still(100, (200, 150), (800, 150)), batch, None):
            asked += len(tracks)
            answer = node.process(tracks, cuts)
            answered += 0 if answer is None else len(answer)
            assert asked - answered <= most_owed(ReidOff.lookahead(node.config), batch)
        assert answered + sum(map(len, node.finish())) == asked


def test_snapshot_and_restore_go_on_as_if_nothing_had_been() -> None:
    rows = [{0: (200 + 6 * i, 150), 1: (800 - 6 * i, 150)} for i in range(100)]
    fed = batches(rows, 8, 48)
    for at in (1, 4, 8):
        first = opened()
        for each in fed[:at]:
            first.process(*each)
        second = opened()
        second.restore(first.snapshot())
        ends = []
        for node in (first, second):
            answers = [node.process(*each) for each in fed[at:]]
            ends.append(sides([a for a in answers if a is not None] + list(node.finish())))
        assert ends[0] == ends[1]
