"""detect/yunet: faces with five landmarks, and scene changes, from a small copy of each picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from dualface import zoo
from dualface.graph.node import Bounded, Context, Needs, Node, NodeConfig, Snapshot, State
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Cuts, Faces, Floats, Frames, Memory, Video
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.detect.cuts import MEMORY, CutFinder
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.detect.small import SmallPlan, bgr_rows, plan_small, small_chroma, small_luma, write_bgr
from dualface.nodes.roles import Detected

AT_ONCE = 2  # pictures in one run of the network; what more need does not fit the processor's caches


@dataclass
class YunetConfig(NodeConfig):
    """YuNet on a small copy of the picture."""

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


@node("detect/yunet", rank=50)
class Yunet(Node[YunetConfig]):
    """Finds faces from about 2% of the picture's longer side."""

    @staticmethod
    def needs(config: YunetConfig, memory: Memory) -> Needs:
        return Needs(packages=("onnxruntime", "cv2"), threads=0.6)

    @staticmethod
    def state(config: YunetConfig) -> State:
        # The cut finder remembers the changes of so many frames. Which frames are looked at
        # follows from cuts and from their index, so that it is no state.
        return Bounded(MEMORY + 1)

    def open(self, context: Context) -> None:
        # A net this small gains nothing from a second thread, and loses a tenth to waiting for it.
        self._session: OnnxSession | None = OnnxSession(zoo.onnx_path("yunet"), threads=1)
        self._cuts = CutFinder(self.config.cut)
        self._plan: tuple[Video, SmallPlan] | None = None

    def process(self, frames: Frames[NV12, Cpu]) -> Detected:
        assert self._session is not None
        plan, rows = self._small(frames.video), frames.data.shape[1] * 2 // 3
        weights = bgr_rows(frames.video.color, frames.video.height)
        # A new scene is looked at in any case: the tracker knows nobody there.
        looked = (frames.first + np.arange(len(frames))) % self.config.every == 0
        flags = np.zeros(len(frames), bool)
        seen = []
        for i, picture in enumerate(frames.data):
            luma = small_luma(picture[:rows], plan)
            flags[i] = self.config.cut > 0 and self._cuts.look(luma)
            looked[i] |= flags[i]
            if looked[i]:
                seen.append((luma, *small_chroma(picture[rows:], plan)))
        found: list[Found] = []
        for start in range(0, len(seen), AT_ONCE):
            part = seen[start : start + AT_ONCE]
            for planes, out in zip(part, self._input, strict=False):
                write_bgr(*planes, weights, out)
            outputs = self._session.run({self._session.inputs[0]: self._input[: len(part)]})
            found += decode(outputs, plan.padded[0], self.config.score, self.config.nms, self.config.most)
        return Detected(_faces(found, looked, plan), Cuts(flags, frames.seconds()))

    def close(self) -> None:
        self._session = None

    def snapshot(self) -> Snapshot:
        return self._cuts.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        self._cuts.restore(snapshot)

    def _small(self, video: Video) -> SmallPlan:
        if self._plan is None or self._plan[0] != video:
            self._plan = video, plan_small(video, self.config.size)
            # Right and below, what no picture reaches stays zero.
            self._input = np.zeros((AT_ONCE, 3, *self._plan[1].padded[::-1]), np.float32)
        return self._plan[1]


def _faces(found: list[Found], looked: Any, plan: SmallPlan) -> Faces:
    """The faces of a batch in source pixels; ``found`` has one entry a picture looked at."""
    counts = np.zeros(len(looked), np.int64)
    counts[looked] = [len(f.scores) for f in found]
    if not found:
        found = [
            Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32))
        ]
    scale, offset = np.array(plan.scale, np.float32), np.array(plan.offset, np.float32)
    boxes: Floats = np.concatenate([f.boxes for f in found]) * np.tile(scale, 2) + np.tile(offset, 2)
    return Faces(
        counts,
        boxes.astype(np.float32),
        np.concatenate([f.scores for f in found]).astype(np.float32),
        (np.concatenate([f.landmarks for f in found]) * scale + offset).astype(np.float32),
        looked,
    )


# OpenCV's own threads would compete with those of the other stages.
cv2.setNumThreads(1)
