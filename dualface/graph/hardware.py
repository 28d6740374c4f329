"""The machine a graph is planned for, as plain values; `dualface.hw` finds them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. Engines are the chip's own; sessions are in `Hardware`."""

    index: int
    name: str
    vram_mb: int
    compute_capability: str = ""
    decode_engines: int = 0
    encode_engines: int = 0


@dataclass(frozen=True, slots=True)
class Hardware:
    """What may be used, for each GPU where a GPU is what it is about.

    ``features`` are words that nodes ask for (``cuda``, ``nvdec``, ``nvenc``); ``packages`` the
    import names that can be relied on; ``encode_overflow`` says whether jobs beyond
    ``encode_sessions`` ``wait`` or encode in ``software``.
    """

    name: str
    cpu_cores: int
    memory_mb: int
    gpus: tuple[Gpu, ...] = ()
    features: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    cpu_slots: int = 1  # jobs at a time where no GPU limits them
    cuda_streams: int = 0  # jobs at a time on one GPU
    decode_sessions: int = 0
    encode_sessions: int = 0
    vram_limit_mb: int = 0
    vram_per_stream_mb: int = 0
    decode_batch: int = 8  # frames that move through the graph together
    infer_batch: int = 8  # frames in one call of a network, at most
    queue_batches: int = 2  # batches that may wait between two stages
    encode_overflow: str = "wait"
