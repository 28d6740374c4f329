"""dlib's face network as ONNX: against plain numpy with random weights, and against dlib itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dlib_file
import numpy as np
import onnx
import pytest

from dualface import convert_onnx, zoo
from dualface.infer.engines import Profile, Target
from dualface.infer.onnxruntime import OnnxSession
from dualface.infer.tensorrt import build, libraries, library
from dualface.nodes.reid import portrait
from dualface.nodes.reid.embed import Embedder

NAME = "dlib-face"


def chips(count: int = 3) -> Any:
    """Something like faces: smooth, and noise. ``[n, 150, 150, 3]`` uint8."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (count, 15, 15, 3)).repeat(10, 1).repeat(10, 2)
    return np.clip(coarse + random.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


def planar(faces: Any) -> Any:
    return faces.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """A network with random weights, in 32 and in 16 bits, and what it answers to `chips`."""
    data, arrays = dlib_file.network()
    folder = tmp_path_factory.mktemp("made")
    (wide := folder / "wide.onnx").write_bytes(convert_onnx.apply(data, ["dlib_face_resnet"]))
    (small := folder / "half.onnx").write_bytes(convert_onnx.apply(data, ["dlib_face_resnet", "half"]))
    return wide, small, dlib_file.answer(arrays, planar(chips()))


def apart(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_it_computes_what_the_layers_say(made: tuple[Path, Path, Any]) -> None:
    session = OnnxSession(made[0])
    assert apart(session.run({"faces": planar(chips())})["embedding"], made[2]) < 1e-5
    one = session.run({"faces": planar(chips()[:1])})["embedding"]
    assert one.shape == (1, 128)
    assert apart(one, made[2][:1]) < 1e-5


def test_in_16_bits_pixels_are_centred_first(made: tuple[Path, Path, Any]) -> None:
    graph = onnx.load(str(made[1])).graph
    assert [n.op_type for n in graph.node][:3] == ["Sub", "Mul", "Cast"]
    assert apart(OnnxSession(made[1]).run({"faces": planar(chips())})["embedding"], made[2]) < 5e-3


@pytest.mark.parametrize("half", [False, True])
def test_every_operator_runs_on_torch(made: tuple[Path, Path, Any], half: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    from dualface.infer.torch import TorchNetwork, TorchSession

    faces = planar(chips())
    assert apart(TorchSession(made[half]).run({"faces": faces})["embedding"], made[2]) < (
        5e-3 if half else 1e-5
    )
    network = TorchNetwork(made[half], {"faces": faces.shape}, gpu=None, stream=0)
    network.input("faces").copy_(torch.from_numpy(faces))
    network.launch()
    assert apart(network.output("embedding").numpy(), made[2]) < (5e-3 if half else 1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_tensorrt_builds_it_for_a_card_that_is_not_here(made: tuple[Path, Path, Any], half: bool) -> None:
    if not any(each.rtx for each in libraries()):
        pytest.skip("TensorRT for RTX is not installed: pip install 'dualface[tensorrt]'")
    target = Target("NVIDIA GeForce RTX 5090", "12.0")
    profile = Profile(8, (150, 150), (150, 150), (150, 150))
    assert len(build(made[half], library(target, here=False), target, profile)) > 1e6


def test_a_network_of_another_kind_is_refused() -> None:
    small, _ = dlib_file.network(blocks=())
    with pytest.raises(ValueError, match="not those of dlib's residual network"):
        convert_onnx.apply(small, ["dlib_face_resnet"])
    with pytest.raises(ValueError, match="it is not a network of dlib's"):
        convert_onnx.apply(b"not a network", ["dlib_face_resnet"])


def weights() -> Path:
    """The real weights, through the descriptor."""
    if zoo.left_out(zoo.find(NAME)):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    return zoo.weights_path(NAME)


def test_it_is_equal_to_dlib() -> None:
    dlib: Any = pytest.importorskip("dlib", reason="dlib is not installed: pip install dlib-bin")
    theirs = dlib.face_recognition_model_v1(str(weights()))
    expected = np.array([theirs.compute_face_descriptor(chip) for chip in chips()])
    session = OnnxSession(zoo.onnx_path(NAME))
    np.testing.assert_allclose(
        session.run({"faces": planar(chips())})["embedding"], expected, rtol=0, atol=1e-5
    )


def test_it_is_equal_to_dlib_on_faces_as_we_cut_them_out(footage: Path) -> None:
    dlib: Any = pytest.importorskip("dlib", reason="dlib is not installed: pip install dlib-bin")
    theirs, embedder = dlib.face_recognition_model_v1(str(weights())), Embedder()
    for name in ("obama.jpg", "biden.jpg", "alex-lacamoire.png", "lin-manuel-miranda.png"):
        # dlib takes whole levels only.
        chip = embedder.chips(*portrait.read(str(footage / "photos" / name)))[0].round().astype(np.uint8)
        expected = np.array(theirs.compute_face_descriptor(np.ascontiguousarray(chip.transpose(1, 2, 0))))
        session = OnnxSession(zoo.onnx_path(NAME))
        found = session.run({"faces": chip[None].astype(np.float32)})["embedding"][0]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_16_bits_move_nobody() -> None:
    weights()
    wide, small = (
        OnnxSession(zoo.onnx_path(NAME, half=half)).run({"faces": planar(chips())})["embedding"]
        for half in (False, True)
    )
    assert np.linalg.norm(wide - small, axis=1).max() < 0.005
