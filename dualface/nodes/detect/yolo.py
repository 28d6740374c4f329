"""detect/yolo: faces by a YOLO network of the user's own, and scene changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dualface.graph.job import Job
from dualface.graph.node import Context, Needs
from dualface.graph.registry import node
from dualface.graph.types import Cpu, Cuda, M, Memory, MemoryMark, Video
from dualface.infer.session import Arrays
from dualface.infer.shapes import FREE
from dualface.nodes.detect.cuts import CutFinder
from dualface.nodes.detect.described import described, opened, plan_of
from dualface.nodes.detect.detector import Detector
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import PACKAGES, Backend, Eyes, LookConfig, Network
from dualface.nodes.detect.small import SmallPlan
from dualface.nodes.detect.yolo_heads import decode_yolo
from dualface.zoo import ModelError

NETWORK_MB = 2000  # weights, workspace and a CUDA context of its own: the smallest such networks at 640x640


@dataclass
class YoloConfig(LookConfig):
    """A YOLO network for faces, which a descriptor among the models describes."""

    model: str = ""  # the name of its descriptor, to be given: see models/README.md
    score: float = 0.5  # keep faces at or above this confidence, 0..1
    backend: Backend = "onnxruntime"  # the CPU's, or one of the GPU's
    half: bool = True  # compute in 16-bit floats on the GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ValueError(
                "model is not given; name the descriptor of your own network, see models/README.md"
            )


@node("detect/yolo")
class Yolo(Detector[YoloConfig]):
    """Finds faces with a YOLOv5-face or YOLOv8-face network of your own, where the pixels are."""

    @staticmethod
    def needs(config: YoloConfig, memory: Memory) -> Needs:
        packages = PACKAGES[config.backend]
        if config.backend == "onnxruntime":
            # The smallest of these networks cost thirty times what YuNet does.
            return Needs(packages=packages, threads=2.0)
        return Needs(engine="cuda", features=("cuda",), packages=packages, vram_mb=NETWORK_MB, threads=0.2)

    @staticmethod
    def binds(config: YoloConfig) -> Mapping[Any, type[MemoryMark]]:
        return {M: Cpu if config.backend == "onnxruntime" else Cuda}

    @staticmethod
    def check(config: YoloConfig, job: Job) -> tuple[str, ...]:
        try:
            opened(described(config.model))
        except ModelError as error:
            return (str(error),)
        return ()

    def eyes(self, video: Video, cuts: CutFinder, context: Context) -> tuple[Eyes, SmallPlan]:
        config = self.config
        if config.backend == "onnxruntime":
            from dualface.nodes.detect.look_cpu import CpuEyes

            network = _network(config, video)
            return CpuEyes(network, cuts, context.threads), network.plan
        from dualface.nodes.detect.faces_cuda import numbers
        from dualface.nodes.detect.look_cuda import CudaEyes, DeviceNetwork

        model = described(config.model)
        file = opened(model)
        plan = plan_of(file, model, video)
        shown = DeviceNetwork(
            model.name, config.backend, config.half, plan, model.rows(video),
            partial(numbers, head=model.head, name=model.name), model.white, model.fill,
            0 if file.batch == FREE else file.batch,
        )  # fmt: skip
        return CudaEyes(shown, config, cuts, context), plan


def _network(config: YoloConfig, video: Video) -> Network:
    model = described(config.model)
    file = opened(model)

    def read(outputs: Arrays) -> list[Found]:
        answer = next(iter(outputs.values()))  # exports put what is decoded first
        return decode_yolo(answer, model.head, model.name, config.score, config.nms, config.most)

    return Network(
        file.onnx, plan_of(file, model, video), model.rows(video), read, model.white, model.fill,
        batch=1 if file.batch == FREE else file.batch, fewer=file.batch == FREE,
    )  # fmt: skip
