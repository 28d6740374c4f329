"""Torch gives what ONNX Runtime gives, on real pictures; on a GPU as one graph at fixed addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import real

from dualface import zoo
from dualface.infer.onnxruntime import OnnxSession
from dualface.infer.shapes import pictures

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
from dualface.graph.node import Device  # noqa: E402
from dualface.infer.device import open_network  # noqa: E402
from dualface.infer.torch import TorchNetwork, TorchSession  # noqa: E402

SIZE, BATCH = (160, 96), 3
SHAPE = (BATCH, 3, SIZE[1], SIZE[0])


def random(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0, 255, SHAPE).astype(np.float32)


@pytest.mark.parametrize("clip", real.CLIPS)
def test_real_pictures_give_what_onnx_runtime_gives(footage: Path, clip: str) -> None:
    batch = real.pictures(footage / clip, every=60 if "1080" in clip else 15)
    ours, theirs = TorchSession(zoo.onnx_path("yunet")), OnnxSession(zoo.onnx_path("yunet"))
    assert (ours.inputs, sorted(ours.outputs)) == (theirs.inputs, sorted(theirs.outputs))
    found, expected = ours.run({"input": batch}), theirs.run({"input": batch})
    for name in theirs.outputs:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4)


def test_a_session_takes_any_shape_and_answers_belong_to_the_caller() -> None:
    session = TorchSession(zoo.onnx_path("yunet"))
    first = session.run({"input": random()})
    kept = {name: array.copy() for name, array in first.items()}
    assert session.run({"input": random(1)[:1, :, :64, :64]})["cls_8"].shape == (1, 64, 1)
    session.run({"input": random(2)})
    for name, array in kept.items():
        np.testing.assert_array_equal(first[name], array)


@pytest.mark.parametrize("half", [False, True])
def test_the_stand_in_on_the_cpu_keeps_its_addresses(half: bool) -> None:
    path = zoo.onnx_path("yunet", half=half)
    network = TorchNetwork(path, {"input": SHAPE}, gpu=None, stream=0)
    where = {name: network.output(name).data_ptr() for name in network.outputs}
    expected = TorchSession(path).run({"input": random()})
    network.input("input").copy_(torch.from_numpy(random()))
    network.launch()
    for name in network.outputs:
        # Channels lie differently in 16 bits, and sums are rounded in another order.
        tolerance = 0.02 if half else 1e-4
        np.testing.assert_allclose(network.output(name).numpy(), expected[name], rtol=0, atol=tolerance)
        assert network.output(name).data_ptr() == where[name]
        assert network.output(name).dtype == torch.float32
        assert network.output(name).is_contiguous()
    network.close()


def test_what_is_no_network_is_said_to_be_none(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"broken\.onnx is not an ONNX file"):
        TorchSession(broken)


def test_a_network_of_one_size_is_refused_for_others() -> None:
    with pytest.raises(ValueError, match=r"takes 1 of 640x640 at a time, not 3 of 160x96; export it"):
        pictures(zoo.weights_path("yunet"), BATCH, SIZE)


def test_the_default_stream_and_unknown_backends_are_refused() -> None:
    with pytest.raises(ValueError, match="not the default stream"):
        open_network("torch", "yunet", Device(0, 0), batch=BATCH, size=SIZE)
    with pytest.raises(ValueError, match="no backend called 'tenosrrt'; there are tensorrt, torch"):
        open_network("tenosrrt", "yunet", Device(0, 7), batch=BATCH, size=SIZE)


@pytest.mark.gpu
@pytest.mark.parametrize("half", [False, True])
def test_on_a_gpu_a_run_is_only_enqueued_and_right(half: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no NVIDIA GPU")
    stream = torch.cuda.Stream(0)
    network = open_network("torch", "yunet", Device(0, stream.cuda_stream), batch=BATCH, size=SIZE, half=half)
    assert network.vram_bytes > 0
    where = {name: network.output(name).__cuda_array_interface__["data"] for name in network.outputs}
    host = torch.from_numpy(random()).pin_memory()
    for seed in range(3):
        host.copy_(torch.from_numpy(random(seed)))
        with torch.cuda.stream(stream):
            torch.cuda._sleep(50_000_000)  # so that a launch which waited would be seen
            network.input("input").copy_(host, non_blocking=True)
            network.launch()
            assert not stream.query(), "the host has waited"
        stream.synchronize()
        expected = OnnxSession(zoo.onnx_path("yunet")).run({"input": random(seed)})
        for name in network.outputs:
            assert network.output(name).__cuda_array_interface__["data"] == where[name]
            np.testing.assert_allclose(
                network.output(name).cpu().numpy(), expected[name], rtol=0, atol=0.05 if half else 1e-3
            )
    network.close()
