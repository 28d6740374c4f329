"""write/people: who was where and what the camera showed, one JSON line a frame."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Context, Needs, Node, NodeConfig, Snapshot
from dualface.graph.registry import node
from dualface.graph.types import Cuts, Layout, Memory, People, Shots, spans
from dualface.nodes.layout import SIDE_BY_SIDE


@dataclass
class WritePeopleConfig(NodeConfig):
    """A record beside the output: x_dual.mp4 gets x_dual.people.jsonl."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # its tiles name the sides


@node("write/people")
class WritePeople(Node[WritePeopleConfig]):
    """Writes the output itself where that ends with .jsonl, else a file beside it."""

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=0.1)

    @staticmethod
    def writes(config: Any, job: Job) -> tuple[Path, ...]:
        if job.output.suffix == ".jsonl":
            return (job.output,)
        return (job.output.with_name(f"{job.output.stem}.people.jsonl"),)

    def open(self, context: Context) -> None:
        self._sides = [tile.name for tile in self.config.layout.tiles]
        self._frame = 0
        self._final = self.writes(self.config, context.job)[0]
        self._target = context.write_as(self._final)
        self._path = context.workspace() / "people.jsonl"
        self._path.touch()
        self._file = self._path.open("r+b")  # what is there may be gone on with

    def process(self, people: People, cuts: Cuts, shots: Shots | None) -> None:
        for i, span in enumerate(spans(people.counts)):
            line: dict[str, Any] = {
                "frame": self._frame,
                "pts": round(float(cuts.seconds[i]), 6),
                "faces": [self._face(people, k) for k in range(span.start, span.stop)],
            }
            if shots is not None:
                line["shots"] = {
                    tile: _box(crop)
                    for tile, crop, blank in zip(shots.tiles, shots.crops[i], shots.blank[i], strict=True)
                    if not blank
                }
            self._file.write(json.dumps(line).encode() + b"\n")
            self._frame += 1

    def snapshot(self) -> Snapshot:
        self._file.flush()
        os.fsync(self._file.fileno())
        return {"frame": np.array(self._frame), "bytes": np.array(self._file.tell())}

    def restore(self, snapshot: Snapshot) -> None:
        self._frame, size = int(snapshot["frame"]), int(snapshot["bytes"])
        if self._path.stat().st_size < size:
            raise InputError(
                f"{self._final}: what was left of it in {self._path} is cut off and cannot be gone on with"
            )
        self._file.seek(size)

    def finish(self) -> Iterator[None]:
        self._file.truncate()  # what was written before a kill, but after the last snapshot
        shutil.copyfile(self._path, self._target)
        return iter(())

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _face(self, people: People, k: int) -> dict[str, Any]:
        side = int(people.sides[k])
        return {
            "person": int(people.persons[k]),
            "track": int(people.ids[k]),
            "side": self._sides[side] if 0 <= side < len(self._sides) else None,
            "box": _box(people.boxes[k]),
            "score": round(float(people.scores[k]), 3),
        }


def _box(box: Any) -> list[float]:
    return [round(float(value), 2) for value in box]
