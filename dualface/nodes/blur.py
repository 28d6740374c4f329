"""blur/cpu: faces made unrecognisable, everything else as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.node import Bounded, Context, Node, NodeConfig, State
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Cuts, Frames, Tracks, spans
from dualface.nodes.buffers import FramePool
from dualface.nodes.compose.cpu import black, planes
from dualface.nodes.compose.stored import stored

GROWTH = 0.05  # of the box, for each frame between a frame and the nearest look at its face

Plane = npt.NDArray[np.uint8]
Seen = dict[int, npt.NDArray[np.float32]]  # boxes of one frame by track


@dataclass
class BlurConfig(NodeConfig):
    """How faces are hidden. What is left of one is ``cells`` x ``cells`` averages, or nothing."""

    style: Literal["blur", "pixelate", "black"] = "blur"  # soft, in blocks, or a black box
    expand: float = 1.5  # size of the hidden box in boxes of the detector, 1 or more
    cells: int = 6  # averages across a face that are kept, 1..16
    bridge: int = 12  # hide a face also so many frames before and after it is tracked

    def __post_init__(self) -> None:
        if self.expand < 1:
            raise ValueError(f"expand is {self.expand}; below 1 a rim of the face would show")
        if not 1 <= self.cells <= 16:
            raise ValueError(f"cells is {self.cells}; 1 to 16 averages across a face hide who it is")
        if self.bridge < 0:
            raise ValueError(f"bridge is {self.bridge}, but a number of frames is 0 or more")


@node("blur/cpu", rank=50)
class Blur(Node[BlurConfig]):
    """Hides tracked faces, and where a face was a moment before and after, up to the next cut."""

    def __init__(self, config: BlurConfig) -> None:
        super().__init__(config)
        self._pending: list[Frames[NV12, Cpu]] = []
        self._seen: list[Seen] = []  # from `bridge` frames before the oldest pending one
        self._scenes: list[int] = []
        self._past = 0  # entries of `_seen` that are already answered

    @staticmethod
    def lookahead(config: BlurConfig) -> int:
        return config.bridge

    @staticmethod
    def state(config: BlurConfig) -> State:
        return Bounded(config.bridge)

    def open(self, context: Context) -> None:
        self._batch = context.batch
        self._pool: FramePool | None = None

    def process(self, frames: Frames[NV12, Cpu], tracks: Tracks, cuts: Cuts) -> Frames[NV12, Cpu] | None:
        self._pending.append(frames)
        for span, cut in zip(spans(tracks.counts), cuts.flags, strict=True):
            found = zip(tracks.ids[span], tracks.boxes[span], strict=True)
            self._seen.append({int(i): box for i, box in found if np.isfinite(box).all()})
            self._scenes.append((self._scenes[-1] if self._scenes else 0) + int(cut))
        owed = len(self._seen) - self._past
        complete = owed - len(self._pending[0]) >= self.config.bridge
        return self._answer() if complete else None

    def finish(self) -> Iterator[Frames[NV12, Cpu]]:
        while self._pending:
            yield self._answer()

    def close(self) -> None:
        self._pending.clear()

    def _answer(self) -> Frames[NV12, Cpu]:
        frames = self._pending.pop(0)
        rows, width = frames.data.shape[1:]
        if self._pool is None:
            self._pool = FramePool(rows * 2 // 3, width, max(self._batch, len(frames)))
        out = self._pool.take(len(frames))
        np.copyto(out, frames.data)
        for i, picture in enumerate(out):
            for box in self._boxes(self._past + i):
                self._hide(picture, box, frames)
        self._past += len(frames)
        drop = max(self._past - self.config.bridge, 0)
        self._seen, self._scenes, self._past = self._seen[drop:], self._scenes[drop:], self._past - drop
        return replace(frames, data=out)

    def _boxes(self, now: int) -> list[npt.NDArray[np.float32]]:
        """Every face to hide in frame ``now``: each track's nearest box in time, grown with distance."""
        nearest: dict[int, tuple[int, npt.NDArray[np.float32]]] = {}
        reach = self.config.bridge
        for other in range(max(now - reach, 0), min(now + reach + 1, len(self._seen))):
            if self._scenes[other] == self._scenes[now]:
                for track, box in self._seen[other].items():
                    if track not in nearest or abs(other - now) < nearest[track][0]:
                        nearest[track] = abs(other - now), box
        return [_grown(box, self.config.expand + GROWTH * gap) for gap, box in nearest.values()]

    def _hide(self, picture: Plane, box: npt.NDArray[np.float32], frames: Frames[NV12, Cpu]) -> None:
        luma, chroma = planes(picture)
        x0, y0, x1, y1 = stored(box, frames.video)
        height, width = luma.shape
        # Whole chroma pixels, so that no rim of colour is left.
        left, top = max(int(x0) // 2, 0), max(int(y0) // 2, 0)
        right, bottom = min(-int(-x1 // 2), width // 2), min(-int(-y1 // 2), height // 2)
        if right <= left or bottom <= top:
            return
        patch, tint = luma[2 * top : 2 * bottom, 2 * left : 2 * right], chroma[top:bottom, left:right]
        if self.config.style == "black":
            black(patch, tint, frames.video)
            return
        way = cv2.INTER_NEAREST if self.config.style == "pixelate" else cv2.INTER_LINEAR
        for plane in (patch, tint):
            size = (min(self.config.cells, plane.shape[1]), min(self.config.cells, plane.shape[0]))
            small = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
            plane[:] = cv2.resize(small, plane.shape[1::-1], interpolation=way).reshape(plane.shape)


def _grown(box: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    return np.concatenate([centre - half, centre + half]).astype(np.float32)
