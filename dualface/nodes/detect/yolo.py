"""detect/yolo: faces by a YOLO network of the user's own, and scene changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualface.graph.job import Job
from dualface.graph.node import Context, Needs
from dualface.graph.registry import node
from dualface.graph.types import Cpu, M, Memory, MemoryMark, Video
from dualface.infer.session import Arrays
from dualface.infer.shapes import FREE
from dualface.nodes.detect.cuts import CutFinder
from dualface.nodes.detect.described import described, opened
from dualface.nodes.detect.detector import Detector
from dualface.nodes.detect.heads import Found
from dualface.nodes.detect.looking import Eyes, LookConfig, Network
from dualface.nodes.detect.small import SmallPlan
from dualface.nodes.detect.yolo_heads import decode_yolo
from dualface.zoo import ModelError


@dataclass
class YoloConfig(LookConfig):
    """A YOLO network for faces, which a descriptor among the models describes."""

    model: str = ""  # the name of its descriptor, to be given: see models/README.md
    score: float = 0.5  # keep faces at or above this confidence, 0..1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ValueError(
                "model is not given; name the descriptor of your own network, see models/README.md"
            )


@node("detect/yolo")
class Yolo(Detector[YoloConfig]):
    """Finds faces with a YOLOv5-face or YOLOv8-face network of your own, on the CPU."""

    @staticmethod
    def needs(config: YoloConfig, memory: Memory) -> Needs:
        # The smallest of these networks cost thirty times what YuNet does.
        return Needs(packages=("onnxruntime", "onnx", "cv2"), threads=2.0)

    @staticmethod
    def binds(config: YoloConfig) -> Mapping[Any, type[MemoryMark]]:
        return {M: Cpu}

    @staticmethod
    def check(config: YoloConfig, job: Job) -> tuple[str, ...]:
        try:
            opened(described(config.model))
        except ModelError as error:
            return (str(error),)
        return ()

    def eyes(self, video: Video, cuts: CutFinder, context: Context) -> tuple[Eyes, SmallPlan]:
        from dualface.nodes.detect.look_cpu import CpuEyes

        network = _network(self.config, video)
        return CpuEyes(network, cuts, context.threads), network.plan


def _network(config: YoloConfig, video: Video) -> Network:
    model = described(config.model)
    file = opened(model)

    def read(outputs: Arrays) -> list[Found]:
        answer = next(iter(outputs.values()))  # exports put what is decoded first
        return decode_yolo(answer, model.head, model.name, config.score, config.nms, config.most)

    return Network(
        file.onnx, file.plan(video, model.size), model.rows(video), read, model.white, model.fill,
        batch=1 if file.batch == FREE else file.batch, fewer=file.batch == FREE,
    )  # fmt: skip
