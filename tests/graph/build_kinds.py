"""Stand-ins for nodes: ports, options and needs as real ones have them, and no work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.node import Needs, Node, NodeConfig
from dualface.graph.registry import Registry, node, registry_of, role
from dualface.graph.types import (
    NV12,
    P010,
    Cpu,
    Cuda,
    Cuts,
    F,
    Faces,
    Frames,
    Layout,
    M,
    Memory,
    People,
    PixelFormat,
    Shots,
    Source,
    Tracks,
)
from dualface.nodes import roles
from dualface.nodes.convert import Convert
from dualface.nodes.roles import Decoded, Detected
from dualface.nodes.transfer import Transfer


@node("decode/soft", rank=50)
class DecodeSoft(Node[NodeConfig]):
    def process(self) -> Decoded[NV12, Cpu]: ...


@node("decode/ten")
class DecodeTen(Node[NodeConfig]):
    def process(self) -> Decoded[P010, Cpu]: ...


class Planar(PixelFormat):
    """A layout that only one package knows."""


@node("decode/planar")
class DecodePlanar(Node[NodeConfig]):
    def process(self) -> Decoded[Planar, Cpu]: ...


@node("decode/chip", rank=10)
class DecodeChip(Node[NodeConfig]):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("nvdec", features=("nvdec",), resources={"decode_sessions": 1})

    def process(self) -> Decoded[NV12, Cuda]: ...


@dataclass
class Grid:
    rows: int = 2
    columns: int = 2


@dataclass
class DetectConfig(NodeConfig):
    """A detector."""

    score: float = 0.6  # keep faces at or above this, 0..1
    every: int = 1  # look at every so many frames
    mode: Literal["fast", "exact"] = "fast"  # how to look
    grid: Grid = field(default_factory=Grid)  # tiles to look at one by one

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1:
            raise ValueError(f"score is {self.score:g}, but it goes from 0 to 1")


@node("detect/soft", rank=50)
class DetectSoft(Node[DetectConfig]):
    def process(self, frames: Frames[NV12, Cpu]) -> Detected: ...


@node("detect/fast", rank=20)
class DetectFast(Node[DetectConfig]):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("cuda", features=("cuda",), packages=("tensorrt",))

    def process(self, frames: Frames[NV12, Cuda]) -> Detected: ...


@node("detect/plain")
class DetectPlain(Node[NodeConfig]):
    def process(self, frames: Frames[NV12, Cpu]) -> Detected: ...


@node("detect/misfit")
class DetectMisfit(Node[NodeConfig]):
    def process(self, frames: Frames[NV12, Cpu], depth: Shots) -> Faces: ...


@node("detect/fails")
class DetectFails(Node[NodeConfig]):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        raise RuntimeError("no such table")

    def process(self, frames: Frames[NV12, Cpu]) -> Detected: ...


@node("track/soft", rank=50)
class TrackSoft(Node[NodeConfig]):
    def process(self, faces: Faces, cuts: Cuts) -> Tracks: ...


@node("reid/off", rank=50)
class ReidOff(Node[NodeConfig]):
    def process(self, tracks: Tracks, cuts: Cuts) -> People: ...


@node("reid/look")
class ReidLook(Node[NodeConfig]):
    def process(self, frames: Frames[NV12, M], tracks: Tracks, cuts: Cuts | None = None) -> People: ...


@dataclass
class CameraConfig(NodeConfig):
    layout: Layout | None = None  # the output picture


@node("camera/soft", rank=50)
class CameraSoft(Node[CameraConfig]):
    def process(self, people: People, cuts: Cuts) -> Shots: ...


@node("compose/any", rank=50)
class ComposeAny(Node[NodeConfig]):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("cuda" if memory is Memory.CUDA else "cpu")

    def process(self, frames: Frames[NV12, M], shots: Shots) -> Frames[NV12, M]: ...


@node("compose/soft")
class ComposeSoft(Node[NodeConfig]):
    def process(self, frames: Frames[NV12, Cpu], shots: Shots) -> Frames[NV12, Cpu]: ...


@node("blur/any")
class BlurAny(Node[NodeConfig]):
    def process(self, frames: Frames[F, M], people: People | None = None) -> Frames[F, M]: ...


@node("encode/soft", rank=50)
class EncodeSoft(Node[NodeConfig]):
    def process(self, frames: Frames[NV12, Cpu], source: Source) -> None: ...


@node("encode/chip", rank=10)
class EncodeChip(Node[NodeConfig]):
    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs("nvenc", features=("nvenc",), resources={"encode_sessions": 1})

    def process(self, frames: Frames[NV12, Cuda], source: Source) -> None: ...


@node("write/people")
class WritePeople(Node[NodeConfig]):
    def process(self, people: People, cuts: Cuts | None = None, shots: Shots | None = None) -> None: ...


ROLES = {
    name: role(getattr(roles, name))
    for name in ("decode", "detect", "track", "reid", "camera", "compose", "encode")
}
CLASSES = (
    *(
        DecodeSoft,
        DecodeTen,
        DecodePlanar,
        DecodeChip,
        DetectSoft,
        DetectFast,
        DetectPlain,
        DetectMisfit,
        DetectFails,
        TrackSoft,
    ),
    *(ReidOff, ReidLook, CameraSoft, ComposeAny, ComposeSoft, BlurAny, EncodeSoft, EncodeChip, WritePeople),
    *(Transfer, Convert),
)


def stand_ins(*, without: frozenset[str] = frozenset()) -> Registry:
    """All stand-ins, and one kind whose package does not import."""
    registry = registry_of([cls for cls in CLASSES if cls.kind not in without], ROLES)
    return replace(registry, broken={"detect/broken": "acme-detect: ImportError: no module named 'acme'"})


CPU = Hardware("cpu", cpu_cores=4, memory_mb=8000)
GPU = Hardware(
    "rtx",
    cpu_cores=16,
    memory_mb=32000,
    gpus=(Gpu(0, "RTX", 32000),),
    features=frozenset({"cuda", "nvdec", "nvenc"}),
    packages=frozenset({"torch", "cupy", "tensorrt"}),
    cuda_streams=4,
    decode_sessions=4,
    encode_sessions=2,
    vram_limit_mb=24000,
    vram_per_stream_mb=6000,
)
NO_NVENC = replace(GPU, name="h100", features=frozenset({"cuda", "nvdec"}), encode_sessions=0)
BARE = replace(GPU, name="bare_rtx", packages=frozenset({"torch", "cupy"}))
MACHINES: Mapping[str, Hardware] = {hardware.name: hardware for hardware in (CPU, GPU, NO_NVENC, BARE)}


def main_graph(**nodes: Any) -> dict[str, Any]:
    """The shape of the main graph; ``nodes`` replace or, where None, remove some."""
    base: dict[str, Any] = {
        "decode": {"auto": "decode"},
        "detect": {"auto": "detect", "inputs": {"frames": "decode.frames"}},
        "track": {"auto": "track", "inputs": {"faces": "detect.faces", "cuts": "detect.cuts"}},
        "reid": {
            "auto": "reid",
            "inputs": {"frames": "decode.frames", "tracks": "track", "cuts": "detect.cuts"},
        },
        "camera": {"auto": "camera", "inputs": {"people": "reid", "cuts": "detect.cuts"}},
        "compose": {"auto": "compose", "inputs": {"frames": "decode.frames", "shots": "camera"}},
        "encode": {"auto": "encode", "inputs": {"frames": "compose", "source": "decode.source"}},
    }
    base |= nodes
    return {"name": "main", "output": "{name}.mp4", "nodes": {k: v for k, v in base.items() if v is not None}}
