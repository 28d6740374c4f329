"""detect/yunet on the GPU against the CPU, on real pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu.nodes import Opened, film

from dualface.graph.node import Device
from dualface.graph.types import Frames, spans
from dualface.hw.cuda import on
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.yunet import Yunet, YunetConfig


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
