"""What nodes that take a user's own network read alike: keys of its descriptor, and what its file says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface import zoo
from dualface.graph.registry import nearest
from dualface.infer.shapes import FREE, Size, inputs, load
from dualface.zoo import ModelError

FLOAT = 1  # ONNX's number of 32-bit floats


def section(model: zoo.Descriptor, key: str, keys: Sequence[str], node: str) -> tuple[Mapping[str, Any], str]:
    """What stands under ``key`` in the descriptor of ``model``, and where that is, for sentences. Raises
    `ModelError` where there is nothing, or a key that is none of ``keys``."""
    values: Mapping[str, Any] = getattr(model, key)
    where = f"{model.origin}: {key}"
    if not values:
        raise ModelError(
            f"{model.origin} has no '{key}', so that {node} does not know how to use the model "
            f"'{model.name}'; see models/README.md"
        )
    if unknown := [str(name) for name in values if name not in keys]:
        near = nearest(unknown[0], keys)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(keys)}"
        raise ModelError(f"{where} has no key '{unknown[0]}'; {hint}")
    return values, where


def number(values: Mapping[str, Any], key: str, default: str) -> float | None:
    """A finite number, also written as a fraction; None where it is none.

    >>> number({"scale": "1/255"}, "scale", "1") == 1 / 255, number({"scale": "1/127.5"}, "scale", "1")
    (True, 0.00784313725490196)
    """
    whole, _, part = str(values.get(key, default)).replace(" ", "").partition("/")
    try:
        found = float(Fraction(whole) / Fraction(part or "1"))
    except (ArithmeticError, ValueError):
        return None
    return found if math.isfinite(found) else None


def said(values: Mapping[str, Any], key: str) -> str:
    """A value in a sentence.

    >>> said({"head": "yolo"}, "head"), said({}, "head")
    ("'yolo'", 'missing')
    """
    return f"'{values[key]}'" if key in values else "missing"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A network that takes pictures only: ``batch`` of them at a time (`FREE`: any number), of
    ``size`` where its sides are not ``free``."""

    onnx: Path
    batch: int
    free: bool


def picture_file(name: str, size: Size, node: str, key: str) -> PictureFile:
    """The verified file of the model called ``name``, which ``node`` shows pictures of ``size`` (width,
    height), as ``key`` of its descriptor says. Raises `ModelError` where it does not take these."""
    path = zoo.onnx_path(name)
    try:
        network = load(path)
    except ValueError as error:
        raise ModelError(str(error)) from error
    shapes = inputs(network)
    if len(shapes) != 1:
        raise ModelError(f"{path} has {len(shapes)} inputs; {node} needs a network that only takes pictures")
    ((given, shape),) = shapes.items()
    if len(shape) != 4 or shape[1] != 3:
        raise ModelError(f"{path} takes {written(shape)}; {node} needs pictures [n, 3, height, width]")
    (kind,) = (v.type.tensor_type.elem_type for v in network.graph.input if v.name == given)
    if kind != FLOAT:
        raise ModelError(
            f"{path} does not take 32-bit floats; export it without half precision or quantisation"
        )
    sides = shape[3], shape[2]
    if any(found not in (FREE, wanted) for found, wanted in zip(sides, size, strict=True)):
        told, takes = "x".join(map(str, size)), "x".join("any" if s == FREE else str(s) for s in sides)
        raise ModelError(
            f"{path} takes pictures of {takes}, but its descriptor says {told}; correct {key}.size"
        )
    return PictureFile(path, shape[0], sides == (FREE, FREE))


def written(shape: tuple[int, ...]) -> str:
    """A shape for people.

    >>> written((1, 3, -1, -1))
    '[1, 3, any, any]'
    """
    return f"[{', '.join('any' if side == FREE else str(side) for side in shape)}]"
