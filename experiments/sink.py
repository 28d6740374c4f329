"""The main graph on a GPU up to its pictures, which an end reads where they are instead of an encoder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualface.graph.build import build
from dualface.graph.dag import Graph
from dualface.graph.hardware import Hardware
from dualface.graph.node import Context, Needs, Node, NodeConfig
from dualface.graph.registry import installed, kind_of, node
from dualface.graph.types import NV12, Cuda, Frames, Memory
from dualface.hw.cuda import on


@dataclass
class SinkConfig(NodeConfig):
    """Jobs that are to be measured together."""

    folder: str = ""  # where each of them leaves a file once it has its first pictures
    together: int = 1  # and waits until there are so many


@node("bench/sink")
class Sink(Node[SinkConfig]):
    """Sums all bytes of each batch on the GPU; notes when batches came."""

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(engine="cuda", features=("cuda",), packages=("cupy",), threads=0.1)

    def open(self, context: Context) -> None:
        import cupy

        assert context.device is not None
        self.context, self.device, self.times = context, context.device, list[tuple[float, int]]()
        self.read = cupy.ReductionKernel("uint64 x", "uint64 y", "x", "a ^ b", "y = a", "0", "xor_all")
        with on(self.device):
            self.total = cupy.zeros((), cupy.uint64)
        try:  # how long others wait for Python's lock in this process
            from gilknocker import KnockKnock
        except ImportError:
            self.knocker = None
        else:
            self.knocker = KnockKnock(polling_interval_micros=1000, sampling_interval_micros=100)
            self.knocker.start()

    def process(self, frames: Frames[NV12, Cuda]) -> None:
        if self.config.folder and not self.times:
            folder = Path(self.config.folder)
            (folder / self.context.job.name).touch()
            while len(list(folder.iterdir())) < self.config.together and not self.context.stopping():
                time.sleep(0.005)
        with on(self.device):
            self.read(frames.data.reshape(-1).view("u8"), out=self.total)
        self.times.append((time.monotonic(), len(frames)))

    def close(self) -> None:
        if hasattr(self, "times"):
            with on(self.device) as stream:
                stream.synchronize()
            self.context.report("came", self.times)
        if (knocker := getattr(self, "knocker", None)) is not None:
            self.context.report("gil", knocker.contention_metric)
            knocker.stop()


def up_to_pictures(config: Mapping[str, Any], hardware: Hardware, **sink: Any) -> Graph:
    """The main graph of ``config`` with a `Sink` for its encoder; no pixel may leave the GPU in it."""
    kinds = installed()
    registry = replace(kinds, kinds={**kinds.kinds, "bench/sink": kind_of(Sink)})
    nodes = {name: given for name, given in config["graph"]["nodes"].items() if name != "record"}
    nodes["encode"] = {"kind": "bench/sink", "inputs": {"frames": "compose"}, **sink}
    return build({**config["graph"], "nodes": nodes}, hardware, registry, strict_zero_copy=True)
