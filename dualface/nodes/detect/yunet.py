"""detect/yunet: faces with five landmarks, and scene changes, from a small copy of each picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualface.graph.node import Bounded, Context, Needs, Node, Snapshot, State
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Cuda, Cuts, Faces, Floats, Frames, M, Memory, MemoryMark, Video
from dualface.nodes.detect.cuts import MEMORY, CutFinder
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import Eyes, YunetConfig
from dualface.nodes.detect.small import SmallPlan, plan_small
from dualface.nodes.roles import Detected

BACKEND_PACKAGES = {"onnxruntime": ("onnxruntime", "cv2"), "torch": ("torch", "cupy"),
                    "tensorrt": ("tensorrt", "cupy")}  # fmt: skip
NETWORK_MB = 300  # of VRAM for weights, CUDA's own and the workspace; a guess, not measured


@node("detect/yunet", rank=50)
class Yunet(Node[YunetConfig]):
    """Finds faces from about 2% of the picture's longer side, where the pixels are."""

    @staticmethod
    def needs(config: YunetConfig, memory: Memory) -> Needs:
        packages = BACKEND_PACKAGES[config.backend]
        if config.backend == "onnxruntime":
            return Needs(packages=packages, threads=0.6)
        return Needs(engine="cuda", features=("cuda",), packages=packages, vram_mb=NETWORK_MB, threads=0.2)

    @staticmethod
    def binds(config: YunetConfig) -> Mapping[Any, type[MemoryMark]]:
        return {M: Cpu if config.backend == "onnxruntime" else Cuda}

    @staticmethod
    def state(config: YunetConfig) -> State:
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
        self._video, self._plan = video, plan_small(video, self.config.size)
        if self.config.backend == "onnxruntime":
            from dualface.nodes.detect.look_cpu import CpuEyes

            self._eyes = CpuEyes(self.config, video, self._cuts)
        else:
            from dualface.nodes.detect.look_cuda import CudaEyes

            assert self._context.device is not None
            self._eyes = CudaEyes(self.config, video, self._cuts, self._context.device, self._context.batch)


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
