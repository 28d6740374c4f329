"""reid/conditional's networks on the GPU against the CPU, on real faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gpu.nodes import Opened, film

from dualface import zoo
from dualface.graph.node import Device
from dualface.graph.types import spans
from dualface.hw.cuda import on
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.yunet import Yunet, YunetConfig
from dualface.nodes.reid.embed import MODEL, Embedder


@pytest.mark.parametrize("clip", ["duo_1080p.mp4", "cuts_360p.mp4"])
def test_faces_get_the_numbers_that_they_get_on_the_cpu(
    gpu: int, device: Device, footage: Path, clip: str
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    if zoo.left_out(zoo.find(MODEL)):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    import cupy

    from dualface.nodes.reid.embed_cuda import DeviceNetworks

    figures: dict[str, float] = {}

    def count(name: str, value: float) -> None:
        figures[name] = figures.get(name, 0) + value

    job = film(footage / clip)
    source, finder = Opened(PyavDecode(PyavConfig()), job, None), Opened(Yunet(YunetConfig()), job, None)
    there, here = Embedder(networks=DeviceNetworks(device, count)), Embedder()
    off, apart = list[float](), list[float]()
    for number, batch in enumerate(source.batches()):
        if number % 6:
            continue
        faces = finder.node.process(batch).faces
        span = next(iter(spans(faces.counts)))
        landmarks = faces.landmarks[span][faces.scores[span] > 0.7]
        with on(device):
            picture = cupy.asarray(np.ascontiguousarray(batch.data[0]))
        mine = here.embed(batch.data[0], batch.video, landmarks)
        theirs = there.embed(picture, batch.video, landmarks)
        assert mine.shape == theirs.shape
        off += np.linalg.norm(mine - theirs, axis=1).tolist()
        moved = here.refine(batch.data[0], batch.video, landmarks) - there.refine(
            picture, batch.video, landmarks
        )
        apart += np.abs(moved).mean((1, 2)).tolist()
        if number > 60:
            break
    print(f"{clip}: {len(off)} faces, median {np.median(off):.4f}, most {max(off):.4f} apart; {figures}")
    print(f"landmarks: median {np.median(apart):.3f}, most {max(apart):.3f} px")
    assert len(off) > 10
    # One person's faces are 0.3 to 0.5 from each other.
    assert np.median(off) < 0.02
    assert max(off) < 0.2
    assert figures["device_to_host_bytes"] / len(off) < 200_000, "numbers, not pictures"
    assert figures["vram_mb"] < 600
    for embedder in (here, there):
        embedder.close()
    for node in (source, finder):
        node.close()
