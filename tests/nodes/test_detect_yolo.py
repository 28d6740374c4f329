"""detect/yolo: networks that a test made, as their descriptors say they are."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto
from yolo_net import CLASS, POINTS, describe, network, nv12, picture

from dualface import paths
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.registry import installed
from dualface.graph.types import Color, Frames, Video
from dualface.nodes.detect.cuts import CutFinder
from dualface.nodes.detect.described import Described, described
from dualface.nodes.detect.look_cpu import CpuEyes
from dualface.nodes.detect.yolo import Yolo, YoloConfig, _network
from dualface.nodes.detect.yolo_heads import decode_yolo
from dualface.nodes.roles import Detected
from dualface.zoo import ModelError

LEFT, RIGHT = (190.0, 190.0, 60), (450.0, 190.0, 80)  # middle and side, in 640x360, each within a cell
HEADS = ("yolov5-face", "yolov8-face")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    return tmp_path


def video(width: int = 640, height: int = 360, **more: Any) -> Video:
    return Video(width, height, Fraction(1, 30), Fraction(30), color=Color("tv", "smpte170m"), **more)


def job(shape: Video) -> Job:
    return Job("x", "x.mp4", Path("y.mp4"), shape, 0, 0.0, "h264", "yuv420p")


def look(images: list[Any], shape: Video | None = None, **options: Any) -> Detected:
    shape = shape or video()
    node = Yolo(YoloConfig(**{"model": "red", **options}))
    data = np.stack([nv12(image) for image in images])
    try:
        node.open(Context(job(shape), "detect", 8, 1, lambda e: None, lambda: False, lambda p: p,
                          lambda n, v: None, lambda n, v: None))  # fmt: skip
        return node.process(Frames(data, np.arange(len(data)), shape, 0))
    finally:
        node.close()


def expected(*squares: tuple[float, float, float]) -> Any:
    return np.array([(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in squares])


def in_order(found: Detected) -> tuple[Any, Any]:
    """Boxes and landmarks from left to right."""
    order = np.argsort(found.faces.boxes[:, 0])
    return found.faces.boxes[order], found.faces.landmarks[order]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("size", [None, (640, 640), (640, 384)], ids=str)
def test_squares_are_found_where_they_are(home: Path, head: str, size: tuple[int, int] | None) -> None:
    """By free and by fixed exports, which show more of the fill."""
    wide, high = size or (640, 640)
    describe(home, network(head, size=size), head=head, size=f"{wide}x{high}")
    found = look([picture((640, 360), LEFT, RIGHT)] * 3)
    assert found.faces.counts.tolist() == [2, 2, 2]
    assert found.faces.looked.all()
    score = CLASS if head == "yolov5-face" else 1.0
    np.testing.assert_allclose(found.faces.scores, score, atol=1e-3)
    boxes, landmarks = in_order(found)
    np.testing.assert_allclose(boxes[0], expected(LEFT)[0], atol=1.5)
    np.testing.assert_allclose(boxes[-1], expected(RIGHT)[0], atol=1.5)
    x, y, side = LEFT
    np.testing.assert_allclose(landmarks[0], (x, y) + POINTS * side, atol=1.5)


@pytest.mark.parametrize("head", HEADS)
def test_large_pictures_come_back_in_their_own_pixels(home: Path, head: str) -> None:
    describe(home, network(head, batch=1, size=(640, 640)), head=head)
    squares = [tuple(3 * v for v in square) for square in (LEFT, RIGHT)]
    found = look([picture((1920, 1080), *squares)] * 2, video(1920, 1080))  # type: ignore[arg-type]
    assert found.faces.counts.tolist() == [2, 2]
    np.testing.assert_allclose(in_order(found)[0][::2], expected(*squares)[[0, 1]], atol=4)  # type: ignore[arg-type]


def test_a_turned_phone_is_seen_upright(home: Path) -> None:
    describe(home, network(size=(384, 640)), size="384x640")
    upright = picture((360, 640), (190, 200, 60))
    found = look([np.rot90(upright, 1).copy()], video(rotation=90))
    np.testing.assert_allclose(found.faces.boxes, expected((190, 200, 60)), atol=1.5)


def test_a_fixed_batch_is_filled(home: Path) -> None:
    """Five pictures through a network that takes exactly three."""
    describe(home, network(batch=3, size=(640, 640)))
    images = [picture((640, 360), *[LEFT, RIGHT][: i % 3]) for i in range(5)]
    assert look(images, cut=0.0).faces.counts.tolist() == [0, 1, 2, 0, 1]


def test_pictures_may_be_passed_over(home: Path) -> None:
    describe(home, network())
    found = look([picture((640, 360), LEFT)] * 4, every=3)
    assert found.faces.looked.tolist() == [True, False, False, True]
    assert found.faces.counts.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(("head", "each"), [("yolov5-face", 0), ("yolov8-face", 0), ("yolov8-face", 2)])
def test_networks_may_have_fewer_numbers_for_landmarks(home: Path, head: str, each: int) -> None:
    describe(home, network(head, landmarks=each), head=head)
    found = look([picture((640, 360), LEFT)])
    assert found.faces.counts.tolist() == [1]
    assert found.faces.landmarks.shape == (1, 5, 2)
    assert np.isnan(found.faces.landmarks).all() == (each == 0)
    assert np.isfinite(found.faces.landmarks).all() == (each == 2)


def test_what_is_decoded_comes_before_what_is_raw(home: Path) -> None:
    describe(home, network(extra=True))
    assert look([picture((640, 360), LEFT)]).faces.counts.tolist() == [1]


def test_channels_scale_and_fill_are_those_described(home: Path) -> None:
    image = picture((640, 360), LEFT)
    describe(home, network(), channels="bgr")
    assert look([image]).faces.counts.tolist() == [0], "blue is no red"
    describe(home, network(), scale="2/255")  # twice as bright: sides grow by a root of two
    x, y, side = LEFT
    np.testing.assert_allclose(look([image]).faces.boxes, expected((x, y, side * 2**0.5)), atol=2)


def shown(shape: Video) -> Any:
    """What is put before the network for a white picture, ``[3, H, W]``."""
    eyes = CpuEyes(_network(YoloConfig(model="red"), shape), CutFinder(0.0))
    white = nv12(np.full((shape.height, shape.width, 3), 255, np.uint8))
    try:
        eyes.look(white[None], np.array([True]))
        return eyes.input[0]
    finally:
        eyes.close()


@pytest.mark.parametrize(("detector", "white", "fill"), [
    ({}, 1.0, 114 / 255),
    ({"fill": "0"}, 1.0, 0.0),
    ({"scale": "1", "fill": "128"}, 255.0, 128.0),
])  # fmt: skip
def test_beside_the_picture_is_the_fill(
    home: Path, detector: dict[str, str], white: float, fill: float
) -> None:
    describe(home, network(size=(640, 640)), **detector)
    given = shown(video())
    assert given.shape == (3, 640, 640)
    np.testing.assert_allclose(given[:, :360], white, rtol=0.01)
    np.testing.assert_allclose(given[:, 360:], fill, rtol=1e-6)
    describe(home, network(), **detector)
    assert shown(video()).shape == (3, 384, 640), "a free network is shown less fill"


def rows(*faces: tuple[float, ...]) -> Any:
    """An answer of a v5 head: boxes and scores, landmarks at zero."""
    return np.array([[*box, score, *[0] * 10, 1.0] for *box, score in faces], np.float32)[None]


def test_overlaps_are_dropped_and_the_surest_kept() -> None:
    answer = rows((50, 50, 20, 20, 0.7), (51, 50, 20, 20, 0.9), (90, 50, 20, 20, 0.8), (10, 9, 8, 8, 0.4))
    (found,) = decode_yolo(answer, "yolov5-face", "red", 0.5, 0.3, 16)
    np.testing.assert_allclose(found.scores, [0.9, 0.8], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[0], [41, 40, 61, 60])
    assert len(decode_yolo(answer, "yolov5-face", "red", 0.5, 1.0, 16)[0].scores) == 3
    assert decode_yolo(answer, "yolov5-face", "red", 0.5, 1.0, 1)[0].scores == pytest.approx([0.9])
    swapped = answer[..., :-1].transpose(0, 2, 1)[:, :5]
    np.testing.assert_array_equal(
        decode_yolo(swapped, "yolov8-face", "red", 0.5, 0.3, 16)[0].boxes, found.boxes
    )


@pytest.mark.parametrize(
    ("answer", "head", "says"),
    [
        (
            (1, 8400, 16),
            "yolov8-face",
            r"\[1, 8400, 16\], but a yolov8-face head gives \[n, 20 or 15 or 5, c",
        ),
        ((1, 20, 8400), "yolov5-face", r"\[1, 20, 8400\], but a yolov5-face head gives \[n, candidates, 16"),
        ((1, 3, 80, 80, 16), "yolov5-face", "decoded boxes"),
        ((1, 84, 8400), "yolov8-face", "correct detector.head"),
        ((300, 6), "yolov8-face", "without NMS"),
    ],
)
def test_answers_of_other_heads_are_one_sentence(answer: Any, head: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        decode_yolo(np.zeros(answer, np.float32), head, "red", 0.5, 0.3, 16)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("detector", "says"),
    [
        ({"head": "yolov9-face"}, "detector.head is 'yolov9-face'; it is yolov5-face or yolov8-face"),
        ({"head": "[1]"}, "detector.head is "),
        ({"size": "640"}, r"detector.size is '640'; it is width x height in multiples of 32"),
        ({"size": "600x600"}, "multiples of 32"),
        ({"channels": "rbg"}, "detector.channels is rbg; it is rgb or bgr"),
        ({"scale": "1/0"}, "detector.scale is '1/0'; it is a number above 0"),
        ({"fill": "300"}, "detector.fill is '300'; it is a grey level from 0 to 255"),
        ({"chanels": "rgb"}, "no key 'chanels'; did you mean 'channels'"),
        ({"size": "320x320"}, "takes pictures of 640x640, but its descriptor says 320x320"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(home: Path, detector: dict[str, str], says: str) -> None:
    describe(home, network(size=(640, 640)), **detector)
    (sentence,) = Yolo.check(YoloConfig(model="red"), job(video()))
    with pytest.raises(ModelError, match=says):
        raise ModelError(sentence)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"no network", "is not an ONNX file"),
        (network(channels=4), r"takes \[any, 4, any, any\]; detect/yolo needs pictures \[n, 3"),
        (network(kind=TensorProto.FLOAT16), "does not take 32-bit floats"),
    ],
    ids=["no network", "four channels", "16 bits"],
)
def test_files_of_another_kind_are_refused(home: Path, data: bytes, says: str) -> None:
    describe(home, data)
    (sentence,) = Yolo.check(YoloConfig(model="red"), job(video()))
    with pytest.raises(ModelError, match=says):
        raise ModelError(sentence)


def test_a_model_that_is_not_there_or_not_described(home: Path) -> None:
    assert "no model called 'red'" in Yolo.check(YoloConfig(model="red"), job(video()))[0]
    assert "has no 'detector'" in Yolo.check(YoloConfig(model="yunet"), job(video()))[0]
    describe(home, network())
    (home / "config" / "models" / "red.onnx").write_bytes(b"another")
    assert "is not the file it should be" in Yolo.check(YoloConfig(model="red"), job(video()))[0]
    with pytest.raises(ValueError, match="model is not given"):
        YoloConfig()


def test_the_example_in_the_docs_is_complete(home: Path) -> None:
    text = (paths.models_dir() / "README.md").read_text(encoding="utf-8")
    example, _of_people = (part.split("```")[0] for part in text.split("```yaml\n")[1:])
    data = network(batch=1, size=(640, 640))
    describe(home, data, name="my-faces")
    digest = hashlib.sha256(data).hexdigest()
    (home / "config" / "models" / "my-faces.yaml").write_text(example.replace("0f3c…", digest))
    assert Yolo.check(YoloConfig(model="my-faces"), job(video())) == ()
    assert described("my-faces") == described_by_defaults(home, data)


def described_by_defaults(home: Path, data: bytes) -> Described:
    """Channels, scale and fill left out."""
    describe(home, data, name="my-faces")
    return described("my-faces")


def test_auto_never_takes_it() -> None:
    assert installed().kinds["detect/yolo"].rank is None
