"""What the ways of looking for faces share: their options, what they are shown, what they answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dualface.graph.node import NodeConfig
from dualface.graph.types import Bools
from dualface.infer.session import Arrays
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.small import SmallPlan


@dataclass
class LookConfig(NodeConfig):
    """What every network that finds faces is asked."""

    score: float = 0.6  # keep faces at or above this confidence, 0..1
    nms: float = 0.3  # drop a face that overlaps a better one by more than this (IoU), 0..1
    every: int = 1  # look at every n-th picture and after cuts; the tracker bridges the others
    most: int = 16  # faces kept in one picture, the surest first
    cut: float = 0.4  # how different a picture must be to begin a new scene; 0 finds none

    def __post_init__(self) -> None:
        for name in ("score", "nms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        for name in ("every", "most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        if self.cut < 0:
            raise ValueError(f"cut is {self.cut:g}; it is 0 (no cuts are looked for) or more")


Backend = Literal["onnxruntime", "torch", "tensorrt"]
# What each takes of what may not be installed, beside what tells of it.
PACKAGES = {"onnxruntime": ("onnxruntime", "onnx", "cv2"), "torch": ("torch", "cupy"),
            "tensorrt": ("tensorrt", "cupy")}  # fmt: skip


@dataclass
class YunetConfig(LookConfig):
    """YuNet on a small copy of the picture."""

    backend: Backend = "onnxruntime"  # the CPU's, or one of the GPU's
    half: bool = True  # compute in 16-bit floats on the GPU
    size: int = 384  # longer side of the copy that is searched, in pixels; faces of 10 there are found

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 64 <= self.size <= 4096:
            raise ValueError(f"size is {self.size}; it goes from 64 to 4096 pixels")


@dataclass(frozen=True)
class Network:
    """A network that finds faces: its file, the pictures it is shown, and how its answers read.

    ``rows`` ``[3, 4]`` make its channels from Y, U, V and 1, from 0 to ``white``; beside the
    picture they are ``fill``. It takes ``batch`` pictures at a time, or where ``fewer`` is set
    up to so many. ``read`` turns the outputs into the faces of each picture, in pixels of the
    network's input.
    """

    onnx: Path
    plan: SmallPlan
    rows: npt.NDArray[np.float64]
    read: Callable[[Arrays], list[Found]]
    white: float = 255.0
    fill: float = 0.0
    batch: int = 2  # what more need does not fit the processor's caches
    fewer: bool = True


class Seen(NamedTuple):
    """What was seen in a batch: ``found`` for each picture that was ``looked`` at ``[n]``, in pixels
    of the network's input; ``cuts`` ``[n]`` is true where a scene begins (looked at in any case: the
    tracker knows nobody there)."""

    found: list[Found]
    looked: Bools
    cuts: Bools


class Eyes(Protocol):
    def look(self, data: Any, wanted: Bools) -> Seen:
        """See a batch ``[n, H*3/2, W]``; ``wanted`` ``[n]`` is false for pictures to be passed over."""
        ...

    def close(self) -> None: ...
