"""What detectors do alike: which pictures are looked at, cuts, and faces in source pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import numpy as np

from dualface.graph.node import Bounded, Context, Node, Snapshot, State
from dualface.graph.types import NV12, Cuts, Faces, Floats, Frames, M, Video
from dualface.nodes.detect.cuts import MEMORY, CutFinder
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import Eyes, LookConfig
from dualface.nodes.detect.small import SmallPlan
from dualface.nodes.roles import Detected

L = TypeVar("L", bound=LookConfig)


class Detector(Node[L], ABC, Generic[L]):
    """Base of nodes that look for faces in small copies of the pictures; they give `eyes`."""

    @abstractmethod
    def eyes(self, video: Video, cuts: CutFinder, context: Context) -> tuple[Eyes, SmallPlan]:
        """What looks at pictures like ``video``, and the small copies it makes of them."""

    @staticmethod
    def state(config: LookConfig) -> State:
        # The cut finder remembers the changes of so many frames. Which frames are looked at
        # follows from cuts and from their index, so that it is no state.
        return Bounded(MEMORY + 1)

    def open(self, context: Context) -> None:
        self._context = context
        self._cuts = CutFinder(self.config.cut)
        self._eyes: Eyes | None = None
        self._video: Video | None = None
        self._see(context.job.video)

    def process(self, frames: Frames[NV12, M]) -> Detected:
        if frames.video != self._video:
            self._see(frames.video)
        assert self._eyes is not None
        wanted = (frames.first + np.arange(len(frames))) % self.config.every == 0
        seen = self._eyes.look(frames.data, wanted)
        return Detected(_faces(seen.found, seen.looked, self._plan), Cuts(seen.cuts, frames.seconds()))

    def close(self) -> None:
        eyes, self._eyes = getattr(self, "_eyes", None), None
        if eyes is not None:
            eyes.close()

    def snapshot(self) -> Snapshot:
        return self._cuts.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        self._cuts.restore(snapshot)

    def _see(self, video: Video) -> None:
        """Get ready for pictures like ``video``."""
        self.close()
        self._video = video
        self._eyes, self._plan = self.eyes(video, self._cuts, self._context)


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
