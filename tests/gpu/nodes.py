"""Running single nodes on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.job import Job
from dualface.graph.node import Context, Device, Event
from dualface.graph.types import Frames, Video
from dualface.nodes.decode.probe import probe

BATCH = 8


OPEN: list[Opened] = []


class Opened:
    """A node, open on ``device``; what it told is in ``events`` and ``figures``."""

    def __init__(self, node: Any, job: Job, device: Device | None, held: int = 4) -> None:
        self.node, self.events = node, list[Event]()
        self.figures: dict[str, float] = {}
        self.context = Context(
            job, "node", BATCH, 2, self.events.append, lambda: False, lambda path: path, self._count,
            lambda *_: None, device, 0, held,
        )  # fmt: skip
        OPEN.append(self)
        node.open(self.context)

    def _count(self, name: str, value: float) -> None:
        self.figures[name] = self.figures.get(name, 0) + value

    def batches(self) -> Iterator[Frames[Any, Any]]:
        """What a decoder gives."""
        while (decoded := self.node.process()) is not None:
            yield decoded.frames

    def close(self) -> None:
        if self in OPEN:
            OPEN.remove(self)
            self.node.close()


def film(path: Path) -> Job:
    return probe(path, output=path.with_suffix(".out.mp4"), name=path.stem)


def still(width: int, height: int, rotation: int = 0) -> Job:
    """A job whose pictures a test makes itself."""
    video = Video(width, height, Fraction(1, 30), Fraction(30), rotation=rotation)
    return Job("x", "x", Path("y.mp4"), video, 1, 1.0, "h264", "yuv420p")


def noise(count: int, width: int, height: int, seed: int = 0) -> Any:
    """NV12 pictures ``[count, height * 3 / 2, width]`` with detail in every sample."""
    rng = np.random.default_rng(seed)
    return rng.integers(16, 236, (count, height * 3 // 2, width), dtype=np.uint8)
