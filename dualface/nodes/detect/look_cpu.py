"""Looking for faces on the CPU: OpenCV makes the small copies, ONNX Runtime runs the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from dualface import zoo
from dualface.graph.types import Bools, Video
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.detect.cuts import CutFinder, thumb
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.detect.looking import Seen, YunetConfig
from dualface.nodes.detect.small import bgr_rows, plan_small, small_chroma, small_luma, write_bgr

AT_ONCE = 2  # pictures in one run of the network; what more need does not fit the processor's caches


class CpuEyes:
    """One thread looks at ``video``; a net this small gains nothing from a second one."""

    def __init__(self, config: YunetConfig, video: Video, cuts: CutFinder) -> None:
        self.config, self.cuts = config, cuts
        self.plan = plan_small(video, config.size)
        self.weights = bgr_rows(video.color, video.height)
        self.session = OnnxSession(zoo.onnx_path("yunet"), threads=1)
        # Right and below, what no picture reaches stays zero.
        self.input = np.zeros((AT_ONCE, 3, *self.plan.padded[::-1]), np.float32)

    def look(self, data: Any, wanted: Bools) -> Seen:
        config, plan, rows = self.config, self.plan, data.shape[1] * 2 // 3
        flags, looked, seen = np.zeros(len(data), bool), wanted.copy(), []
        for i, picture in enumerate(data):
            luma = small_luma(picture[:rows], plan)
            flags[i] = config.cut > 0 and self.cuts.look(thumb(luma))
            looked[i] |= flags[i]
            if looked[i]:
                seen.append((luma, *small_chroma(picture[rows:], plan)))
        found: list[Found] = []
        for start in range(0, len(seen), AT_ONCE):
            part = seen[start : start + AT_ONCE]
            for planes, out in zip(part, self.input, strict=False):
                write_bgr(*planes, self.weights, out)
            outputs = self.session.run({self.session.inputs[0]: self.input[: len(part)]})
            found += decode(outputs, plan.padded[0], config.score, config.nms, config.most)
        return Seen(found, looked, flags)

    def close(self) -> None:
        self.session.close()


# OpenCV's own threads would compete with those of the other stages.
cv2.setNumThreads(1)
