"""dlib's face network as ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualface.dlib_dat import Affine, Conv, Dense, Input, Layer, layers

OPSET, IR = 17, 8
WHITE = 256.0  # dlib divides by it, not by 255


def face_resnet(data: bytes) -> Any:
    """The ONNX model of the residual network in dlib's file ``data``.

    It takes ``faces`` ``[batch, 3, height, width]``, RGB 0..255, and gives ``embedding``
    ``[batch, numbers]``. Each affine layer is folded into the convolution before it. Raises
    ValueError where the file is damaged or its layers are not those of this network.
    """
    given, *rest = layers(data)
    *trunk, last = rest
    kinds = [type(layer) for layer in trunk]
    pairs = len(trunk) // 2
    if not isinstance(given, Input) or kinds != [Conv, Affine] * pairs or pairs < 3 or pairs % 2 == 0:
        raise ValueError("its layers are not those of dlib's residual network for faces")
    assert isinstance(last, Dense)
    net = _Net(given)
    convs = [folded(*trunk[i : i + 2]) for i in range(0, len(trunk), 2)]
    net.conv(convs[0])
    net.add("Relu")
    net.pool("MaxPool", 3)
    for first, second in zip(convs[1::2], convs[2::2], strict=True):
        net.block(first, second)
    return net.finish(last)


def folded(conv: Layer, affine: Layer) -> Conv:
    """``conv`` followed by ``affine``, as one convolution."""
    assert isinstance(conv, Conv)
    assert isinstance(affine, Affine)
    weights = conv.weights * affine.gain[:, None, None, None]
    return Conv(weights, conv.bias * affine.gain + affine.bias, conv.stride, conv.padding)


class _Net:
    """A model under construction: ``now`` is the last value, ``shape`` its channels, height and width."""

    def __init__(self, given: Input) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.now, self.given = "faces", given
        self.shape = [3, given.size[1], given.size[0]]
        self.add("Sub", self.keep(np.array(given.mean, np.float32).reshape(1, 3, 1, 1)))
        self.add("Mul", self.keep(np.array(1 / WHITE, np.float32)))

    def keep(self, array: Any) -> str:
        """A constant; its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *others: str, **attributes: Any) -> None:
        """A step on the last value."""
        from onnx import helper

        name = f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.now, *others], [name], **attributes))
        self.now = name

    def conv(self, conv: Conv) -> None:
        if conv.weights.shape[1] != self.shape[0]:
            raise ValueError(f"a layer takes {conv.weights.shape[1]} channels, but there are {self.shape[0]}")
        out, _, *kernel = conv.weights.shape
        shapes = zip(self.shape[1:], kernel, conv.stride, conv.padding, strict=True)
        self.shape = [out, *((side + 2 * pad - k) // step + 1 for side, k, step, pad in shapes)]
        self.check()
        self.add(
            "Conv", self.keep(conv.weights), self.keep(conv.bias),
            kernel_shape=kernel, strides=conv.stride, pads=conv.padding * 2,
        )  # fmt: skip

    def pool(self, kind: str, size: int) -> None:
        self.shape[1:] = [(side - size) // 2 + 1 for side in self.shape[1:]]
        self.check()
        self.add(kind, kernel_shape=[size] * 2, strides=[2, 2])

    def check(self) -> None:
        """Whether anything is left of the picture."""
        if min(self.shape) < 1:
            raise ValueError("its layers leave nothing of the picture")

    def pad(self, shape: list[int]) -> None:
        """Zeros behind the last channel, right and below, up to ``shape``."""
        more = [new - old for new, old in zip(shape, self.shape, strict=True)]
        if any(more):
            self.add("Pad", self.keep(np.array([0] * 5 + more, np.int64)))
        self.shape = shape

    def block(self, first: Conv, second: Conv) -> None:
        """Two convolutions, and beside them the value as it was: where the first takes every other
        pixel, means of 2 x 2. Whichever is smaller is filled up with zeros."""
        before, shape = self.now, self.shape
        self.conv(first)
        self.add("Relu")
        self.conv(second)
        branch, inner = self.now, self.shape
        self.now, self.shape = before, list(shape)
        if first.stride != (1, 1):
            self.pool("AveragePool", 2)
        whole = [max(sides) for sides in zip(self.shape, inner, strict=True)]
        self.pad(whole)
        beside = self.now
        self.now, self.shape = branch, inner
        self.pad(whole)
        self.add("Add", beside)
        self.add("Relu")

    def finish(self, last: Dense) -> Any:
        """The mean of each channel times a matrix, as a model."""
        from onnx import TensorProto, helper

        if len(last.weights) != self.shape[0]:
            raise ValueError(f"the last layer takes {len(last.weights)} numbers, not {self.shape[0]}")
        self.add("GlobalAveragePool")
        self.add("Flatten")
        self.add("MatMul", self.keep(last.weights))
        self.nodes[-1].output[0] = "embedding"
        sides: list[str | int | None] = ["batch", 3, *self.given.size[::-1]]
        faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, sides)
        numbers: list[str | int | None] = ["batch", last.weights.shape[1]]
        embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, numbers)
        graph = helper.make_graph(self.nodes, "dlib_face_resnet", [faces], [embedding], self.tensors)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="dualface")
