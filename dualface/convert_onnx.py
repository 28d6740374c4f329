"""Conversions of ONNX files that a model's descriptor can ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

VERSION = 1  # part of the name of cached results; raise it when a conversion changes


def apply(data: bytes, steps: Sequence[str]) -> bytes:
    """The ONNX file ``data`` after ``steps``. Raises ValueError where it is no such network."""
    import onnx

    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's own class, which moves between its versions
        raise ValueError("it is not an ONNX file") from error
    for step in steps:
        STEPS[step](model)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"what comes out is not valid ONNX ({str(error).splitlines()[0]})") from error
    return bytes(model.SerializeToString())


def dynamic_size(model: Any) -> None:
    """Free batch, height and width of a network exported for one picture of one size.

    Such an export folds the shape of its last Reshape into a constant ``[1, -1, channels]``;
    0 there means "as in the input" and keeps any batch. Intermediate shapes written down by the
    exporter go, they would contradict the new ones.
    """
    import numpy as np
    from onnx import TensorProto, numpy_helper

    shapes = 0
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.INT64:
            continue
        shape = numpy_helper.to_array(tensor)
        if shape.ndim == 1 and len(shape) == 3 and list(shape[:2]) == [1, -1]:
            wide = np.array([0, -1, shape[2]], np.int64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
            shapes += 1
    if not shapes:
        raise ValueError("it has no shape [1, -1, channels] to make dynamic")
    for value in model.graph.input:
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
        value.type.tensor_type.shape.dim[1].dim_param = f"cells_{value.name}"
    del model.graph.value_info[:]


STEPS: Mapping[str, Callable[[Any], None]] = {"dynamic_size": dynamic_size}
