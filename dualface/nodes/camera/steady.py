"""camera/steady: rests, and soft moves planned with a look at what comes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np

from dualface.graph.node import Context, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import Cuts, Layout, Memory, People, Shots
from dualface.nodes.camera.changes import Changes
from dualface.nodes.camera.framing import Array, Framing, anchors, heads, union
from dualface.nodes.camera.operator import Operator, Rules
from dualface.nodes.layout import SIDE_BY_SIDE


@dataclass
class SteadyConfig(NodeConfig):
    """A calm virtual camera. Lengths in the tile are shares of its size or output pixels."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # the tiles to fill
    lookahead: int = 30  # frames of future that a decision sees
    face_ratio: float = 3.2  # height of the crop in face boxes; 3.2 makes a head 40% of the tile
    tightest: float = 2.5  # the same for a head near the frame's edge: a head of half the tile
    eyes: float = 0.34  # height of the eyes in the tile, from the top, 0..1
    upscale: float = 2.0  # enlarge the source at most so many times
    dead_zone: float = 0.04  # rest while the head is less than this share of the tile away
    zoom_zone: float = 0.18  # keep the size while it is less than this share wrong
    pan_speed: float = 130.0  # output pixels a second, at most
    pan_acceleration: float = 400.0  # output pixels a second squared, at most
    zoom_rate: float = 0.01  # change of size a second, at most: 0.01 is 1%
    move_seconds: float = 1.0  # shortest move
    missing: Literal["hold", "wide", "other", "blank"] = (
        "wide"  # shown when a person is gone; wide also joins tiles that would show the same
    )
    hold_seconds: float = 2.0  # keep the last framing so long before that
    wide_seconds: float = 3.0  # length of the move to the wide view and back

    def __post_init__(self) -> None:
        if self.lookahead < 0:
            raise ValueError(f"lookahead is {self.lookahead}, but a number of frames is 0 or more")
        if not 0 < self.eyes < 1:
            raise ValueError(f"eyes is {self.eyes}, but a share of the tile's height is between 0 and 1")
        if not 1 <= self.tightest <= self.face_ratio:
            raise ValueError(f"tightest is {self.tightest}; it lies between 1 and face_ratio")
        rates = ("pan_speed", "pan_acceleration", "zoom_rate")
        for name in ("upscale", *rates, "move_seconds", "wide_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but has to be more than 0")
        for name in ("dead_zone", "zoom_zone", "hold_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but has to be 0 or more")


@node("camera/steady", rank=50)
class Steady(Node[SteadyConfig]):
    """Crops that hold still until a head has really moved."""

    def __init__(self, config: SteadyConfig) -> None:
        super().__init__(config)
        tiles = len(config.layout.tiles)
        self._anchors, self._heads = np.zeros((0, tiles, 3)), np.zeros((0, tiles, 4))
        self._changed = np.zeros((0, tiles), bool)
        self._changes = Changes(tiles)
        self._seconds = np.zeros(0)
        self._cuts = np.zeros(0, bool)
        self._batches: list[int] = []

    @staticmethod
    def needs(config: SteadyConfig, memory: Memory) -> Needs:
        return Needs(threads=0.1)

    @staticmethod
    def lookahead(config: SteadyConfig) -> int:
        return config.lookahead

    @staticmethod
    def state(config: SteadyConfig) -> State:
        return Unbounded()

    def open(self, context: Context) -> None:
        video, config = context.job.video, self.config
        framings = tuple(
            Framing.of(tile, video.display_size, video.display_aspect, config.eyes, config.upscale)
            for tile in config.layout.tiles
        )
        rules = Rules(**{f.name: getattr(config, f.name) for f in fields(Rules)})
        whole = Framing.of(
            union(config.layout), video.display_size, video.display_aspect, config.eyes, config.upscale
        )
        self._operator = Operator(rules, framings, whole, config.layout)

    def process(self, people: People, cuts: Cuts) -> Shots | None:
        found, persons = anchors(people, len(self.config.layout.tiles))
        changed = self._changes.find(found, persons, cuts.flags)
        self._anchors = np.concatenate([self._anchors, found])
        self._heads = np.concatenate([self._heads, heads(found)])
        self._changed = np.concatenate([self._changed, changed])
        self._seconds = np.concatenate([self._seconds, cuts.seconds])
        self._cuts = np.concatenate([self._cuts, cuts.flags])
        self._batches.append(len(people))
        later = len(self._seconds) - self._batches[0]
        return self._answer() if later >= self.config.lookahead else None

    def finish(self) -> Iterator[Shots]:
        while self._batches:
            yield self._answer()

    def _answer(self) -> Shots:
        count = self._batches.pop(0)
        tiles = self.config.layout.tiles
        crops = np.zeros((count, len(tiles), 4), np.float32)
        blank = np.zeros((count, len(tiles)), bool)
        for i in range(count):
            end = min(i + self.config.lookahead + 1, len(self._seconds))
            scene_ends = np.flatnonzero(self._cuts[i + 1 : end])
            if len(scene_ends):
                end = i + 1 + int(scene_ends[0])
            crops[i], blank[i] = self._operator.step(
                float(self._seconds[i]),
                bool(self._cuts[i]),
                self._until_changed(self._anchors, i, end),
                self._until_changed(self._heads, i, end),
                self._changed[i].tolist(),
            )
        for name in ("_anchors", "_heads", "_changed", "_seconds", "_cuts"):
            setattr(self, name, getattr(self, name)[count:])
        return Shots(tuple(tile.name for tile in tiles), crops, blank)

    def _until_changed(self, values: Array, begin: int, end: int) -> Array:
        """``values[begin:end]``, with NaN in each tile from where somebody else is in it."""
        window, changed = values[begin:end], self._changed[begin + 1 : end]
        if changed.any():
            window = window.copy()
            window[1:][np.logical_or.accumulate(changed)] = np.nan
        return window

    def snapshot(self) -> Snapshot:
        return {
            "anchors": self._anchors.copy(), "seconds": self._seconds.copy(), "cuts": self._cuts.copy(),
            "batches": np.array(self._batches, np.int64),
            "paths": np.stack([path.state() for path in self._operator.paths]),
            "away": np.array(self._operator.away), "mode": np.array(self._operator.mode, np.int64),
            "other": np.array(self._operator.other), "changed": self._changed.copy(),
            "joined": np.array(self._operator.joined), "since": np.array(self._operator.since),
            **{f"last.{key}": value for key, value in self._changes.snapshot().items()},
        }  # fmt: skip

    def restore(self, snapshot: Snapshot) -> None:
        self._anchors, self._seconds = snapshot["anchors"].copy(), snapshot["seconds"].copy()
        self._cuts, self._changed = snapshot["cuts"].copy(), snapshot["changed"].copy()
        self._heads = heads(self._anchors)
        self._changes.restore({key[5:]: value for key, value in snapshot.items() if key.startswith("last.")})
        self._batches = [int(n) for n in snapshot["batches"]]
        for path, state in zip(self._operator.paths, snapshot["paths"], strict=True):
            path.load(state)
        self._operator.away, self._operator.mode = snapshot["away"].tolist(), snapshot["mode"].tolist()
        self._operator.other = snapshot["other"].tolist()
        self._operator.joined, self._operator.since = bool(snapshot["joined"]), float(snapshot["since"])
