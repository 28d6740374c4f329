"""detect/yunet: faces with five landmarks, and scene changes, from a small copy of each picture."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dualface import zoo
from dualface.graph.node import Context, Needs
from dualface.graph.registry import node
from dualface.graph.types import Cpu, Cuda, M, Memory, MemoryMark, Video
from dualface.nodes.detect.cuts import CutFinder
from dualface.nodes.detect.detector import Detector
from dualface.nodes.detect.heads import decode
from dualface.nodes.detect.looking import PACKAGES, Eyes, Network, YunetConfig
from dualface.nodes.detect.small import SmallPlan, bgr_rows, plan_small

NETWORK_MB = 700  # weights, workspace and a CUDA context of its own, as part of what docs/gpu.md measured


@node("detect/yunet", rank=50)
class Yunet(Detector[YunetConfig]):
    """Finds faces from about 2% of the picture's longer side, where the pixels are."""

    @staticmethod
    def needs(config: YunetConfig, memory: Memory) -> Needs:
        packages = PACKAGES[config.backend]
        if config.backend == "onnxruntime":
            return Needs(packages=packages, threads=0.6)
        return Needs(engine="cuda", features=("cuda",), packages=packages, vram_mb=NETWORK_MB, threads=0.2)

    @staticmethod
    def binds(config: YunetConfig) -> Mapping[Any, type[MemoryMark]]:
        return {M: Cpu if config.backend == "onnxruntime" else Cuda}

    def eyes(self, video: Video, cuts: CutFinder, context: Context) -> tuple[Eyes, SmallPlan]:
        if self.config.backend == "onnxruntime":
            from dualface.nodes.detect.look_cpu import CpuEyes

            network = _network(self.config, video)  # so small that a second thread gains nothing
            return CpuEyes(network, cuts), network.plan
        from dualface.nodes.detect.faces_cuda import cells
        from dualface.nodes.detect.look_cuda import CudaEyes, DeviceNetwork

        config, plan = self.config, plan_small(video, self.config.size)
        read = partial(cells, width=plan.padded[0], height=plan.padded[1])
        rows = bgr_rows(video.color, video.height)
        shown = DeviceNetwork("yunet", config.backend, config.half, plan, rows, read)
        return CudaEyes(shown, config, cuts, context), plan


def _network(config: YunetConfig, video: Video) -> Network:
    plan = plan_small(video, config.size)
    read = partial(decode, width=plan.padded[0], score=config.score, nms=config.nms, most=config.most)
    return Network(zoo.onnx_path("yunet"), plan, bgr_rows(video.color, video.height), read)
