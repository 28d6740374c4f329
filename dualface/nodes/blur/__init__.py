"""blur/cpu: faces made unrecognisable, everything else as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.node import Bounded, Context, Node, NodeConfig, Snapshot, State
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Cuts, Frames, Tracks, Video, spans
from dualface.nodes.blur.cover import WHOLE, Box, Look, Rules, Sight, cover
from dualface.nodes.blur.losses import Losses
from dualface.nodes.buffers import FramePool
from dualface.nodes.compose.cpu import black, planes
from dualface.nodes.compose.stored import stored
from dualface.nodes.packed import pack, unpack

Plane = npt.NDArray[np.uint8]


@dataclass
class BlurConfig(NodeConfig):
    """How faces are hidden. What is left of one is ``cells`` x ``cells`` averages, or nothing."""

    style: Literal["blur", "pixelate", "black"] = "blur"  # soft, in blocks, or a black box
    expand: float = 1.5  # size of the hidden box in boxes of the detector, 1 or more
    cells: int = 6  # averages across a face that are kept, 1..16
    bridge: int = 12  # hide a face also so many frames before and after it is tracked
    gap: int = 30  # and up to so many frames between two tracks at one place, or beside the picture's edge

    def __post_init__(self) -> None:
        if self.expand < 1:
            raise ValueError(f"expand is {self.expand}; below 1 a rim of the face would show")
        if not 1 <= self.cells <= 16:
            raise ValueError(f"cells is {self.cells}; 1 to 16 averages across a face hide who it is")
        for name in ("bridge", "gap"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but a number of frames is 0 or more")


@node("blur/cpu", rank=50)
class Blur(Node[BlurConfig]):
    """Hides tracked faces, and where a face was a moment before and after, up to the next cut.

    Warns where a face was lost inside the picture.
    """

    def __init__(self, config: BlurConfig) -> None:
        super().__init__(config)
        self._pending: list[Frames[NV12, Cpu]] = []
        self._sights: list[Sight] = []  # from `lookahead` frames before the oldest pending one
        self._past = 0  # entries of `_sights` that are already answered
        self._losses = Losses()

    @staticmethod
    def lookahead(config: BlurConfig) -> int:
        return max(config.bridge, config.gap)

    @staticmethod
    def state(config: BlurConfig) -> State:
        return Bounded(max(config.bridge, config.gap) + WHOLE)

    def open(self, context: Context) -> None:
        self._context = context
        self._pool: FramePool | None = None

    def process(self, frames: Frames[NV12, Cpu], tracks: Tracks, cuts: Cuts) -> Frames[NV12, Cpu] | None:
        self._pending.append(frames)
        self._rules = self._rules_for(frames.video)
        for i, span in enumerate(spans(tracks.counts)):
            scores = dict(zip(tracks.ids[span].tolist(), tracks.scores[span].tolist(), strict=True))
            sight = self._see(tracks.boxes[span], scores, bool(cuts.flags[i]))
            self._losses.look(sight, scores, float(cuts.seconds[i]), self._rules)
            self._sights.append(sight)
        owed = len(self._sights) - self._past
        complete = owed - len(self._pending[0]) >= self._rules.reach
        return self._answer() if complete else None

    def finish(self) -> Iterator[Frames[NV12, Cpu]]:
        while self._pending:
            yield self._answer()
        if self._sights:
            self._losses.end(self._rules)
        if warning := self._losses.event(self._context.name):
            self._context.emit(warning)

    def close(self) -> None:
        self._pending.clear()

    def snapshot(self) -> Snapshot:
        # The pictures that wait go in as they are, uncopied: nobody writes into them any more.
        made: dict[str, Any] = {}
        for i, frames in enumerate(self._pending):
            values = {"data": frames.data, "pts": frames.pts, "first": np.array(frames.first, np.int64)}
            made |= {f"{i}.{key}": value for key, value in {**values, **pack(frames.video)}.items()}
        looks = [
            (i, track, *look.box, look.age)
            for i, sight in enumerate(self._sights)
            for track, look in sight.looks.items()
        ]
        made |= {f"losses.{key}": value for key, value in self._losses.snapshot().items()}
        made["looks"] = np.array(looks, np.float64).reshape(-1, 7)
        made["scenes"] = np.array([sight.scene for sight in self._sights], np.int64)
        made["counts"] = np.array([len(self._pending), self._past], np.int64)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        count, self._past = snapshot["counts"].tolist()
        self._pending = []
        for i in range(count):
            kept = {key: snapshot[f"{i}.{key}"] for key in ("data", "pts", "first", "video", "color")}
            self._pending.append(Frames(kept["data"], kept["pts"], unpack(kept), int(kept["first"])))
        self._sights = [Sight(scene, {}) for scene in snapshot["scenes"].tolist()]
        for i, track, x0, y0, x1, y1, age in snapshot["looks"].tolist():
            self._sights[int(i)].looks[int(track)] = Look((x0, y0, x1, y1), int(age))
        self._losses.restore({key[7:]: array for key, array in snapshot.items() if key.startswith("losses.")})
        self._rules = self._rules_for(self._pending[-1].video if count else self._context.job.video)

    def _rules_for(self, video: Video) -> Rules:
        return Rules(self.config.expand, self.config.bridge, self.config.gap, video.display_size)

    def _see(self, boxes: npt.NDArray[np.float32], scores: dict[int, float], cut: bool) -> Sight:
        """The next frame's sight; ``boxes`` in the order of ``scores``, which are 0 for predictions."""
        last = self._sights[-1] if self._sights else Sight(0, {})
        looks = {}
        for (track, score), (x0, y0, x1, y1) in zip(scores.items(), boxes.tolist(), strict=True):
            if np.isfinite((x0, y0, x1, y1)).all():
                age = last.looks[track].age + 1 if score == 0 and track in last.looks else 0
                looks[track] = Look((x0, y0, x1, y1), age)
        return Sight(last.scene + int(cut), looks)

    def _answer(self) -> Frames[NV12, Cpu]:
        frames = self._pending.pop(0)
        rows, width = frames.data.shape[1:]
        if self._pool is None:
            self._pool = FramePool(rows * 2 // 3, width, max(self._context.batch, len(frames)))
        out = self._pool.take(len(frames))
        np.copyto(out, frames.data)
        for i, picture in enumerate(out):
            for box in cover(self._sights, self._past + i, self._rules):
                self._hide(picture, box, frames)
        self._past += len(frames)
        drop = max(self._past - max(self._rules.reach, 1), 0)
        self._sights, self._past = self._sights[drop:], self._past - drop
        return replace(frames, data=out)

    def _hide(self, picture: Plane, box: Box, frames: Frames[NV12, Cpu]) -> None:
        luma, chroma = planes(picture)
        x0, y0, x1, y1 = stored(np.array(box, np.float32), frames.video)
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
