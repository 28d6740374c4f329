"""A network that recognises faces, as its descriptor describes it (models/README.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dualface import zoo
from dualface.graph.types import Floats
from dualface.nodes.descriptors import PictureFile, number, picture_file, said, section
from dualface.nodes.reid import align
from dualface.zoo import ModelError

NODE = "reid/conditional"
KEYS = ("distance", "size", "points", "channels", "mean", "scale", "normalise")


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """The ``embedder`` of a descriptor: faces nearer than ``distance`` are one person's; the face is shown
    ``size`` pixels a side with its landmarks at ``points`` ``[5, 2]``, as ``(x - mean) * scale``."""

    name: str
    distance: float
    size: int
    points: align.Matrix
    channels: str
    mean: float
    scale: float
    normalise: bool

    def finished(self, numbers: Floats) -> Floats:
        """The network's answer ``[k, ...]`` as ``[k, d]``, of length 1 where that is wanted."""
        flat = np.asarray(numbers, np.float32).reshape(len(numbers), -1)
        if not self.normalise:
            return flat
        return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9), np.float32)


def described(name: str) -> Described:
    """What the descriptor of the model called ``name`` says. Raises `ModelError`."""
    values, where = section(zoo.find(name), "embedder", KEYS, NODE)
    distance, size = number(values, "distance", ""), number(values, "size", str(align.CHIP))
    mean, scale = number(values, "mean", "0"), number(values, "scale", "1")
    if distance is None or distance <= 0:
        raise ModelError(
            f"{where}.distance is {said(values, 'distance')}; it is the Euclidean distance below which two "
            "faces are one person's, such as 0.5"
        )
    if size is None or size < 16 or size != int(size):
        raise ModelError(
            f"{where}.size is {said(values, 'size')}; it is the sides' length in pixels, such as 112"
        )
    if mean is None or scale is None or scale <= 0:
        raise ModelError(f"{where}: mean and scale are numbers, such as 127.5 and 1/127.5; scale is above 0")
    channels, normalise = values.get("channels", "rgb"), values.get("normalise", False)
    if channels not in ("rgb", "bgr"):
        raise ModelError(f"{where}.channels is {channels}; it is rgb or bgr")
    if not isinstance(normalise, bool):
        raise ModelError(f"{where}.normalise is {normalise}; it is true or false")
    points = _points(values.get("points"), int(size))
    if points is None:
        raise ModelError(
            f"{where}.points is not five places [x, y] in that picture: eye, eye, nose, corners of the mouth"
        )
    return Described(name, distance, int(size), points, channels, mean, scale, normalise)


def opened(model: Described) -> PictureFile:
    """The verified file of ``model``. Raises `ModelError` where it is not what is described."""
    return picture_file(model.name, (model.size, model.size), NODE, "embedder")


def _points(value: Any, size: int) -> align.Matrix | None:
    if value is None:
        return align.template(size)
    try:
        points = np.array(value, np.float64)
    except (TypeError, ValueError):
        return None
    return points if points.shape == (5, 2) and np.isfinite(points).all() else None
