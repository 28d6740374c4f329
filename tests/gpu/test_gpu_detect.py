"""detect/yunet on the GPU against the CPU, on real pictures; detect/yolo on made ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu.nodes import Opened, film, still
from yolo_net import describe, network, nv12, picture

from dualface.graph.node import Device
from dualface.graph.types import Frames, spans
from dualface.hw.cuda import on
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.yolo import Yolo, YoloConfig
from dualface.nodes.detect.yunet import Yunet, YunetConfig
from dualface.zoo import ModelError


@pytest.mark.parametrize("clip", ["duo_1080p.mp4", "four_270p.mp4", "cuts_360p.mp4"])
@pytest.mark.parametrize("half", [False, True], ids=["float", "half"])
def test_the_same_faces_and_cuts_as_on_the_cpu(
    gpu: int, device: Device, footage: Path, clip: str, half: bool
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    import cupy

    job = film(footage / clip)
    source = Opened(PyavDecode(PyavConfig()), job, None)
    cpu = Opened(Yunet(YunetConfig()), job, None)
    other = Opened(Yunet(YunetConfig(backend="torch", half=half)), job, device)
    misses, errors = 0, list[float]()
    for number, batch in enumerate(source.batches()):
        if number == 15:
            break
        mine = cpu.node.process(batch)
        with on(device):
            data: Any = cupy.asarray(np.ascontiguousarray(batch.data))
        theirs = other.node.process(Frames(data, batch.pts, batch.video, batch.first))
        assert np.array_equal(mine.cuts.flags, theirs.cuts.flags)
        for a, b in zip(spans(mine.faces.counts), spans(theirs.faces.counts), strict=True):
            boxes, found = mine.faces.boxes[a], theirs.faces.boxes[b]
            sure = mine.faces.scores[a] > 0.65  # about the threshold, rounding decides
            for box in boxes[sure]:
                error = np.abs(found - box).max(axis=1).min() if len(found) else np.inf
                size = box[3] - box[1]
                misses += bool(error > size / 4)
                errors.append(float(error / size))
    assert len(errors) > 50
    assert misses == 0
    print(f"{clip}, half {half}: median {np.median(errors):.4f}, most {max(errors):.4f} of a box's height")
    # The small pictures are equal to the bit; the rest is how the network rounds.
    assert np.median(errors) < (0.002 if half else 1e-4)
    assert max(errors) < (0.15 if half else 0.001)
    count = other.figures["device_to_host_bytes"] / (15 * 8)
    assert count < 4096
    for node in (source, cpu, other):
        node.close()


@pytest.mark.parametrize("head", ["yolov5-face", "yolov8-face"])
@pytest.mark.parametrize("batch", [None, 1, 3], ids=lambda batch: f"batch {batch or 'free'}")
def test_a_network_of_ones_own_finds_what_it_finds_on_the_cpu(
    gpu: int, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, batch: int | None
) -> None:
    """By all batches of pictures, fixed ones too; also where a landmark is not a number."""
    pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    import cupy

    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    landmarks = 0 if batch == 3 else None
    size = None if batch is None else (640, 640)
    describe(tmp_path, network(head, batch=batch, size=size, landmarks=landmarks), head=head)
    rng, pictures = np.random.default_rng(1), []
    for i in range(8):
        squares = [(190.0 + rng.uniform(-9, 9), 190.0, 60 + i), (450.0, 190.0 + rng.uniform(-9, 9), 80 - i)]
        pictures.append(nv12(picture((640, 360), *squares[: i % 3])))
    data = np.stack(pictures)
    job = still(640, 360)
    cpu = Opened(Yolo(YoloConfig(model="red", cut=0.0)), job, None)
    mine = cpu.node.process(Frames(data, np.arange(8), job.video, 0))
    other = Opened(Yolo(YoloConfig(model="red", cut=0.0, backend="torch", half=False)), job, device)
    with on(device):
        there: Any = cupy.asarray(data)
    for _ in range(2):  # what an earlier batch left behind is not seen again
        theirs = other.node.process(Frames(there, np.arange(8), job.video, 0))
        assert mine.faces.counts.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
        assert theirs.faces.counts.tolist() == mine.faces.counts.tolist()
        for name in ("boxes", "scores", "landmarks"):
            ours, found = getattr(mine.faces, name), getattr(theirs.faces, name)
            np.testing.assert_allclose(found, ours, atol=0.02, err_msg=name)
    for node in (cpu, other):
        node.close()


def test_an_answer_of_another_head_is_one_sentence(
    gpu: int, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    describe(tmp_path, network("yolov5-face", size=(640, 640)), head="yolov8-face")
    with pytest.raises(ModelError, match="a yolov8-face head gives"):
        Opened(Yolo(YoloConfig(model="red", backend="torch")), still(640, 360), device)
