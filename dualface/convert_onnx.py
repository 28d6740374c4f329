"""Conversions to ONNX, and of ONNX files, that a model's descriptor can ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dualface import convert_dlib, onnx_file

VERSION = 2  # part of the name of cached results; raise it when a conversion changes


def apply(data: bytes, steps: Sequence[str]) -> bytes:
    """The file ``data`` as ONNX after ``steps``, of which the first may read another format. Raises
    ValueError where it is no such network."""
    import onnx

    read = READERS.get(steps[0]) if steps else None
    model = (read or onnx_file.parse)(data)
    for step in steps[1:] if read else steps:
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
    """Compute in 16-bit floats from the first to the last layers with weights; the rest, inputs and
    outputs stay in 32 bits.

    Where a library types networks strongly (TensorRT 11, TensorRT-RTX), precision is what the
    file says. What follows the last weights turns features into coordinates and costs next to
    nothing, but 16 bits tell no two positions half a pixel apart at 600. What comes before the first
    weights brings pixels around zero, where 16 bits are finest.
    """
    import onnx
    from onnx import AttributeProto, TensorProto, helper

    graph = model.graph
    if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for n in graph.node for a in n.attribute):
        raise ValueError("it has branches or loops, which are not converted to 16 bit")
    known = onnx.shape_inference.infer_shapes(model).graph
    values = (*known.input, *known.output, *known.value_info)
    floats = {v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    weights = {t.name: t for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    floats |= set(weights)
    trunk = _trunk(graph)

    # Every float value "x" is called "x_half" where it has 16 bits.
    nodes, made = [], set()
    read_wide = {v.name for v in graph.output}
    for i, node in enumerate(graph.node):
        if i not in trunk:
            read_wide.update(node.input)

    def cast(name: str, to_half: bool) -> Any:
        ends = (name, f"{name}_half") if to_half else (f"{name}_half", name)
        to = TensorProto.FLOAT16 if to_half else TensorProto.FLOAT
        return helper.make_node("Cast", [ends[0]], [ends[1]], to=to)

    for i, node in enumerate(graph.node):
        nodes.append(node)
        if i not in trunk:
            continue
        stay = SCALES.get(node.op_type, ())
        for k, name in enumerate(node.input):
            if name in floats and k not in stay:
                if name not in made:
                    made.add(name)
                    if name in weights:
                        graph.initializer.append(_narrow(weights[name], f"{name}_half"))
                    else:
                        nodes.insert(len(nodes) - 1, cast(name, True))
                node.input[k] = f"{name}_half"
            elif name in weights:
                read_wide.add(name)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
        for k, name in enumerate(node.output):
            if name in floats:
                made.add(name)
                node.output[k] = f"{name}_half"
                if name in read_wide:
                    nodes.append(cast(name, False))
    left = [t for t in graph.initializer if t.name not in weights or t.name in read_wide]
    for field, new in ((graph.node, nodes), (graph.initializer, left), (graph.value_info, [])):
        copies = [type(value).FromString(value.SerializeToString()) for value in new]
        del field[:]
        field.extend(copies)


WEIGHTY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
SCALES: Mapping[str, tuple[int, ...]] = {"Resize": (1, 2), "Upsample": (1,)}  # inputs that stay 32-bit
SOURCES = ("Constant", "ConstantOfShape", "Range")  # small, and exact where they stay as they are


def _trunk(graph: Any) -> set[int]:
    """The steps from the first to the last layers with weights."""
    behind: set[str] = set()
    for node in graph.node:
        if node.op_type in WEIGHTY or set(node.input) & behind:
            behind.update(node.output)
    wanted: set[str] = set()
    trunk = set()
    for i in reversed(range(len(graph.node))):
        node = graph.node[i]
        if node.op_type in SOURCES or not (node.op_type in WEIGHTY or set(node.output) & wanted):
            continue
        if not set(node.output) & behind:
            continue
        trunk.add(i)
        stay = SCALES.get(node.op_type, ())
        if node.op_type != "Shape":  # behind it are no values, only their number
            wanted.update(name for k, name in enumerate(node.input) if k not in stay)
    return trunk


def _narrow(tensor: Any, name: str) -> Any:
    """A float tensor in 16 bits, rounded to nearest."""
    import numpy as np
    from onnx import numpy_helper

    wide = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        small = wide.astype(np.float16)
    if np.any(np.isinf(small) & np.isfinite(wide)):
        raise ValueError(f"its weights in '{tensor.name}' are too large for 16 bit")
    return numpy_helper.from_array(small, name)


# First steps, for files that are not ONNX.
READERS: Mapping[str, Callable[[bytes], Any]] = {"dlib_face_resnet": convert_dlib.face_resnet}
STEPS: Mapping[str, Callable[[Any], None]] = {"dynamic_size": dynamic_size, "half": half}
