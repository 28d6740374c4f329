"""transfer, both ways."""

from __future__ import annotations

import numpy as np
from gpu.nodes import Opened, noise, still

from dualface.graph.node import Device
from dualface.graph.types import Frames
from dualface.hw.cuda import on
from dualface.nodes.transfer import Transfer, TransferConfig


def test_pictures_come_back_as_they_went_and_bytes_are_counted(device: Device) -> None:
    job = still(320, 240)
    up = Opened(Transfer(TransferConfig(to="cuda")), job, device)
    down = Opened(Transfer(TransferConfig(to="cpu")), job, device)
    kept = []
    for seed in range(6):  # earlier batches stay alive, so that memory used again too early would show
        pictures = noise(4, 320, 240, seed)
        there = up.node.process(Frames(pictures, np.arange(4) + 4 * seed, job.video, 4 * seed))
        back = down.node.process(there)
        pictures[...] = 0  # the batch belongs to whoever gave it
        kept.append((seed, there, back))
    for seed, there, back in kept:
        assert np.array_equal(back.data, noise(4, 320, 240, seed))
        with on(device):
            assert np.array_equal(there.data.get(), noise(4, 320, 240, seed))
    assert up.figures == {"host_to_device_bytes": 6 * 4 * 320 * 360}
    assert down.figures == {"device_to_host_bytes": 6 * 4 * 320 * 360}
    up.close()
    down.close()
