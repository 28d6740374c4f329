"""A card that is not there, and a way to run jobs on it through the scheduler and the executor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualface.graph import node as nodes
from dualface.graph.build import build
from dualface.graph.execute import JobResult, execute
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.registry import Registry, kind_of, node
from dualface.graph.schedule import schedule
from dualface.graph.types import NV12, Cuda
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.nvenc import Nvenc
from dualface.nodes.roles import Decoded
from standins.device import STREAM, Device
from standins.pynvvideocodec import Chip

CARD = Hardware(
    "stand-in", cpu_cores=8, memory_mb=16_000, gpus=(Gpu(0, "Stand-in", 32_607, "12.0", 2, 3),),
    features=frozenset({"cuda", "nvdec", "nvenc"}), packages=frozenset({"PyNvVideoCodec", "av"}),
    cuda_streams=4, decode_sessions=4, encode_sessions=2, vram_limit_mb=24_576, vram_per_stream_mb=6144,
    decode_batch=4,
)  # fmt: skip
INPUTS = {"frames": "decode.frames", "source": "decode.source"}


def decoder(device: Device) -> type[nodes.Node[PyavConfig]]:
    """decode/pyav, with its pictures put on ``device``."""

    @node("decode/standin")
    class Standin(nodes.Node[PyavConfig]):
        @staticmethod
        def needs(config: Any, memory: Any) -> nodes.Needs:
            return nodes.Needs(engine="nvdec", resources={"decode_sessions": 1})

        def open(self, context: nodes.Context) -> None:
            self.inner = PyavDecode(self.config)
            self.inner.open(context)

        def process(self) -> Decoded[NV12, Cuda] | None:
            out = self.inner.process()
            if out is None:
                return None
            frames: Any = dataclasses.replace(out.frames, data=device.put(out.frames.data))
            return Decoded(frames, out.source)

        def close(self) -> None:
            self.inner.close()

    return Standin


class Machine:
    """``device`` is its memory, ``chip`` its encoder."""

    def __init__(self) -> None:
        self.device = Device()
        self.chip = Chip(self.device)
        kinds = [kind_of(decoder(self.device)), kind_of(Nvenc)]
        self.registry = Registry({kind.name: kind for kind in kinds}, {})

    def run(
        self, jobs: Sequence[Job], running: Mapping[str, Any] | None = None, **options: Any
    ) -> tuple[JobResult, ...]:
        """decode/standin → encode/nvenc, with these ``options``, as CARD's plan has it; ``running`` is
        for `execute`."""
        nodes_ = {
            "decode": {"kind": "decode/standin"},
            "encode": {"kind": "encode/nvenc", "inputs": INPUTS, **options},
        }
        graph = build({"name": "copy", "nodes": nodes_}, CARD, self.registry)
        plan = schedule(graph, CARD, jobs)
        return execute(plan, open_device=lambda gpu: nodes.Device(gpu, STREAM), **(running or {}))

    def copy(self, source: Path, target: Path, **options: Any) -> JobResult:
        (result,) = self.run([probe(source, output=target, name="x")], **options)
        return result
