"""Looking for faces on the CPU: OpenCV makes the small copies, ONNX Runtime runs the network."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from dualface.graph.types import Bools
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.detect.cuts import CutFinder, thumb
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import Network, Seen
from dualface.nodes.detect.small import small_chroma, small_luma, write_channels


class CpuEyes:
    """Looks with ``network`` on ``threads`` threads; ``cuts`` finds the scene changes."""

    def __init__(self, network: Network, cuts: CutFinder, threads: int = 1) -> None:
        self.network, self.cuts = network, cuts
        self.session = OnnxSession(network.onnx, threads=threads)
        # Right and below, what no picture reaches keeps the fill.
        shape = (network.batch, 3, *network.plan.padded[::-1])
        self.input = np.full(shape, network.fill, np.float32)

    def look(self, data: Any, wanted: Bools) -> Seen:
        net, rows = self.network, data.shape[1] * 2 // 3
        flags, looked, seen = np.zeros(len(data), bool), wanted.copy(), []
        for i, picture in enumerate(data):
            luma = small_luma(picture[:rows], net.plan)
            flags[i] = self.cuts.threshold > 0 and self.cuts.look(thumb(luma))
            looked[i] |= flags[i]
            if looked[i]:
                seen.append((luma, *small_chroma(picture[rows:], net.plan)))
        found: list[Found] = []
        for start in range(0, len(seen), net.batch):
            part = seen[start : start + net.batch]
            for planes, out in zip(part, self.input, strict=False):
                write_channels(*planes, net.rows, out, net.white)
            shown = self.input[: len(part)] if net.fewer else self.input
            found += net.read(self.session.run({self.session.inputs[0]: shown}))[: len(part)]
        return Seen(found, looked, flags)

    def close(self) -> None:
        self.session.close()


# OpenCV's own threads would compete with those of the other stages.
cv2.setNumThreads(1)
