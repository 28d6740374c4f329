"""reid/off: nobody is recognised; a track is a person, and sides go by position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dualface.graph.node import Context, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NO_SIDE, Cuts, Layout, Memory, People, Tracks, spans
from dualface.nodes.layout import SIDE_BY_SIDE
from dualface.nodes.reid.owed import Owed
from dualface.nodes.reid.sides import GAP, SMOOTHING, Seen, Sides
from dualface.nodes.track.plausible import plausible


@dataclass
class ReidOffConfig(NodeConfig):
    """Sides by position."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # its tiles are the sides
    window: int = 8  # frames before and after that say who matters; a glimpse is no reason to look
    smoothing: float = SMOOTHING  # share of a new position in its running mean (EMA), 0..1
    margin: float = 1.5  # a newcomer is to be so many times as large as whoever has the tile
    gap: float = GAP  # sides are exchanged when people have crossed by this share of the frame
    reserve: float = 1.0  # seconds that a tile is kept for who was lost, before somebody else gets it
    smallest: float = 0.4  # ignore faces below this share of the largest one's height, 0..1

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ValueError(f"window is {self.window}; it is 0 frames or more")
        for name in ("smoothing", "gap", "smallest"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        if self.smoothing == 0:
            raise ValueError("smoothing is 0; it is above 0 (1 takes each position as it is)")
        if self.reserve < 0:
            raise ValueError(f"reserve is {self.reserve:g}; it is 0 seconds or more")
        if self.margin < 1:
            raise ValueError(f"margin is {self.margin:g}; it is at least 1")


@node("reid/off", rank=50)
class ReidOff(Node[ReidOffConfig]):
    """Tells people apart by where they are, and never puts two on one side."""

    def __init__(self, config: ReidOffConfig) -> None:
        super().__init__(config)
        self._sides = Sides(
            len(config.layout.tiles),
            smoothing=config.smoothing,
            margin=config.margin,
            gap=config.gap,
            reserve=config.reserve,
        )
        self._owed = Owed()
        self._past: list[dict[int, float]] = []  # heights by track, of the frames before in the scene
        self._people: dict[int, int] = {}  # person by track, in the order they got a tile

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=0.1)

    @staticmethod
    def lookahead(config: ReidOffConfig) -> int:
        return config.window

    @staticmethod
    def state(config: Any) -> State:
        return Unbounded()

    def open(self, context: Context) -> None:
        self._context = context
        self._width = context.job.video.display_size[0]

    def process(self, tracks: Tracks, cuts: Cuts) -> People | None:
        self._owed.append((tracks, cuts))
        return self._answer() if self._owed.due(self.config.window) else None

    def finish(self) -> Iterator[People]:
        while self._owed:
            yield self._answer()

    def _answer(self) -> People:
        coming = [row for tracks, cuts in self._owed for row in _rows(tracks, cuts)]
        tracks, times = self._owed.pop(0)
        sides = np.full(len(tracks.ids), NO_SIDE, np.int64)
        for i, span in enumerate(spans(tracks.counts)):
            cut, now = coming[i]
            if cut:
                self._sides.reset()
                self._past = []
            weights = self._weights(coming[i + 1 : i + 1 + self.config.window], now)
            middles = (tracks.boxes[span, 0] + tracks.boxes[span, 2]) / 2 / max(self._width, 1)
            seen = [
                Seen(int(track), float(x), weights[int(track)])
                for track, x, good in zip(
                    tracks.ids[span], middles, plausible(tracks.boxes[span]), strict=True
                )
                if good and weights[int(track)] >= self.config.smallest * max(weights.values())
            ]
            chosen = self._sides.step(seen, float(times.seconds[i]))
            sides[span] = [chosen.get(int(track), NO_SIDE) for track in tracks.ids[span]]
            self._past = [*self._past, now][-self.config.window :] if self.config.window else []
            if not now:
                self._context.count("frames_without_face", 1)
            # Whoever has a tile is numbered before whoever only passes by.
            for track in sorted(now, key=lambda t: (chosen.get(t, len(now) + 1), t)):
                self._people.setdefault(track, len(self._people))
        self._context.report("identities", len(self._people))
        return People(
            tracks.counts, tracks.boxes, tracks.scores, tracks.landmarks, tracks.ids,
            np.array([self._people[int(track)] for track in tracks.ids], np.int64), sides,
        )  # fmt: skip

    def _weights(self, ahead: list[tuple[bool, dict[int, float]]], now: dict[int, float]) -> dict[int, float]:
        """Mean height of each present track over the window within this scene, absent frames as 0."""
        frames = [*self._past, now]
        for cut, row in ahead:
            if cut:
                break
            frames.append(row)
        return {track: sum(row.get(track, 0.0) for row in frames) / len(frames) for track in now}

    def snapshot(self) -> Snapshot:
        made = {f"sides.{key}": value for key, value in self._sides.snapshot().items()}
        made["people"] = np.array(list(self._people.items()), np.int64).reshape(-1, 2)
        made["past"] = np.array(
            [(i, track, height) for i, row in enumerate(self._past) for track, height in row.items()],
            np.float64,
        ).reshape(-1, 3)
        made["past_frames"] = np.array(len(self._past), np.int64)
        made |= {f"owed.{key}": value for key, value in self._owed.snapshot().items()}
        return made

    def restore(self, snapshot: Snapshot) -> None:
        self._sides.restore({key[6:]: value for key, value in snapshot.items() if key.startswith("sides.")})
        self._people = {int(track): int(person) for track, person in snapshot["people"]}
        self._past = [{} for _ in range(int(snapshot["past_frames"]))]
        for i, track, height in snapshot["past"].tolist():
            self._past[int(i)][int(track)] = height
        self._owed.restore({key[5:]: value for key, value in snapshot.items() if key.startswith("owed.")})


def _rows(tracks: Tracks, cuts: Cuts) -> list[tuple[bool, dict[int, float]]]:
    """For each frame: whether a scene begins, and the height of each track's box."""
    tall = np.where(plausible(tracks.boxes), tracks.boxes[:, 3] - tracks.boxes[:, 1], 0).tolist()
    ids = tracks.ids.tolist()
    return [
        (bool(cut), dict(zip(ids[span], tall[span], strict=True)))
        for cut, span in zip(cuts.flags, spans(tracks.counts), strict=True)
    ]
