"""detect/yunet: the small copy, the heads, and faces on real footage."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dualface import zoo
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Color, Frames, Video, spans
from dualface.nodes.detect.heads import decode, suppress
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.small import STEP, bgr_rows, plan_small, small_chroma, small_luma, write_channels
from dualface.nodes.detect.yunet import Yunet
from dualface.nodes.roles import Detected

Pictures = np.ndarray[Any, Any]


def video(width: int, height: int, **more: Any) -> Video:
    return Video(width, height, Fraction(1, 30), Fraction(30), **more)


def opened(shape: Video, **options: Any) -> Yunet:
    job = Job("x", "x.mp4", Path("y.mp4"), shape, 0, 0.0, "h264", "yuv420p")
    node = Yunet(YunetConfig(**options))
    node.open(Context(job, "detect", 8, 1, lambda e: None, lambda: False, lambda p: p,
                      lambda n, v: None, lambda n, v: None))  # fmt: skip
    return node


def look(pictures: Pictures, shape: Video, batch: int = 8, **options: Any) -> list[Detected]:
    node = opened(shape, **options)
    try:
        return [
            node.process(Frames(part, np.arange(a, a + len(part)), shape, a))
            for a in range(0, len(pictures), batch)
            for part in [pictures[a : a + batch]]
        ]
    finally:
        node.close()


def read(clip: Path, most: int, step: int = 1) -> Pictures:
    with av.open(str(clip)) as file:
        pictures = []
        for i, frame in enumerate(file.decode(video=0)):
            if i % step == 0:
                pictures.append(frame.reformat(format="nv12").to_ndarray())
            if len(pictures) == most:
                break
    return np.stack(pictures)


@pytest.fixture(scope="module")
def duo(footage: Path) -> Pictures:
    return read(footage / "duo_1080p.mp4", 4, 60)


def boxes(found: list[Detected]) -> list[np.ndarray]:
    return [d.faces.boxes[s] for d in found for s in spans(d.faces.counts)]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("size", [(1920, 1080), (1367, 771), (97, 251), (3, 5), (480, 270)])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)])
def test_small_pixels_know_where_they_come_from(
    size: tuple[int, int], rotation: int, aspect: Fraction
) -> None:
    """The middle of a bright spot in the small copy is that of the spot in the display picture."""
    shape = video(*size, rotation=rotation, pixel_aspect=aspect)
    plan = plan_small(shape, 240)
    assert plan.padded[0] % STEP == plan.padded[1] % STEP == 0
    assert plan.padded[0] >= plan.size[0]
    assert plan.padded[1] >= plan.size[1]
    width, height = size
    yy, xx = np.mgrid[: height + height % 2, : width + width % 2]
    at = np.array([0.4 * width, 0.6 * height])
    reach = 0.07 * np.array(size)
    spot = 255 * np.exp(-(((xx + 0.5 - at[0]) / reach[0]) ** 2 + ((yy + 0.5 - at[1]) / reach[1]) ** 2) / 2)
    luma = small_luma(spot.astype(np.uint8), plan)
    assert luma.shape == plan.size[::-1]
    if min(size) < 50:
        return  # too coarse to have a middle
    rows, columns = np.mgrid[: luma.shape[0], : luma.shape[1]]
    weight = luma / luma.sum()
    middle = np.array([(weight * (columns + 0.5)).sum(), (weight * (rows + 0.5)).sum()])
    found = middle * plan.scale + plan.offset
    x, y = at
    shown = {0: (x, y), 90: (height - y, x), 180: (width - x, height - y), 270: (y, width - x)}[rotation]
    np.testing.assert_allclose(found, shown, atol=0.5)


def test_small_sources_are_enlarged_but_not_without_end() -> None:
    assert plan_small(video(640, 360), 960).size == (960, 540)
    assert plan_small(video(100, 50), 960).size == (200, 100)
    assert plan_small(video(1080, 1920), 480).size == (270, 480)


@pytest.mark.parametrize(
    ("color", "height", "of_swscale"),
    [
        (Color("tv", "bt709"), 480, ("tv", "bt709")),
        (Color("pc", "bt709"), 480, ("pc", "bt709")),
        (Color("tv", "smpte170m"), 1080, ("tv", "bt601")),
        (Color(), 1080, ("tv", "bt709")),
        (Color(), 480, ("tv", "bt601")),
    ],
)
def test_colours_are_those_of_the_source(color: Color, height: int, of_swscale: tuple[str, str]) -> None:
    """The same samples through FFmpeg's scaler come out alike."""
    samples = np.array(
        [[40, 90, 200], [120, 60, 160], [180, 140, 90], [235, 128, 128], [16, 128, 128]], np.uint8
    )
    expected, found = [], []
    for y, u, v in samples:
        nv12 = np.concatenate([np.full((16, 32), y, np.uint8), np.tile(np.array([u, v], np.uint8), (8, 16))])
        frame = av.VideoFrame.from_ndarray(nv12, format="nv12")
        ranges = {"tv": "MPEG", "pc": "JPEG"}
        matrix = {"bt709": "ITU709", "bt601": "ITU601"}[of_swscale[1]]
        rgb = frame.reformat(
            format="bgr24", src_colorspace=matrix, dst_colorspace=matrix,
            src_color_range=ranges[of_swscale[0]], dst_color_range="JPEG",
        ).to_ndarray()  # fmt: skip
        expected.append(rgb[8, 16])
        plane = np.zeros((3, 32, 32), np.float32)
        plan = plan_small(video(32, 16), 32)
        write_channels(
            small_luma(nv12[:16], plan), *small_chroma(nv12[16:], plan), bgr_rows(color, height), plane
        )
        found.append(plane[:, 8, 16])
        assert not plane[:, 16:].any(), "the padding is not black"
    np.testing.assert_allclose(found, np.array(expected, float), atol=2.5)


def test_heads_are_read_as_yunet_writes_them() -> None:
    """One face on the grid of stride 16, and a weaker double that is suppressed."""
    outputs = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) * (96 // stride)
        for name, depth in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{name}_{stride}"] = np.zeros((1, cells, depth), np.float32)
    for cell, score in ((2 * 6 + 3, 0.81), (2 * 6 + 4, 0.64)):  # row 2, columns 3 and 4
        outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = score, 1.0
        outputs["bbox_16"][0, cell] = [0.5 - (cell - 15), -0.25, np.log(2.0), np.log(1.5)]
        outputs["kps_16"][0, cell] = np.arange(10) / 10
    (found,) = decode(outputs, 96, score=0.6, nms=0.3, most=5)
    np.testing.assert_allclose(found.scores, [0.9], atol=1e-6)
    np.testing.assert_allclose(found.boxes, [[56 - 16, 28 - 12, 56 + 16, 28 + 12]], atol=1e-4)
    np.testing.assert_allclose(found.landmarks[0, 1], [(3 + 0.2) * 16, (2 + 0.3) * 16], atol=1e-4)
    assert len(decode(outputs, 96, score=0.6, nms=1.0, most=5)[0].scores) == 2
    assert len(decode(outputs, 96, score=0.6, nms=1.0, most=1)[0].scores) == 1
    assert len(decode(outputs, 96, score=0.95, nms=0.3, most=5)[0].scores) == 0


def test_two_people_are_found_where_they_sit(duo: Pictures) -> None:
    for found in boxes(look(duo, video(1920, 1080))):
        assert len(found) == 2
        left, right = found[np.argsort(found[:, 0])]
        assert 200 < left[3] - left[1] < 420
        assert 200 < right[3] - right[1] < 420
        assert left[2] < right[0]


def test_landmarks_are_inside_and_in_order(duo: Pictures) -> None:
    for d in look(duo, video(1920, 1080)):
        for box, points in zip(d.faces.boxes, d.faces.landmarks, strict=True):
            assert ((points > box[:2]) & (points < box[2:])).all()
            assert points[0, 0] < points[1, 0]  # eyes, from the left
            assert points[:2, 1].max() < points[3:, 1].min()  # above the mouth


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_phone_gives_the_same_faces(duo: Pictures, rotation: int) -> None:
    """The picture stored lying, with the flag that shows it upright."""
    upright = boxes(look(duo[:1], video(1920, 1080)))[0]
    turn = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}[rotation]
    luma = cv2.rotate(duo[0, :1080], turn)
    chroma = cv2.rotate(duo[0, 1080:].reshape(540, 960, 2), turn)
    stored = np.concatenate([luma, chroma.reshape(luma.shape[0] // 2, luma.shape[1])])[None]
    turned = boxes(look(stored, video(luma.shape[1], luma.shape[0], rotation=rotation)))[0]
    order = [b[np.argsort(b[:, 0])] for b in (upright, turned)]
    np.testing.assert_allclose(order[1], order[0], atol=12)


def test_faces_of_eleven_pixels_are_found(footage: Path) -> None:
    pictures = read(footage / "four_270p.mp4", 6, 15)
    found = boxes(look(pictures, video(480, 270)))
    assert [len(f) for f in found] == [4] * 6


def test_pictures_that_are_skipped_say_so(duo: Pictures) -> None:
    pictures = np.repeat(duo[:1], 7, axis=0)
    found = look(pictures, video(1920, 1080), batch=2, every=3)
    assert np.concatenate([d.faces.looked for d in found]).tolist() == [True, False, False] * 2 + [True]
    assert np.concatenate([d.faces.counts for d in found]).tolist() == [2, 0, 0] * 2 + [2]


def test_a_new_scene_is_looked_at_at_once(duo: Pictures) -> None:
    other = np.ascontiguousarray(duo[0, :, ::-1])
    other[1080:] = duo[0, 1080:].reshape(540, 960, 2)[:, ::-1].reshape(540, 1920)
    other[:1080] = 255 - other[:1080]
    pictures = np.stack([duo[0]] * 6 + [other] * 3)
    found = look(pictures, video(1920, 1080), batch=4, every=5)
    assert np.flatnonzero(np.concatenate([d.cuts.flags for d in found])).tolist() == [6]
    assert np.flatnonzero(np.concatenate([d.faces.looked for d in found])).tolist() == [0, 5, 6]


def test_opencvs_own_reader_finds_the_same_face() -> None:
    """Box and landmarks of scikit-image's astronaut, at full size, beside cv2.FaceDetectorYN."""
    data = pytest.importorskip("skimage.data", reason="the astronaut comes with the extra 'demo'")
    frame = av.VideoFrame.from_ndarray(data.astronaut(), "rgb24").reformat(
        format="nv12", dst_colorspace="ITU709", dst_color_range="MPEG"
    )
    shape = video(512, 512, color=Color("tv", "bt709"))
    (found,) = look(frame.to_ndarray()[None], shape, size=512)
    reader = cv2.FaceDetectorYN.create(str(zoo.weights_path("yunet")), "", (512, 512), 0.6, 0.3)
    _, theirs = reader.detect(data.astronaut()[..., ::-1].copy())
    assert found.faces.counts.tolist() == [len(theirs)] == [1]
    x, y, width, height, *points = theirs[0, :14]
    np.testing.assert_allclose(found.faces.boxes[0], [x, y, x + width, y + height], atol=2)
    np.testing.assert_allclose(found.faces.landmarks[0].ravel(), points, atol=2)
    assert abs(found.faces.scores[0] - theirs[0, 14]) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_that_of_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (40, 2))
    given = np.hstack([corners, corners + rng.uniform(5, 40, (40, 2))]).astype(np.float32)
    scores = rng.uniform(0.5, 1, 40).astype(np.float32)
    kept: list[int] = []
    for i in sorted(range(40), key=lambda k: -scores[k]):
        x0, y0, x1, y1 = (float(v) for v in given[i])
        for k in kept:
            a0, b0, a1, b1 = (float(v) for v in given[k])
            shared = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
            if shared > 0.3 * ((x1 - x0) * (y1 - y0) + (a1 - a0) * (b1 - b0) - shared):
                break
        else:
            kept.append(i)
    assert suppress(given, scores, 0.3) == kept


def test_the_size_of_batches_changes_nothing(duo: Pictures) -> None:
    one, four = (look(duo, video(1920, 1080), batch=n) for n in (1, 4))
    for a, b in zip(boxes(one), boxes(four), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_empty_picture_has_nobody() -> None:
    pictures = np.concatenate(
        [np.full((3, 120, 160), 90, np.uint8), np.full((3, 60, 160), 128, np.uint8)], axis=1
    )
    (found,) = look(pictures, video(160, 120))
    assert found.faces.counts.tolist() == [0, 0, 0]
    assert found.faces.boxes.shape == (0, 4)
    assert found.faces.landmarks.shape == (0, 5, 2)
    assert found.faces.looked.all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"score": 1.2}, "score is 1.2"),
        ({"size": 10}, "size is 10"),
        ({"every": 0}, "every is 0"),
        ({"cut": -1.0}, "cut is -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        YunetConfig(**options)
