"""Turns one pixel format into another on the CPU. Build puts it in where it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from dualface.graph.node import Needs, Node, NodeConfig
from dualface.graph.registry import node
from dualface.graph.types import NV12, P010, Cpu, F, Frames, Memory, PixelFormat

G = TypeVar("G", bound=PixelFormat)
FORMATS: Mapping[str, type[PixelFormat]] = {"nv12": NV12, "p010": P010}


@dataclass
class ConvertConfig(NodeConfig):
    """From which format to which."""

    source: Literal["nv12", "p010"] = "p010"  # the format that comes in
    target: Literal["nv12", "p010"] = "nv12"  # the format that goes out


@node("convert")
class Convert(Node[ConvertConfig]):
    """8 bit from 10 and back; the planes are laid out alike, so that only the depth changes.

    P010 keeps its 10 bits at the top of 16: a sample of ``v`` in 8 bit is ``v << 8``. Going down
    rounds to the nearest, so that up and down again changes nothing.
    """

    @staticmethod
    def needs(config: ConvertConfig, memory: Memory) -> Needs:
        return Needs(frame_buffers=1)

    @staticmethod
    def binds(config: ConvertConfig) -> Mapping[Any, type[PixelFormat]]:
        return {F: FORMATS[config.source], G: FORMATS[config.target]}

    def process(self, frames: Frames[F, Cpu]) -> Frames[G, Cpu]:
        data = frames.data
        if self.config.source != self.config.target:
            data = to_8_bit(data) if self.config.target == "nv12" else to_10_bit(data)
        return replace(frames, data=data)  # type: ignore[return-value]


def to_8_bit(data: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """A batch of P010 pictures, rounded to 8 bits.

    >>> to_8_bit(np.array([[[0, 128, 235 << 8, 65472]]], np.uint16))
    array([[[  0,   1, 235, 255]]], dtype=uint8)
    """
    narrow = np.empty(data.shape, np.uint8)
    for target, source in zip(narrow, data, strict=True):  # a frame at a time stays in the cache
        np.right_shift(np.minimum(source, 0xFF7F) + np.uint16(128), 8, out=target, casting="unsafe")
    return narrow


def to_10_bit(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """8-bit samples as P010.

    >>> to_10_bit(np.array([0, 235], np.uint8))
    array([    0, 60160], dtype=uint16)
    """
    return np.left_shift(data, 8, dtype=np.uint16)
