"""Each operator in torch against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dualface.infer.onnxruntime import OnnxSession

pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
from dualface.infer.operators import OPERATORS
from dualface.infer.torch import TorchSession

Steps = Sequence[tuple[str, list[str], dict[str, Any]]]
SHAPE = (2, 4, 6, 8)
RANDOM = np.random.default_rng(3)


def floats(*shape: int) -> Any:
    return RANDOM.uniform(-1, 1, shape).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def network(steps: Steps, constants: dict[str, Any], opset: int = 17) -> bytes:
    """``steps`` one after the other: '' stands for what the one before gave, 'x' for the input."""
    nodes, before = [], "x"
    for i, (operator, inputs, attributes) in enumerate(steps):
        names = [before if name == "<" else name for name in inputs]
        before = "y" if i == len(steps) - 1 else f"t{i}"
        nodes.append(helper.make_node(operator, names, [before], **attributes))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * 4)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def same(tmp_path: Path, data: bytes) -> None:
    (file := tmp_path / "network.onnx").write_bytes(data)
    given = {"x": floats(*SHAPE)}
    expected = OnnxSession(file).run(given)["y"]
    found = TorchSession(file).run(given)["y"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


CASES: dict[str, tuple[Steps, dict[str, Any]]] = {
    "conv": ([("Conv", ["x", "w", "b"], {"pads": [1, 1, 1, 1]})], {"w": floats(5, 4, 3, 3), "b": floats(5)}),
    "conv depthwise": ([("Conv", ["x", "w"], {"group": 4, "strides": [2, 1]})], {"w": floats(4, 1, 3, 3)}),
    "conv, relu": (
        [("Conv", ["x", "w"], {}), ("Relu", ["<"], {}), ("Neg", ["<"], {})],
        {"w": floats(5, 4, 3, 3)},
    ),
    "conv of which not only a relu reads": (
        [("Conv", ["x", "w"], {}), ("Relu", ["t0"], {}), ("Sub", ["t1", "t0"], {})],
        {"w": floats(5, 4, 3, 3)},
    ),
    "conv uneven": ([("Conv", ["x", "w"], {"pads": [0, 1, 2, 1]})], {"w": floats(5, 4, 3, 3)}),
    "conv same": (
        [("Conv", ["x", "w"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]})],
        {"w": floats(5, 4, 3, 3)},
    ),
    "max pool": ([("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4})], {}),
    "max pool ceil": ([("MaxPool", ["x"], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})], {}),
    "max pool uneven": ([("MaxPool", ["x"], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]})], {}),
    "average pool": ([("AveragePool", ["x"], {"kernel_shape": [2, 2], "strides": [2, 2]})], {}),
    "average pool padded": ([("AveragePool", ["x"], {"kernel_shape": [3, 3], "pads": [1] * 4})], {}),
    "global pool": ([("GlobalAveragePool", ["x"], {})], {}),
    "batch norm": (
        [("BatchNormalization", ["x", "s", "b", "m", "v"], {})],
        {"s": floats(4), "b": floats(4), "m": floats(4), "v": floats(4) ** 2 + 0.1},
    ),
    "resize floor": (
        [
            (
                "Resize",
                ["x", "", "f"],
                {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
            )
        ],
        {"f": np.array([1, 1, 2, 3], np.float32)},
    ),
    "resize by default": ([("Resize", ["x", "", "f"], {})], {"f": np.array([1, 1, 3, 2], np.float32)}),
    "resize twice": (
        [("Resize", ["x", "", "f"], {"coordinate_transformation_mode": "asymmetric"})],
        {"f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "resize linear": ([("Resize", ["x", "", "", "s"], {"mode": "linear"})], {"s": ints(2, 4, 9, 20)}),
    "reshape": ([("Reshape", ["x", "s"], {})], {"s": ints(0, -1, 4)}),
    "flatten": ([("Flatten", ["x"], {"axis": 2})], {}),
    "transpose": ([("Transpose", ["x"], {"perm": [0, 2, 3, 1]})], {}),
    "transpose by default": ([("Transpose", ["x"], {})], {}),
    "slice": (
        [("Slice", ["x", "a", "b", "c", "d"], {})],
        {"a": ints(1, -5), "b": ints(1 << 40, -1), "c": ints(2, -1), "d": ints(2, 1)},
    ),
    "slice backwards": (
        [("Slice", ["x", "a", "b", "c", "d"], {})],
        {"a": ints(-1), "b": ints(-(1 << 31)), "c": ints(3), "d": ints(-2)},
    ),
    "gather": ([("Gather", ["x", "i"], {"axis": 1})], {"i": np.array([[0, -1], [2, 1]], np.int64)}),
    "gather one": ([("Gather", ["x", "i"], {"axis": -1})], {"i": np.array(-2, np.int64)}),
    "pad": ([("Pad", ["x", "p", "v"], {})], {"p": ints(0, 0, 1, 2, 0, 0, 0, 3), "v": np.float32(0.5)}),
    "squeeze": (
        [("Unsqueeze", ["x", "a"], {}), ("Squeeze", ["<", "b"], {})],
        {"a": ints(0, -1), "b": ints(0)},
    ),
    "reduce mean": ([("ReduceMean", ["x"], {"axes": [2, 3], "keepdims": 0})], {}),
    "reduce sum": ([("ReduceSum", ["x", "a"], {})], {"a": ints(-1)}),
    "reduce max": ([("ReduceMax", ["x"], {"axes": [1]})], {}),
    "softmax": ([("Softmax", ["x"], {"axis": 1})], {}),
    "clip": ([("Clip", ["x", "a", ""], {})], {"a": np.float32(0.1)}),
    "gemm": (
        [("Flatten", ["x"], {}), ("Gemm", ["<", "w", "b"], {"transB": 1, "alpha": 0.5})],
        {"w": floats(7, 192), "b": floats(7)},
    ),
    "matmul": ([("MatMul", ["x", "w"], {})], {"w": floats(8, 3)}),
    "concat": ([("Sigmoid", ["x"], {}), ("Concat", ["x", "<", "x"], {"axis": -1})], {}),
    "arithmetic": (
        [
            ("Mul", ["x", "k"], {}),
            ("Sub", ["<", "x"], {}),
            ("Pow", ["<", "two"], {}),
            ("Add", ["<", "one"], {}),
            ("Div", ["x", "<"], {}),
            ("Max", ["<", "x"], {}),
            ("Min", ["<", "one"], {}),
        ],
        {"k": floats(4, 1, 1), "two": np.float32(2), "one": np.float32(0.5)},
    ),
    "functions": (
        [(name, ["<"], {}) for name in ("Abs", "Sqrt", "Neg", "Exp", "Log", "Tanh", "Identity")]
        + [("Add", ["<", "one"], {}), ("Reciprocal", ["<"], {}), ("Floor", ["<"], {}), ("Ceil", ["<"], {})],
        {"one": np.float32(3)},
    ),
    "activations": (
        [
            ("LeakyRelu", ["x"], {"alpha": 0.2}),
            ("HardSigmoid", ["<"], {}),
            ("HardSwish", ["<"], {}),
            ("PRelu", ["<", "slope"], {}),
            ("Relu", ["<"], {}),
        ],
        {"slope": floats(4, 1, 1)},
    ),
    "where": ([("Greater", ["x", "k"], {}), ("Where", ["<", "x", "k"], {})], {"k": np.float32(0.1)}),
    "where less": ([("Less", ["x", "k"], {}), ("Where", ["<", "k", "x"], {})], {"k": np.float32(0.1)}),
    "where equal": (
        [
            ("Floor", ["x"], {}),
            ("Equal", ["<", "k"], {}),
            ("And", ["<", "yes"], {}),
            ("Where", ["<", "x", "k"], {}),
        ],
        {"k": np.float32(-1), "yes": np.array([True, False] * 4)},
    ),
    "tile": ([("Tile", ["x", "n"], {})], {"n": ints(1, 2, 1, 3)}),
    "expand": ([("ReduceMax", ["x"], {"axes": [1]}), ("Expand", ["<", "s"], {})], {"s": ints(2, 5, 1, 8)}),
    "cast": ([("Cast", ["x"], {"to": 6}), ("Cast", ["<"], {"to": 1})], {}),
    "half": ([("Cast", ["x"], {"to": 10}), ("Cast", ["<"], {"to": 1})], {}),
    # A shape that is computed, as exporters write it.
    "shapes": (
        [
            ("Shape", ["x"], {}),
            ("Gather", ["<", "zero"], {}),
            ("Unsqueeze", ["<", "axis"], {}),
            ("Concat", ["<", "rest"], {"axis": 0}),
            ("Reshape", ["x", "<"], {}),
        ],
        {"zero": np.array(0, np.int64), "axis": ints(0), "rest": ints(3, 2, -1)},
    ),
    "grid": (
        [
            ("Shape", ["x"], {"start": 3}),
            ("Squeeze", ["<"], {}),
            ("Range", ["zero", "<", "one"], {}),
            ("Cast", ["<"], {"to": 1}),
            ("Add", ["x", "<"], {}),
        ],
        {"zero": np.array(0, np.int64), "one": np.array(1, np.int64)},
    ),
    "zeros": (
        [("Shape", ["x"], {}), ("ConstantOfShape", ["<"], {}), ("Add", ["x", "<"], {})],
        {},
    ),
    "running sum": ([("CumSum", ["x", "axis"], {})], {"axis": np.array(2)}),
    "running sum, of what is behind": (
        [("CumSum", ["x", "axis"], {"exclusive": 1, "reverse": 1})],
        {"axis": np.array(-1)},
    ),
    "constant": ([("Constant", [], {"value_floats": [1.0] * 8}), ("Add", ["x", "<"], {})], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_onnx_runtime(tmp_path: Path, name: str) -> None:
    same(tmp_path, network(*CASES[name]))


OLD: dict[str, tuple[Steps, dict[str, Any], int]] = {
    "softmax": ([("Softmax", ["x"], {"axis": 1})], {}, 11),
    "clip": ([("Clip", ["x"], {"min": -0.1, "max": 0.2})], {}, 9),
    "slice": ([("Slice", ["x"], {"starts": [1], "ends": [9], "axes": [3]})], {}, 9),
    "pad": ([("Pad", ["x"], {"pads": [0, 0, 1, 1, 0, 0, 0, 0]})], {}, 9),
    "squeeze": ([("Unsqueeze", ["x"], {"axes": [0]}), ("Squeeze", ["<"], {"axes": [0]})], {}, 11),
    "upsample": ([("Upsample", ["x", "f"], {})], {"f": np.array([1, 1, 2, 2], np.float32)}, 9),
    "dropout": ([("Dropout", ["x"], {}), ("Relu", ["<"], {})], {}, 11),
}


@pytest.mark.parametrize("name", OLD)
def test_older_operator_sets(tmp_path: Path, name: str) -> None:
    same(tmp_path, network(*OLD[name]))


@pytest.mark.parametrize("opset", [11, 17])
def test_split(tmp_path: Path, opset: int) -> None:
    sizes = {"split": [1, 3]} if opset == 11 else {}
    split = helper.make_node("Split", ["x", "s"][: 1 if sizes else 2], ["a", "b"], axis=1, **sizes)
    data = onnx.load_from_string(network([("Concat", ["b", "a"], {"axis": 1})], {"s": ints(1, 3)}, opset))
    data.graph.node.insert(0, split)
    same(tmp_path, data.SerializeToString())


@pytest.mark.parametrize(
    ("steps", "constants", "says"),
    [
        ([("Cos", ["x"], {})], {}, r"operator Cos, which the torch backend does not know; use the backend"),
        (
            [("Resize", ["x", "", "f"], {"mode": "cubic"})],
            {"f": np.array([1, 1, 2, 2], np.float32)},
            r"does not run on torch \(Resize\): its Resize \(cubic, half_pixel",
        ),
        ([("Cast", ["x"], {"to": 7}), ("Reshape", ["x", "<"], {})], {}, r"depend on what is in the picture"),
        ([("Shape", ["x"], {}), ("Cast", ["<"], {"to": 1})], {}, r"output 'y' does not depend on its input"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(
    tmp_path: Path, steps: Steps, constants: dict[str, Any], says: str
) -> None:
    (file := tmp_path / "network.onnx").write_bytes(network(steps, constants))
    with pytest.raises(ValueError, match=says) as caught:
        TorchSession(file).run({"x": floats(*SHAPE)})
    assert "\n" not in str(caught.value)


def test_none_is_left_out() -> None:
    tested = {step[0] for case in (*CASES.values(), *OLD.values()) for step in case[0]} | {"Split"}
    assert not set(OPERATORS) - tested
