"""16-bit networks: the same faces, and only the part with weights in 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import real
from onnx import TensorProto, helper, numpy_helper

from dualface import convert_onnx, zoo
from dualface.infer.onnxruntime import OnnxSession


@pytest.mark.parametrize("clip", real.CLIPS)
def test_the_same_faces_on_real_footage(footage: Path, clip: str) -> None:
    """docs/decisions/half-precision.md has the figures for every picture."""
    batch = real.pictures(footage / clip, every=30 if "1080" in clip else 5)
    found = [real.faces(OnnxSession(zoo.onnx_path("yunet", half=half)), batch) for half in (False, True)]
    apart = real.difference(*found)
    assert apart.common >= 36
    assert not apart.single
    assert np.quantile(apart.boxes, 0.95) < 0.1
    assert np.quantile(apart.landmarks, 0.95) < 0.1
    assert np.max(apart.scores) < 0.005


def model(nodes: list[Any], constants: dict[str, Any]) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    opset = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


WEIGHTS = np.random.default_rng(0).normal(size=(2, 2, 1, 1)).astype(np.float32)


def test_positions_keep_32_bits() -> None:
    """What follows the last weights: 1/3 of a pixel at 600 would be lost in 16 bits."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Resize", ["a", "", "scales"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["c"]),
        helper.make_node("Mul", ["c", "zero"], ["d"]),
        helper.make_node("Add", ["d", "place"], ["y"]),
    ]
    constants = {
        "w": WEIGHTS,
        "scales": np.array([1, 1, 2, 2], np.float32),
        "zero": np.float32(0),
        "place": np.float32(600 + 1 / 3),
    }
    small = onnx.load_from_string(convert_onnx.apply(model(nodes, constants), ["half"]))
    kinds = {tensor.name: tensor.data_type for tensor in small.graph.initializer}
    assert kinds["w_half"] == TensorProto.FLOAT16
    assert "w" not in kinds, "the 32-bit weights are still there"
    assert kinds["scales"] == kinds["place"] == TensorProto.FLOAT
    assert [node.op_type for node in small.graph.node].count("Cast") == 2


def test_a_value_read_by_both_parts_is_there_in_both(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["a", "w"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("Add", ["c", "x"], ["y"]),
    ]
    (wide := tmp_path / "wide.onnx").write_bytes(model(nodes, {"w": WEIGHTS}))
    (small := tmp_path / "small.onnx").write_bytes(convert_onnx.apply(wide.read_bytes(), ["half"]))
    x = np.random.default_rng(1).normal(size=(1, 2, 4, 4)).astype(np.float32)
    answers = [OnnxSession(file).run({"x": x})["y"] for file in (wide, small)]
    np.testing.assert_allclose(answers[1], answers[0], rtol=0, atol=0.01)
    assert not np.array_equal(*answers)


def test_weights_that_do_not_fit_are_refused() -> None:
    data = model([helper.make_node("Conv", ["x", "w"], ["y"])], {"w": WEIGHTS * np.float32(1e6)})
    with pytest.raises(ValueError, match="weights in 'w' are too large for 16 bit"):
        convert_onnx.apply(data, ["half"])


def test_a_cached_16_bit_network_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    wide, small = zoo.onnx_path("yunet"), zoo.onnx_path("yunet", half=True)
    assert small != wide
    assert small == zoo.onnx_path("yunet", half=True)
    assert small.stat().st_size < 0.65 * wide.stat().st_size
