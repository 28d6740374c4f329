"""bench=people: its figures, and the clips that it can make."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))

from people_score import ALPHAS, Frame, Score, frames, named, overlaps, score


def at(x: float) -> tuple[float, float, float, float]:
    return x, 100.0, x + 40, 150.0


def film(names: list[tuple[int, int]], tracks: list[tuple[int, int]] | None = None) -> list[Frame]:
    """Two people stand still; for each frame whom they are reported as."""
    places = at(100), at(300)
    return [
        Frame(
            [(1, places[0]), (2, places[1])],
            [],
            [(name, track, place) for name, track, place in zip(row, tracked, places, strict=True)],
        )
        for row, tracked in zip(names, tracks or names, strict=True)
    ]


def test_people_under_names_of_their_own_are_right() -> None:
    figures = score(film([(7, 4)] * 10)).figures()
    assert (figures["wrong"], figures["nameless"], figures["strayed"]) == (0, 0, 0)
    assert (figures["idf1"], figures["recall"], figures["swaps"]) == (1, 1, 0)
    assert figures["hota"] == pytest.approx(1)


def test_two_who_are_exchanged_and_set_right_are_wrong_in_between() -> None:
    figures = score(film([(0, 1)] * 10 + [(1, 0)] * 4 + [(0, 1)] * 6)).figures()
    assert figures["wrong"] == pytest.approx(8 / 40)
    assert (figures["swaps"], figures["delay"]) == (2, 4)
    assert figures["strayed"] == pytest.approx(8 / 40)
    assert figures["idf1"] == pytest.approx(32 / 40)


def test_what_is_never_set_right_counts_until_the_end() -> None:
    assert score(film([(0, 1)] * 10 + [(1, 0)] * 4)).delays == [4, 4]


def test_a_new_name_is_nameless_and_no_swap() -> None:
    figures = score(film([(0, 1)] * 10 + [(2, 1)] * 5)).figures()
    assert (figures["wrong"], figures["swaps"]) == (0, 0)
    assert figures["nameless"] == pytest.approx(5 / 30)
    assert figures["strayed"] == 0


def test_a_person_set_right_on_a_track_that_strayed_is_right() -> None:
    right = [(0, 1)] * 20
    figures = score(film(right, [(5, 6)] * 12 + [(6, 5)] * 8)).figures()
    assert figures["wrong"] == 0
    assert figures["strayed"] == pytest.approx(16 / 40)
    assert figures["strays"] == 2


def test_boxes_on_faces_that_do_not_count_are_neither_right_nor_wrong(tmp_path: Path) -> None:
    truth, reported = tmp_path / "a.txt", tmp_path / "a.people.jsonl"
    truth.write_text("1,1,100,100,40,50,1,1,1\n1,2,300,100,40,50,1,1,0.2\n1,3,-30,100,40,50,1,1,0.9\n")
    rows = [(0, 100, 0.9), (1, 300, 0.9), (2, -30, 0.9), (3, 500, 0.9), (4, 100, 0.0)]
    faces = [{"person": p, "track": p, "box": at(x), "score": s} for p, x, s in rows]
    reported.write_text(json.dumps({"faces": faces}) + "\n")
    n = score(frames(truth, reported, (640, 360))).n
    assert (n["faces"], n["found"], n["right"], n["boxes"]) == (1, 1, 1, 2)


def test_true_names_are_what_can_be_reached() -> None:
    clip = film([(0, 1)] * 5 + [(2, 3)] * 5)
    clip[0].reported.append((9, 9, at(500)))
    n = score(named(clip)).n
    assert (n["right"], n["wrong"], n["nameless"], n["boxes"]) == (20, 0, 0, 21)


def test_scores_add_up_over_clips() -> None:
    total = Score()
    total.add(score(film([(0, 1)] * 10)))
    total.add(score(film([(0, 1)] * 5 + [(1, 0)] * 5)))
    assert total.figures()["wrong"] == pytest.approx(10 / 40)


def test_hota_is_that_of_trackeval() -> None:
    trackeval = pytest.importorskip("trackeval", reason="the cross-check needs the package trackeval")
    rng = np.random.default_rng(3)
    clip, data = [], {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}  # type: ignore[var-annotated]
    for i in range(60):
        there = [k for k in range(3) if rng.random() < 0.9]
        seen = [k for k in range(3) if rng.random() < 0.8]
        true = {k: (100.0 * k, 50.0, 100.0 * k + 40, 100.0) for k in there}
        found = {k: tuple(np.array((100.0 * k, 50, 100 * k + 40, 100)) + rng.normal(0, 4, 4)) for k in seen}
        names = {k: (k if i < 35 or k == 2 else 1 - k) for k in seen}
        clip.append(Frame(list(true.items()), [], [(names[k], k, found[k]) for k in seen]))  # type: ignore[misc]
        data["gt_ids"].append(np.array(there, int))
        data["tracker_ids"].append(np.array([names[k] for k in seen], int))
        data["similarity_scores"].append(overlaps(list(true.values()), list(found.values())))  # type: ignore[arg-type]
    data |= {
        "num_gt_ids": 3, "num_tracker_ids": 3,
        "num_gt_dets": sum(map(len, data["gt_ids"])), "num_tracker_dets": sum(map(len, data["tracker_ids"])),
    }  # fmt: skip
    theirs = trackeval.metrics.HOTA().eval_sequence(data)["HOTA"]
    assert len(theirs) == len(ALPHAS)
    assert score(clip).figures()["hota"] == pytest.approx(float(np.mean(theirs)), abs=1e-9)


@pytest.fixture(scope="module")
def cast() -> list[Any]:
    from heads import heads

    found = heads([])
    if len(found) < 2:
        pytest.skip("the two portraits are in matplotlib and scikit-image: the extra 'demo'")
    return found


@pytest.mark.parametrize("kind", ["swap", "mixed"])
def test_a_made_clip_is_told_by_its_seed(
    cast: list[Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import crossing_clips
    import stage

    monkeypatch.setattr(stage, "SECONDS", 2)
    first, again, other = (
        crossing_clips.make(tmp_path / name, cast, kind, 1, seed)[0]
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    assert first.with_suffix(".txt").read_text() == again.with_suffix(".txt").read_text()
    facts = json.loads(first.with_suffix(".json").read_text())
    assert facts["seed"] == 5
    rows = [line.split(",") for line in first.with_suffix(".txt").read_text().splitlines()]
    assert {int(row[1]) for row in rows} == {1, 2}
    assert {int(row[0]) for row in rows} <= set(range(1, facts["T"] + 1))
    assert all(0 < float(row[8]) <= 1 for row in rows)


def test_the_bench_measures_a_made_clip(
    cast: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the clip over the graph to the figures: both portraits are found where they were put."""
    import crossing_clips
    import people
    import stage

    monkeypatch.setattr(stage, "SECONDS", 2)
    crossing_clips.make(tmp_path, cast, "swap", 1, 1)
    figures = people.measure(people.clips(tmp_path), people.POLICIES["tracker alone"][1])
    assert figures["recall"] > 0.7
    assert figures["track_us"] > 0
    assert 0 <= figures["wrong"] <= 1


def test_a_folder_without_clips_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import people

    assert people.main({"input": str(tmp_path)}) == 2
    assert "true boxes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("hw", "gpus", "runs"),
    [("auto", [], ["auto"]), ("auto", [0], ["cpu", "auto"]), ("cpu", [0], ["cpu"]), ("h100", [], ["h100"])],
)
def test_it_runs_on_the_cpu_and_on_a_gpu_where_there_is_one(
    hw: str, gpus: list[int], runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import people

    from dualface.hw import probe

    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.txt").touch()
    told: list[str] = []
    monkeypatch.setattr(probe, "machine_gpus", lambda: gpus)
    monkeypatch.setattr(people, "bench", lambda folders, overrides, where: told.append(overrides[0]) or 0)
    assert people.main({"input": str(tmp_path), "hw": {"name": hw}}) == 0
    assert told == [f"hw={run}" for run in runs]
