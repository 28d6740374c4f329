"""track/trackers: the package's tracker behind our ports. test_conformance.py has its contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualface.graph.types import Cuts, Faces, Memory, Tracks, spans
from dualface.nodes.track.trackers import Trackers, TrackersConfig


def seen(rows: list[list[float] | None]) -> Faces:
    """Faces of 80x100 at the given x; ``None`` for a frame nobody looked at."""
    flat = [x for row in rows for x in row or []]
    return Faces(
        np.array([len(row or []) for row in rows], np.int64),
        np.array([(x, 100, x + 80, 200) for x in flat], np.float32).reshape(-1, 4),
        np.full(len(flat), 0.9, np.float32),
        np.array([np.full((5, 2), x) for x in flat], np.float32).reshape(-1, 5, 2),
        np.array([row is not None for row in rows], bool),
    )


def follow(
    rows: list[list[float] | None], cut: int = -1, **options: Any
) -> list[list[tuple[int, float, float]]]:
    """Id, x and score of what is shown in each frame, from left to right."""
    node = Trackers(TrackersConfig(**options))
    node.open(None)  # type: ignore[arg-type]
    n = np.arange(len(rows))
    tracks = node.process(seen(rows), Cuts(n == cut, n / 30))
    assert isinstance(tracks, Tracks)
    for box, marks, score in zip(tracks.boxes, tracks.landmarks, tracks.scores, strict=True):
        assert (marks == box[0]).all() if score else np.isnan(marks).all()
    return [
        sorted(
            zip(tracks.ids[s].tolist(), tracks.boxes[s, 0].tolist(), tracks.scores[s].tolist(), strict=True),
            key=lambda face: face[1],
        )
        for s in spans(tracks.counts)
    ]


def test_it_is_imported_without_the_package_and_asks_for_it() -> None:
    assert Trackers.needs(TrackersConfig(), Memory.CPU).packages == ("trackers", "supervision")


@pytest.mark.parametrize("options", [{"high": 1.5}, {"match": -0.1}, {"lost_seconds": -1.0}])
def test_options_that_cannot_be_are_told(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        TrackersConfig(**options)


class TestWithThePackage:
    @pytest.fixture(autouse=True)
    def _package(self) -> None:
        pytest.importorskip("trackers", reason="the extra 'trackers' is not installed")

    def test_people_who_sit_keep_their_ids(self) -> None:
        shown = follow([[100.0, 400.0]] * 20)
        assert shown[0] == []  # an id from the second sight on
        assert all([face[:2] for face in row] == [(0, 100), (1, 400)] for row in shown[1:])

    def test_a_scene_change_gives_new_ids(self) -> None:
        shown = follow([[100.0, 400.0]] * 20, cut=10)
        assert {face[0] for row in shown[11:] for face in row} == {2, 3}

    def test_where_nobody_looked_the_last_boxes_stay(self) -> None:
        shown = follow([[100.0], [102.0], None, None, [108.0]])
        assert [row[0][1:] for row in shown[1:]] == [
            pytest.approx(pair) for pair in ((102, 0.9), (102, 0), (102, 0), (108, 0.9))
        ]

    def test_the_time_that_a_face_may_be_lost_is_in_seconds(self) -> None:
        rows: list[list[float] | None] = [[100.0]] * 10 + [[]] * 12 + [[100.0]] * 5
        assert follow(rows)[-1][0][0] == 0
        assert follow(rows, lost_seconds=0.2)[-1][0][0] == 1
