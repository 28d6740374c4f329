"""What is wrong with a crop, and what a tile shows instead."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface.graph.types import Shots, Tile, Video
from dualface.nodes.compose.policy import Action, Reason, fault, fitted, usable, ways

nan, inf = math.nan, math.inf


@pytest.mark.parametrize(
    ("crop", "reason"),
    [
        ((0, 0, 320, 240), Reason.fine),
        ((-30, -20, 100, 90), Reason.fine),  # its edges repeat
        ((-100, -50, 420, 290), Reason.fine),
        ((318, 238, 400, 300), Reason.fine),
        ((nan, nan, nan, nan), Reason.missing),
        ((nan, 0, 10, 10), Reason.not_finite),
        ((0, 0, inf, 10), Reason.not_finite),
        ((-inf, 0, inf, 10), Reason.not_finite),
        ((inf, 0, inf, 10), Reason.not_finite),
        ((50, 50, 50, 90), Reason.empty),
        ((50, 90, 90, 50), Reason.empty),
        ((50, 50, 51.5, 90), Reason.size),
        ((-400, -400, 800, 800), Reason.size),
        ((0, 0, 3e38, 3e38), Reason.size),
        ((321, 0, 400, 90), Reason.outside),
        ((0, -90, 90, 0), Reason.outside),
        ((319, 0, 400, 90), Reason.outside),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_crop(crop: Any, reason: Reason) -> None:
    assert fault(crop, (320, 240)) is reason


numbers = st.floats(width=32) | st.floats(-50, 400, width=32)


@given(st.tuples(numbers, numbers, numbers, numbers), st.integers(4, 4000), st.integers(4, 4000))
def test_a_crop_that_is_fine_shows_something_and_is_no_giant(crop: Any, width: int, height: int) -> None:
    x0, y0, x1, y1 = crop
    if fault(crop, (width, height)) is Reason.fine:
        assert all(map(math.isfinite, crop))
        assert 2 <= x1 - x0 <= 2 * width
        assert 2 <= y1 - y0 <= 2 * height
        assert min(x1, width) - max(x0, 0) >= 2
        assert min(y1, height) - max(y0, 0) >= 2


def test_ways_are_as_configured() -> None:
    assert ways("last", True) == (Action.last,)
    assert ways("last", False) == (Action.wide, Action.blank)
    for has_last in (True, False):
        assert ways("wide", has_last) == (Action.wide, Action.blank)
        assert ways("blank", has_last) == (Action.blank,)
        assert ways("fail", has_last) == ()


even = st.integers(1, 1000).map(lambda n: 2 * n)


@given(even, even, st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([0, 90, 180, 270]),
       st.fractions(Fraction(1, 4), 4, max_denominator=16))  # fmt: skip
def test_the_whole_picture_fits_in_its_own_shape(
    wide: int, high: int, width: int, height: int, rotation: int, aspect: Fraction
) -> None:
    tile = Tile("one", 4, 6, wide, high)
    video = Video(width, height, Fraction(1, 30), rotation=rotation, pixel_aspect=aspect)
    part = fitted(tile, video)
    assert not any(v % 2 for v in (part.x, part.y, part.width, part.height))
    assert tile.x <= part.x
    assert tile.y <= part.y
    assert 2 <= part.width <= tile.x + wide - part.x
    assert 2 <= part.height <= tile.y + high - part.y
    # As large as it can be, and in the middle, to the pixels that 4:2:0 allows.
    assert part.width >= wide - 2 or part.height >= high - 2
    assert abs((part.x - tile.x) - (tile.x + wide - part.x - part.width)) <= 2
    shape = Fraction(*video.display_size) * video.display_aspect
    if min(part.width, part.height) > 2:
        assert abs(part.width - part.height * shape) <= 2 + 2 * shape


anything = st.sampled_from(["f4", "f8", "i8", "?", "U3", "O"])


@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(0, 4), max_size=4), anything, anything)
def test_any_shots_become_usable_ones(a: list[int], b: list[int], of: str, flags: str) -> None:
    shots = Shots(("left", "right"), np.zeros(a, of), np.ones(b, flags))  # type: ignore[arg-type]
    crops, blank = usable(shots, 3, 2)
    assert (crops.shape, crops.dtype) == ((3, 2, 4), np.float32)
    assert (blank.shape, blank.dtype) == ((3, 2), np.bool_)
    good = len(a) == 3 and a[2] == 4 and of in ("f4", "f8", "i8", "?")
    there = np.zeros((3, 2), bool)
    if good:
        there[: a[0], : a[1]] = True
    assert (np.isfinite(crops).all(-1) == there).all()


def test_shots_as_they_should_be_are_taken_as_they_are() -> None:
    shots = Shots(("one",), np.zeros((2, 1, 4), np.float32), np.zeros((2, 1), np.bool_))
    crops, blank = usable(shots, 2, 1)
    assert crops is shots.crops
    assert blank is shots.blank
