"""A user's own face detector as its descriptor describes it (models/README.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface import zoo
from dualface.graph.registry import nearest
from dualface.graph.types import Video
from dualface.infer.shapes import FREE, inputs, load
from dualface.nodes.detect.small import STEP, Size, SmallPlan, bgr_rows, plan_small
from dualface.nodes.detect.yolo_heads import HEADS
from dualface.zoo import ModelError

FLOAT = 1  # ONNX's number of 32-bit floats
KEYS = ("head", "size", "channels", "scale", "fill")


@dataclass(frozen=True, slots=True)
class Described:
    """The ``detector`` of a descriptor: the head's kind, the size (width, height) of the picture
    it is shown, its channels (``rgb`` or ``bgr``) from 0 to ``white``, and what is beside the
    picture."""

    name: str
    head: str
    size: Size
    channels: str
    white: float
    fill: float

    def rows(self, video: Video) -> npt.NDArray[np.float64]:
        """Weights of Y, U, V and 1 for each channel, ``[3, 4]``."""
        rows = bgr_rows(video.color, video.height) * (self.white / 255)
        return rows[::-1] if self.channels == "rgb" else rows


@dataclass(frozen=True, slots=True)
class Opened:
    """What the file itself says: ``batch`` pictures at a time (`FREE`: any number), and whether
    the picture's sides are free."""

    onnx: Path
    batch: int
    free: bool

    def plan(self, video: Video, size: Size) -> SmallPlan:
        """The small picture to show: all of ``size`` where the sides are fixed."""
        return plan_small(video, size, whole=not self.free)


def described(name: str) -> Described:
    """What the descriptor of the model called ``name`` says. Raises `ModelError`."""
    model = zoo.find(name)
    values, where = model.detector, f"{model.origin}: detector"
    if not values:
        raise ModelError(
            f"{model.origin} has no 'detector', so that detect/yolo does not know how to read the model "
            f"'{name}'; see models/README.md"
        )
    if unknown := [str(key) for key in values if key not in KEYS]:
        near = nearest(unknown[0], KEYS)
        hint = f"did you mean '{near}'?" if near else f"there are {', '.join(KEYS)}"
        raise ModelError(f"{where} has no key '{unknown[0]}'; {hint}")
    head, size = str(values.get("head")), zoo.size_of(values.get("size"))
    if head not in HEADS:
        raise ModelError(f"{where}.head is {_said(values, 'head')}; it is {' or '.join(HEADS)}")
    if size is None or any(side % STEP or not side for side in size):
        raise ModelError(
            f"{where}.size is {_said(values, 'size')}; it is width x height in multiples of {STEP}, "
            "such as 640x640"
        )
    channels = values.get("channels", "rgb")
    if channels not in ("rgb", "bgr"):
        raise ModelError(f"{where}.channels is {channels}; it is rgb or bgr")
    scale, fill = _number(values, "scale", "1/255"), _number(values, "fill", "114")
    if scale is None or scale <= 0:
        raise ModelError(f"{where}.scale is {_said(values, 'scale')}; it is a number above 0, such as 1/255")
    if fill is None or not 0 <= fill <= 255:
        raise ModelError(f"{where}.fill is {_said(values, 'fill')}; it is a grey level from 0 to 255")
    return Described(name, head, size, channels, 255 * scale, fill * scale)


def opened(model: Described) -> Opened:
    """The verified file of ``model``. Raises `ModelError` where it is not what is described."""
    path = zoo.onnx_path(model.name)
    try:
        network = load(path)
    except ValueError as error:
        raise ModelError(str(error)) from error
    shapes = inputs(network)
    if len(shapes) != 1:
        raise ModelError(
            f"{path} has {len(shapes)} inputs; detect/yolo needs a network that only takes pictures"
        )
    ((name, shape),) = shapes.items()
    if len(shape) != 4 or shape[1] != 3:
        raise ModelError(f"{path} takes {written(shape)}; detect/yolo needs pictures [n, 3, height, width]")
    (kind,) = (v.type.tensor_type.elem_type for v in network.graph.input if v.name == name)
    if kind != FLOAT:
        raise ModelError(
            f"{path} does not take 32-bit floats; export it without half precision or quantisation"
        )
    sides = shape[3], shape[2]
    if any(found not in (FREE, wanted) for found, wanted in zip(sides, model.size, strict=True)):
        said, takes = "x".join(map(str, model.size)), "x".join("any" if s == FREE else str(s) for s in sides)
        raise ModelError(
            f"{path} takes pictures of {takes}, but its descriptor says {said}; correct detector.size"
        )
    return Opened(path, shape[0], sides == (FREE, FREE))


def written(shape: tuple[int, ...]) -> str:
    """A shape for people.

    >>> written((1, 3, -1, -1))
    '[1, 3, any, any]'
    """
    return f"[{', '.join('any' if side == FREE else str(side) for side in shape)}]"


def _number(values: Mapping[str, Any], key: str, default: str) -> float | None:
    """A number, also written as a fraction such as 1/255."""
    try:
        return float(Fraction(str(values.get(key, default)).replace(" ", "")))
    except (ArithmeticError, ValueError):
        return None


def _said(values: Mapping[str, Any], key: str) -> str:
    return f"'{values[key]}'" if key in values else "missing"
