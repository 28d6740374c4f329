"""What the ways of looking for faces share: their options, and what they answer with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from dualface.graph.node import NodeConfig
from dualface.graph.types import Bools
from dualface.nodes.detect.heads import Found


@dataclass
class YunetConfig(NodeConfig):
    """YuNet on a small copy of the picture."""

    backend: Literal["onnxruntime", "torch", "tensorrt"] = "onnxruntime"  # the CPU's, or one of the GPU's
    half: bool = True  # compute in 16-bit floats on the GPU
    score: float = 0.6  # keep faces at or above this confidence, 0..1
    nms: float = 0.3  # drop a face that overlaps a better one by more than this (IoU), 0..1
    size: int = 384  # longer side of the copy that is searched, in pixels; faces of 10 there are found
    every: int = 1  # look at every n-th picture and after cuts; the tracker bridges the others
    most: int = 16  # faces kept in one picture, the surest first
    cut: float = 0.4  # how different a picture must be to begin a new scene; 0 finds none

    def __post_init__(self) -> None:
        for name in ("score", "nms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        if not 64 <= self.size <= 4096:
            raise ValueError(f"size is {self.size}; it goes from 64 to 4096 pixels")
        for name in ("every", "most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least 1")
        if self.cut < 0:
            raise ValueError(f"cut is {self.cut:g}; it is 0 (no cuts are looked for) or more")


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
