from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface.hw.history import History


def test_a_short_run_keeps_every_sample() -> None:
    history = History()
    history.add(0.0, {"cpu": 10})
    history.add(1.0, {"cpu": 30, "disk": 5})
    told = history.told()
    assert told["samples"] == 2
    assert told["figures"] == {
        "cpu": {"min": 10, "mean": 20, "max": 30},
        "disk": {"min": 5, "mean": 5, "max": 5},
    }
    assert told["timeline"] == {"seconds": [0.0, 1.0], "cpu": [10, 30], "disk": [None, 5]}


def test_nothing_seen_is_nothing_told() -> None:
    assert History().told() == {"samples": 0, "figures": {}, "timeline": {"seconds": []}}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300))
def test_a_long_run_is_thinned_out_and_loses_no_extreme(values: list[float]) -> None:
    history = History(points=8)
    for second, value in enumerate(values):
        history.add(second, {"x": value})
    told = history.told()
    line = told["timeline"]
    assert len(line["seconds"]) == len(line["x"]) <= 8
    assert line["seconds"] == sorted(line["seconds"])
    figures = told["figures"]["x"]
    assert figures["min"] == round(min(values), 2)
    assert figures["max"] == round(max(values), 2)
    assert figures["mean"] == pytest.approx(sum(values) / len(values), abs=0.01)
    # All points but the last stand for the same time.
    assert (
        len({round(b - a, 2) for a, b in zip(line["seconds"][:-1], line["seconds"][1:-1], strict=False)}) <= 1
    )


def test_a_night_is_six_hundred_points_at_most() -> None:
    history = History()
    for second in range(12 * 3600):
        history.add(second, {"x": second})
    line = history.told()["timeline"]
    assert 300 <= len(line["x"]) <= 600
    assert line["x"] == line["seconds"]
