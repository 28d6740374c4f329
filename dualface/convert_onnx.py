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
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
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


def half(model: Any) -> None:
    """Compute in 16-bit floats, with inputs and outputs still in 32.

    Where a library types networks strongly (TensorRT 11, TensorRT-RTX), precision is what the
    file says. Weights are rounded to nearest; the scales of a Resize stay, as ONNX demands.
    """
    import numpy as np
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    graph = model.graph
    if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for n in graph.node for a in n.attribute):
        raise ValueError("it has branches or loops, which are not converted to 16 bit")
    kept = _scales(graph)

    def narrow(tensor: Any) -> None:
        if tensor.data_type == TensorProto.FLOAT:
            with np.errstate(over="ignore"):
                wide = numpy_helper.to_array(tensor)
                small = wide.astype(np.float16)
            if np.any(np.isinf(small) & np.isfinite(wide)):
                raise ValueError(f"its weights in '{tensor.name}' are too large for 16 bit")
            tensor.CopyFrom(numpy_helper.from_array(small, tensor.name))

    for tensor in graph.initializer:
        if tensor.name not in kept:
            narrow(tensor)
    for step in graph.node:
        if set(step.output) & kept:
            continue
        for attribute in step.attribute:
            if attribute.type == AttributeProto.TENSOR:
                narrow(attribute.t)
            elif step.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            elif step.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                value = attribute.f if attribute.name == "value_float" else attribute.floats
                array = numpy_helper.from_array(np.array(value, np.float32))
                narrow(array)
                attribute.CopyFrom(helper.make_attribute("value", array))

    fixed = {tensor.name for tensor in graph.initializer}
    wide = [v.name for v in graph.input if _is_float(v) and v.name not in fixed]
    ends = [v.name for v in graph.output if _is_float(v)]
    inner = {name: f"{name}_half" for name in (*wide, *ends)}
    for step in graph.node:
        for names in (step.input, step.output):
            for i, name in enumerate(names):
                names[i] = inner.get(name, name)
    first = [helper.make_node("Cast", [name], [inner[name]], to=TensorProto.FLOAT16) for name in wide]
    last = [helper.make_node("Cast", [inner[name]], [name], to=TensorProto.FLOAT) for name in ends]
    steps = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(steps)
    del graph.value_info[:]


def _is_float(value: Any) -> bool:
    from onnx import TensorProto

    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT)


def _scales(graph: Any) -> set[str]:
    """The values that decide the scales of a Resize or Upsample, also indirectly."""
    wanted = {name for step in graph.node if step.op_type == "Resize" for name in step.input[2:3]}
    wanted |= {name for step in graph.node if step.op_type == "Upsample" for name in step.input[1:2]}
    for step in reversed(graph.node):
        if set(step.output) & wanted and step.op_type != "Shape":  # behind it are pixels
            wanted.update(step.input)
    return wanted - {""}


STEPS: Mapping[str, Callable[[Any], None]] = {"dynamic_size": dynamic_size, "half": half}
