"""Moves pictures between the host's memory and the GPU's. Build puts it in where it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from dualface.graph.node import Context, Needs, Node, NodeConfig
from dualface.graph.registry import node
from dualface.graph.types import Cpu, Cuda, F, Frames, M, Memory, MemoryMark

To = TypeVar("To", bound=MemoryMark)


@dataclass
class TransferConfig(NodeConfig):
    """Where the pictures go."""

    to: Literal["cpu", "cuda"] = "cpu"  # the memory they are wanted in


@node("transfer")
class Transfer(Node[TransferConfig]):
    """Copies each batch to the other memory on the slot's stream; the source is left as it is."""

    @staticmethod
    def needs(config: TransferConfig, memory: Memory) -> Needs:
        return Needs(engine="cuda", features=("cuda",), packages=("torch",), frame_buffers=1)

    @staticmethod
    def binds(config: TransferConfig) -> Mapping[Any, type[MemoryMark]]:
        return {To: Cuda if config.to == "cuda" else Cpu}

    def open(self, context: Context) -> None:
        import torch

        gpu = context.device.gpu if context.device else 0
        handle = context.device.stream if context.device else 0
        self.torch = torch
        self.device = torch.device("cuda", gpu)
        self.stream = (
            torch.cuda.ExternalStream(handle, device=self.device)
            if handle
            else torch.cuda.Stream(device=self.device)
        )

    def process(self, frames: Frames[F, M]) -> Frames[F, To]:
        with self.torch.cuda.stream(self.stream):
            # as_tensor takes numpy arrays and __cuda_array_interface__ alike, without a copy.
            if self.config.to == "cuda":
                data: Any = self.torch.as_tensor(frames.data).to(self.device, copy=True)
            else:
                data = self.torch.as_tensor(frames.data, device=self.device).cpu().numpy()
        # What was read may be overwritten, and what was written be read, once this returns.
        self.stream.synchronize()
        return replace(frames, data=data)  # type: ignore[return-value]

    def close(self) -> None:
        self.stream = None
