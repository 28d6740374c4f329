"""The ONNX operators that our networks need, in torch.

An operator is a function of its node's attributes (with the version of the operator set as
``opset`` and the number of results as ``outputs``) and of its inputs (tensors, ``None`` for one
left out) that returns a tensor, or a tuple of them. `HOST` names the inputs that shape the result
and are read on the host; they have to be known before pixels are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as nn
from torch import Tensor

from dualface.infer import filters

Attributes = Mapping[str, Any]
Operator = Callable[..., Any]

HOST: Mapping[str, tuple[int, ...]] = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Range": (0, 1, 2),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
}
# ONNX's number of a type → torch's.
TYPES: Mapping[int, torch.dtype] = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
}


def _ints(a: Attributes, name: str, given: Tensor | None = None) -> list[int] | None:
    """A list of whole numbers: an attribute in older operator sets, an input in newer ones."""
    if given is not None:
        return [int(v) for v in given.reshape(-1).tolist()]
    return list(a[name]) if name in a else None


def _number(a: Attributes, name: str, given: Tensor | None, default: Any) -> Any:
    return given.item() if given is not None and given.numel() else a.get(name, default)


def _reshape(a: Attributes, x: Tensor, shape: Tensor) -> Tensor:
    wanted = [int(v) for v in shape.tolist()]
    if not a.get("allowzero", 0):
        wanted = [x.shape[i] if v == 0 else v for i, v in enumerate(wanted)]
    return x.reshape(wanted)


def _slice(
    a: Attributes, x: Tensor, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Tensor:
    first, last = _ints(a, "starts", starts) or [], _ints(a, "ends", ends) or []
    along = _ints(a, "axes", axes) or list(range(len(first)))
    by = _ints(a, "steps", steps) or [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        if step > 0:
            # slice.indices cuts both at the ends, as ONNX does.
            taken = slice(start, end, step).indices(x.shape[axis])
            x = x[(slice(None),) * (axis % x.dim()) + (slice(*taken),)]
        else:
            places = list(
                range(*slice(start, end if end > -(1 << 31) else None, step).indices(x.shape[axis]))
            )
            x = x.index_select(axis, torch.tensor(places, device=x.device))
    return x


def _gather(a: Attributes, x: Tensor, index: Tensor) -> Tensor:
    axis = a.get("axis", 0) % x.dim()
    flat = (index % x.shape[axis]).reshape(-1)
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, flat).reshape(shape)


def _split(a: Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis, given = a.get("axis", 0), _ints(a, "split", sizes)
    if given is None:
        return tuple(x.chunk(a["outputs"], axis))
    return tuple(x.split(given, axis))


def _pad(a: Attributes, x: Tensor, pads: Any = None, value: Any = None, axes: Any = None) -> Tensor:
    if a.get("mode", b"constant") != b"constant":
        raise ValueError(f"its Pad ({a['mode'].decode()}) is not supported")
    given, along = _ints(a, "pads", pads) or [], _ints(a, "axes", axes) or list(range(x.dim()))
    both = dict(zip([i % x.dim() for i in along], zip(given, given[len(along) :], strict=False), strict=True))
    sides = [side for i in reversed(range(x.dim())) for side in both.get(i, (0, 0))]
    return nn.pad(x, sides, value=_number(a, "value", value, 0.0))


def _reduce(function: Callable[..., Tensor]) -> Operator:
    def reduce(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        along = _ints(a, "axes", axes) or ([] if a.get("noop_with_empty_axes") else list(range(x.dim())))
        return function(x, along, bool(a.get("keepdims", 1))) if along else x

    return reduce


def _cumsum(a: Attributes, x: Tensor, axis: Tensor) -> Tensor:
    along = int(axis.item())
    if a.get("reverse", 0):
        x = x.flip(along)
    total = x.cumsum(along)
    total = total - x if a.get("exclusive", 0) else total
    return total.flip(along) if a.get("reverse", 0) else total


def _squeeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    along = _ints(a, "axes", axes)
    return x.squeeze() if along is None else x.squeeze(tuple(along))


def _unsqueeze(a: Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
    along = _ints(a, "axes", axes) or []
    for axis in sorted(axis % (x.dim() + len(along)) for axis in along):
        x = x.unsqueeze(axis)
    return x


def _softmax(a: Attributes, x: Tensor) -> Tensor:
    if a["opset"] >= 13:
        return x.softmax(a.get("axis", -1))
    axis = a.get("axis", 1) % x.dim()  # older: over all axes from here on together
    return x.flatten(axis).softmax(-1).reshape(x.shape)


def _clip(a: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x.clamp(_number(a, "min", low, None), _number(a, "max", high, None))


def _divide(a: Attributes, x: Tensor, y: Tensor) -> Tensor:
    whole = not (x.is_floating_point() or y.is_floating_point())
    return torch.div(x, y, rounding_mode="trunc" if whole else None)


def _gemm(a: Attributes, x: Tensor, y: Tensor, c: Tensor | None = None) -> Tensor:
    result = a.get("alpha", 1.0) * ((x.T if a.get("transA") else x) @ (y.T if a.get("transB") else y))
    return result if c is None else result + a.get("beta", 1.0) * c


def _batch_norm(a: Attributes, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return nn.batch_norm(x, mean, var, scale, bias, False, 0.0, a.get("epsilon", 1e-5))


def _constant(a: Attributes) -> Tensor:
    if "value" in a:
        return from_onnx(a["value"])
    name = next(k for k in ("value_float", "value_floats", "value_int", "value_ints") if k in a)
    return torch.tensor(a[name], dtype=torch.int64 if "int" in name else torch.float32)


def _constant_of_shape(a: Attributes, shape: Tensor) -> Tensor:
    value = from_onnx(a["value"]) if "value" in a else torch.zeros(1)
    return value.expand([int(v) for v in shape.tolist()]).clone()


def from_onnx(tensor: Any) -> Tensor:
    """An ONNX tensor on the host."""
    from onnx import numpy_helper

    return torch.from_numpy(numpy_helper.to_array(tensor).copy())


OPERATORS: Mapping[str, Operator] = {
    "Abs": lambda a, x: x.abs(),
    "Add": lambda a, x, y: x + y,
    "And": lambda a, x, y: x & y,
    "AveragePool": filters.average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda a, x: x.to(TYPES[a["to"]]),
    "Ceil": lambda a, x: x.ceil(),
    "Clip": _clip,
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Conv": filters.conv,
    "CumSum": _cumsum,
    "Div": _divide,
    "Dropout": lambda a, x, *rest: x,
    "Equal": lambda a, x, y: x == y,
    "Exp": lambda a, x: x.exp(),
    "Expand": lambda a, x, shape: x * torch.ones([int(v) for v in shape], dtype=x.dtype, device=x.device),
    "Flatten": lambda a, x: x.reshape(int(torch.tensor(x.shape[: a.get("axis", 1)]).prod()), -1),
    "Floor": lambda a, x: x.floor(),
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda a, x: x.mean(tuple(range(2, x.dim())), keepdim=True),
    "Greater": lambda a, x, y: x > y,
    "HardSigmoid": lambda a, x: (x * a.get("alpha", 0.2) + a.get("beta", 0.5)).clamp(0, 1),
    "HardSwish": lambda a, x: nn.hardswish(x),
    "Identity": lambda a, x: x,
    "LeakyRelu": lambda a, x: nn.leaky_relu(x, a.get("alpha", 0.01)),
    "Less": lambda a, x, y: x < y,
    "Log": lambda a, x: x.log(),
    "MatMul": lambda a, x, y: x @ y,
    "Max": lambda a, x, y: torch.maximum(x, y),
    "MaxPool": filters.max_pool,
    "Min": lambda a, x, y: torch.minimum(x, y),
    "Mul": lambda a, x, y: x * y,
    "Neg": lambda a, x: -x,
    "PRelu": lambda a, x, slope: torch.where(x < 0, x * slope, x),
    "Pad": _pad,
    "Pow": lambda a, x, y: x**y,
    "Range": lambda a, first, last, step: torch.arange(first.item(), last.item(), step.item()).to(first),
    "Reciprocal": lambda a, x: x.reciprocal(),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Relu": lambda a, x: x.relu(),
    "Reshape": _reshape,
    "Resize": filters.resize,
    "Shape": lambda a, x: torch.tensor(x.shape[a.get("start", 0) : a.get("end")]),
    "Sigmoid": lambda a, x: x.sigmoid(),
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Sqrt": lambda a, x: x.sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda a, x, y: x - y,
    "Tanh": lambda a, x: x.tanh(),
    "Tile": lambda a, x, times: x.repeat([int(v) for v in times]),
    "Transpose": lambda a, x: x.permute(a.get("perm") or list(reversed(range(x.dim())))),
    "Unsqueeze": _unsqueeze,
    "Upsample": filters.upsample,
    "Where": lambda a, condition, x, y: torch.where(condition, x, y),
}
