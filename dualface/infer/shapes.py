"""The inputs of a network: which sides its file leaves free, and filling them in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualface import onnx_file

Shape = tuple[int, ...]
Size = tuple[int, int]
FREE = -1


def load(path: Path) -> Any:
    """The ONNX model in ``path``. Raises ValueError where it is none."""
    try:
        return onnx_file.parse(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def inputs(model: Any) -> dict[str, Shape]:
    """The inputs of an ONNX model; a side that it leaves free is `FREE`."""
    fixed = {tensor.name for tensor in model.graph.initializer}
    return {
        value.name: tuple(
            side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else FREE
            for side in value.type.tensor_type.shape.dim
        )
        for value in model.graph.input
        if value.name not in fixed
    }


def filled(given: Shape, batch: int, size: Size) -> Shape:
    """``given`` with its free sides filled in for ``batch`` pictures of ``size`` (width, height).

    >>> filled((-1, 3, -1, -1), 8, (384, 224)), filled((1, 3, 640, 640), 8, (384, 224))
    ((8, 3, 224, 384), (1, 3, 640, 640))
    """
    if len(given) != 4 or given[1] == FREE:
        raise ValueError(f"an input of shape {list(given)} is not a batch of pictures")
    wanted = (batch, given[1], size[1], size[0])
    return tuple(new if old == FREE else old for old, new in zip(given, wanted, strict=True))


def pictures(path: Path, batch: int, size: Size) -> Mapping[str, Shape]:
    """The shape of each input for ``batch`` pictures of ``size`` (width, height). Raises
    ValueError with one sentence where the network in ``path`` takes others only."""
    shapes = {name: filled(given, batch, size) for name, given in inputs(load(path)).items()}
    for count, _, height, width in shapes.values():
        if (count, width, height) != (batch, *size):
            raise ValueError(
                f"{path} takes {count} of {width}x{height} at a time, not {batch} of {size[0]}x{size[1]}; "
                "export it with free sizes, or add dynamic_size to its conversions"
            )
    return shapes
