"""Moves pictures between the host's memory and the GPU's. Build puts it in where it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np

from dualface.graph.node import Context, Needs, Node, NodeConfig
from dualface.graph.registry import node
from dualface.graph.types import Cpu, Cuda, F, Frames, M, Memory, MemoryMark
from dualface.hw.cuda import on

To = TypeVar("To", bound=MemoryMark)


@dataclass
class TransferConfig(NodeConfig):
    """Where the pictures go."""

    to: Literal["cpu", "cuda"] = "cpu"  # the memory they are wanted in


@node("transfer")
class Transfer(Node[TransferConfig]):
    """Copies each batch to the other memory on the slot's stream; the source is left as it is.

    Host batches are pinned, so that the copy runs by itself at the bus's full speed.
    """

    @staticmethod
    def needs(config: TransferConfig, memory: Memory) -> Needs:
        return Needs(engine="cuda", features=("cuda",), packages=("cupy",), frame_buffers=1, threads=0.1)

    @staticmethod
    def binds(config: TransferConfig) -> Mapping[Any, type[MemoryMark]]:
        return {To: Cuda if config.to == "cuda" else Cpu}

    def open(self, context: Context) -> None:
        import cupy

        assert context.device is not None
        self.device, self.cupy, self._count = context.device, cupy, context.count
        # CuPy keeps pinned memory that is given back, so that after a few batches nothing is taken anew.
        self.pinned = cupy.cuda.PinnedMemoryPool()

    def process(self, frames: Frames[F, M]) -> Frames[F, To]:
        with on(self.device) as stream:
            if self.config.to == "cuda":
                data: Any = self.cupy.empty(frames.data.shape, frames.data.dtype)
                staged = self._host(frames.data.shape, frames.data.dtype)
                staged[...] = frames.data
                data.set(staged, stream=stream)
            else:
                data = self._host(frames.data.shape, frames.data.dtype)
                frames.data.get(stream=stream, out=data, blocking=False)
            # What was read may be overwritten, and what was written be read, once this returns.
            stream.synchronize()
        self._count(
            "host_to_device_bytes" if self.config.to == "cuda" else "device_to_host_bytes", data.nbytes
        )
        return replace(frames, data=data)  # type: ignore[return-value]

    def _host(self, shape: tuple[int, ...], dtype: Any) -> Any:
        count = int(np.prod(shape))
        memory = self.pinned.malloc(count * np.dtype(dtype).itemsize)
        return np.frombuffer(memory, dtype, count).reshape(shape)

    def close(self) -> None:
        self.pinned = None
