"""write/people: one line a frame, in the words of the record."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import NO_SIDE, Cuts, Layout, People, Shots, Tile, Video
from dualface.nodes.write import WritePeople, WritePeopleConfig


def job(output: Path) -> Job:
    return Job("x", "x.mp4", output, Video(640, 360, Fraction(1, 30)), 0, 0.0, "h264", "yuv420p")


def opened(output: Path, **options: Any) -> WritePeople:
    node = WritePeople(WritePeopleConfig(**options))

    def write_as(path: Path) -> Path:
        return path.with_name(f"{path.name}.part")

    folder = output.with_name(".unfinished")
    folder.mkdir(exist_ok=True)
    node.open(Context(job(output), "record", 8, 1, lambda e: None, lambda: False, write_as,
                      lambda n, v: None, lambda n, v: None, workspace=lambda: folder))  # fmt: skip
    return node


def people() -> People:
    """Two faces in the first frame, none in the second, one without a side in the third."""
    return People(
        np.array([2, 0, 1], np.int64),
        np.array([[1, 2, 30.123, 40], [300, 2, 330, 40], [10, 20, 30, 40]], np.float32),
        np.array([0.91234, 0.8, 0.0], np.float32),
        np.full((3, 5, 2), np.nan, np.float32),
        np.array([4, 7, 9], np.int64),
        np.array([0, 1, 2], np.int64),
        np.array([0, 1, NO_SIDE], np.int64),
    )


def cuts() -> Cuts:
    return Cuts(np.zeros(3, bool), np.array([0.0, 1 / 30, 0.5]))


def shots() -> Shots:
    crops = np.tile(np.array([[0, 0, 320, 360], [320, 0, 640, 360.25]], np.float32), (3, 1, 1))
    return Shots(("left", "right"), crops, np.array([[False, False], [False, False], [False, True]]))


def lines(output: Path, given: Shots | None, **options: Any) -> list[dict[str, Any]]:
    node = opened(output, **options)
    node.process(people(), cuts(), given)
    list(node.finish())
    node.close()
    (path,) = WritePeople.writes(node.config, job(output))
    assert not path.exists(), "it was written under its final name"
    return [json.loads(line) for line in path.with_name(f"{path.name}.part").read_text().splitlines()]


def test_a_line_is_what_the_record_promises(tmp_path: Path) -> None:
    first, second, third = lines(tmp_path / "x_dual.mp4", shots())
    assert first["frame"] == 0
    assert first["pts"] == 0.0
    assert first["faces"][0] == {
        "person": 0, "track": 4, "side": "left", "box": [1.0, 2.0, 30.12, 40.0], "score": 0.912,
    }  # fmt: skip
    assert first["faces"][1]["side"] == "right"
    assert first["shots"] == {"left": [0, 0, 320, 360], "right": [320, 0, 640, 360.25]}
    assert second == {"frame": 1, "pts": 0.033333, "faces": [], "shots": first["shots"]}
    assert third["faces"][0]["side"] is None
    assert third["shots"] == {"left": [0, 0, 320, 360]}  # the other tile is blank


def test_without_a_camera_there_are_no_shots(tmp_path: Path) -> None:
    assert all("shots" not in line for line in lines(tmp_path / "x.people.jsonl", None))


def test_sides_have_the_names_of_the_tiles(tmp_path: Path) -> None:
    layout = Layout(200, 100, (Tile("links", 0, 0, 100, 100), Tile("rechts", 100, 0, 100, 100)))
    first = lines(tmp_path / "x_dual.mp4", None, layout=layout)[0]
    assert [face["side"] for face in first["faces"]] == ["links", "rechts"]


def test_frames_are_counted_over_all_batches(tmp_path: Path) -> None:
    node = opened(tmp_path / "x.people.jsonl")
    for _ in range(3):
        node.process(people(), cuts(), None)
    list(node.finish())
    node.close()
    text = (tmp_path / "x.people.jsonl.part").read_text()
    assert [json.loads(line)["frame"] for line in text.splitlines()] == list(range(9))


@pytest.mark.parametrize(
    ("output", "record"),
    [
        ("x_dual.mp4", "x_dual.people.jsonl"),
        ("이름, [1] = '둘'.v2.mkv", "이름, [1] = '둘'.v2.people.jsonl"),
        ("x.people.jsonl", "x.people.jsonl"),
    ],
)
def test_the_record_is_named_after_the_output(output: str, record: str) -> None:
    assert WritePeople.writes(WritePeopleConfig(), job(Path("out") / output)) == (Path("out") / record,)


@pytest.mark.parametrize("lost", [0, 1])
def test_it_goes_on_from_a_snapshot(tmp_path: Path, lost: int) -> None:
    """Killed ``lost`` batches after the snapshot."""
    output = tmp_path / "x.people.jsonl"
    killed = opened(output)
    killed.process(people(), cuts(), shots())
    snapshot = {name: array.copy() for name, array in killed.snapshot().items()}
    for _ in range(lost):
        killed.process(people(), cuts(), shots())
    killed.close()
    assert not output.with_name("x.people.jsonl.part").exists()
    node = opened(output)
    node.restore(snapshot)
    node.process(people(), cuts(), None)
    list(node.finish())
    node.close()
    written = output.with_name("x.people.jsonl.part").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in written] == list(range(6))
    assert ["shots" in json.loads(line) for line in written] == [True] * 3 + [False] * 3


def test_a_record_that_was_cut_off_is_not_gone_on_with(tmp_path: Path) -> None:
    output = tmp_path / "x.people.jsonl"
    node = opened(output)
    node.process(people(), cuts(), None)
    snapshot = node.snapshot()
    node.close()
    left = tmp_path / ".unfinished" / "people.jsonl"
    left.write_bytes(left.read_bytes()[:-1])
    node = opened(output)
    with pytest.raises(InputError, match=r"x.people.jsonl: what was left of it in .* is cut off"):
        node.restore(snapshot)
    node.close()
