"""Whose tile is whose: bound to the person, wherever they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.nodes.reid.seats import Row, Seats

FPS = 30
WINDOW = 30


def seats(**options: Any) -> Seats:
    return Seats(2, **{"margin": 1.5, "reserve": 1.0, "smallest": 0.4, "enrolled": {}, **options})


def play(
    rows: list[Row], cuts: tuple[int, ...] = (), made: Seats | None = None, resume: int = -1
) -> list[Any]:
    """The tile of each person, for each frame."""
    made = made or seats()
    told = []
    begin = 0
    for i, row in enumerate(rows):
        if i == resume:
            fresh = seats(enrolled=made.enrolled)
            fresh.restore(made.snapshot())
            made = fresh
        begin = i if i in cuts else begin
        end = min([c for c in cuts if c > i] or [len(rows)])
        past, ahead = rows[max(begin, i - WINDOW) : i], rows[i + 1 : min(end, i + 1 + WINDOW)]
        told.append(made.step(past, row, ahead, i / FPS, 1 / FPS, i in cuts))
    return told


def people(frames: int, **where: tuple[float, float]) -> list[Row]:
    return [{int(person[1:]): place for person, place in where.items()} for _ in range(frames)]


def test_the_first_frame_is_right_although_one_of_them_comes_later() -> None:
    rows = people(10, p4=(0.7, 0.2)) + people(60, p4=(0.7, 0.2), p9=(0.3, 0.2))
    told = play(rows)
    assert told[:10] == [{4: 1}] * 10
    assert told[10:] == [{4: 1, 9: 0}] * 60


def test_changing_places_changes_no_tile() -> None:
    rows = [{1: (0.2 + i / 200, 0.2), 2: (0.8 - i / 200, 0.2)} for i in range(120)]
    assert play(rows) == [{1: 0, 2: 1}] * 120
    swapped = people(60, p1=(0.2, 0.2), p2=(0.8, 0.2)) + people(60, p1=(0.8, 0.2), p2=(0.2, 0.2))
    assert play(swapped, cuts=(60,)) == [{1: 0, 2: 1}] * 120


def test_who_is_alone_has_the_nearer_tile_and_keeps_it() -> None:
    assert play(people(5, p3=(0.8, 0.2))) == [{3: 1}] * 5
    told = play(people(90, p3=(0.8, 0.2)) + people(90, p3=(0.2, 0.2), p5=(0.8, 0.2)), cuts=(90,))
    assert told[-1] == {3: 1, 5: 0}


def test_of_four_the_two_largest_get_the_tiles() -> None:
    rows = people(60, p1=(0.1, 0.1), p2=(0.4, 0.3), p3=(0.6, 0.1), p4=(0.9, 0.3))
    assert play(rows) == [{2: 0, 4: 1}] * 60


def test_a_tile_is_lent_where_its_owner_is_away_and_given_back() -> None:
    both, alone = people(60, p1=(0.3, 0.2), p2=(0.6, 0.2)), people(90, p2=(0.6, 0.2), p3=(0.9, 0.2))
    told = play(both + alone + people(60, p1=(0.3, 0.2), p2=(0.6, 0.2), p3=(0.9, 0.2)))
    assert told[59] == {1: 0, 2: 1}
    assert told[60:85] == [{2: 1}] * 25  # kept for a second
    assert told[95] == {2: 1, 3: 0}
    assert told[-1] == {1: 0, 2: 1}
    assert all(row[2] == 1 for row in told)


def test_behind_a_cut_a_tile_is_lent_at_once() -> None:
    rows = people(60, p1=(0.3, 0.2), p2=(0.6, 0.2)) + people(40, p7=(0.3, 0.2), p8=(0.7, 0.2))
    assert play(rows, cuts=(60,))[60:] == [{7: 0, 8: 1}] * 40


def test_who_is_seen_much_more_becomes_an_owner() -> None:
    rows = people(30, p1=(0.3, 0.2), p2=(0.7, 0.2)) + people(300, p3=(0.2, 0.2), p2=(0.7, 0.2))
    rows += people(30, p1=(0.3, 0.2), p2=(0.7, 0.2), p3=(0.9, 0.2))
    assert play(rows, cuts=(30, 330))[-1] == {2: 1, 3: 0}


def test_the_enrolled_have_their_tiles_and_nobody_else_while_one_is_there() -> None:
    made = seats(enrolled={0: 0, 1: 1})
    rows = people(40, p1=(0.2, 0.1), p5=(0.5, 0.4)) + people(20, p5=(0.5, 0.4))
    told = play(rows, made=made)
    assert told == [{1: 1}] * 40 + [{}] * 20
    assert (
        play(people(20, p6=(0.2, 0.2), p7=(0.7, 0.2)), made=seats(enrolled={0: 0, 1: 1}))
        == [{6: 0, 7: 1}] * 20
    )


def test_who_leaves_does_not_take_a_tile_along() -> None:
    """5 has been seen for three seconds more than 2, which is not enough, and is less so when gone."""
    made = seats()
    rows = people(90, p1=(0.2, 0.2), p2=(0.7, 0.2)) + people(180, p5=(0.8, 0.2)) + people(90, p6=(0.2, 0.2))
    play(rows, cuts=(90, 270), made=made)
    assert made.owners == [1, 2]
    made = seats()
    play(people(90, p1=(0.2, 0.2), p2=(0.7, 0.2)) + people(180, p5=(0.8, 0.2)) + people(90), made=made)
    assert made.owners == [1, 2]


def test_who_takes_a_tile_over_does_not_jump_to_it() -> None:
    """5 is lent the tile of 2, who has been seen more than 1."""
    rows = people(90, p1=(0.2, 0.2), p2=(0.7, 0.4)) + people(900, p5=(0.8, 0.4))
    made = seats()
    told = play(rows, cuts=(90,), made=made)
    assert told[90:] == [{5: 1}] * 900
    assert made.owners == [1, 5]


def test_one_enrolled_leaves_the_other_tile_to_who_matters() -> None:
    told = play(people(40, p0=(0.8, 0.2), p5=(0.2, 0.2)), made=seats(enrolled={0: 0}))
    assert told == [{0: 0, 5: 1}] * 40


def test_an_owner_who_turns_out_to_be_another_is_that_one() -> None:
    made = seats()
    play(people(30, p1=(0.3, 0.2), p2=(0.7, 0.2)), made=made)
    made.unite(2, 0)
    assert made.owners == [1, 0]
    made.unite(0, 1)
    assert made.owners == [1, -1]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 80), resume=st.integers(0, 80))
def test_never_two_in_a_tile_and_resuming_changes_nothing(seed: int, n: int, resume: int) -> None:
    rng = np.random.default_rng(seed)
    rows: list[Row] = [
        {p: (rng.uniform(0, 1), rng.uniform(0.05, 0.4)) for p in range(5) if rng.random() < 0.5}
        for _ in range(n)
    ]
    told = play(rows, cuts=(n // 2,))
    assert told == play(rows, cuts=(n // 2,), resume=resume)
    for row, tiles in zip(rows, told, strict=True):
        assert set(tiles) <= set(row)
        assert len(set(tiles.values())) == len(tiles)


@pytest.mark.parametrize("tiles", [1, 3])
def test_other_layouts_work_alike(tiles: int) -> None:
    made = Seats(tiles, margin=1.5, reserve=1.0, smallest=0.4, enrolled={})
    row: Row = {p: (0.1 + 0.2 * p, 0.2) for p in range(4)}
    told = made.step([], row, [row] * 30, 0.0, 0.0, False)
    assert sorted(told.values()) == list(range(tiles))
    assert list(told) == sorted(told, key=lambda p: told[p])
