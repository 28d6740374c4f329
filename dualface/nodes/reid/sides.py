"""Who gets a tile, and which: decided by size and by position, calmly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dualface.graph.node import Snapshot

NOBODY = -1
SMOOTHING, GAP = 0.3, 0.08  # unless told otherwise
NEAR = 0.06  # of the frame's width: who turns up nearer than this to where somebody was lost may be the same


@dataclass(frozen=True, slots=True)
class Seen:
    """A track in the present frame: its ``x`` (0..1 of the frame's width), and its ``weight``,
    the mean height of its box over the frames around this one (0 where it is absent)."""

    id: int
    x: float
    weight: float


class Sides:
    """Gives each of ``tiles`` tiles a track, at most one each, for every frame in turn.

    The heaviest tracks get the tiles, from left to right as they stand. Two things keep it calm:
    a track that has a tile loses it only to one that is ``margin`` times as heavy, and two tiles
    are exchanged only when the smoothed positions have crossed by ``gap`` of the frame's width.
    Once every tile was taken, whoever comes for one that fell free takes that one, wherever they
    stand: nobody who stayed is moved for them. For ``reserve`` seconds it is kept for who was lost.
    """

    def __init__(self, tiles: int, *, smoothing: float, margin: float, gap: float, reserve: float) -> None:
        self.tiles, self.smoothing, self.margin, self.gap = tiles, smoothing, margin, gap
        self.reserve = reserve
        self.reset()

    def reset(self) -> None:
        """A new scene begins: positions say nothing of the last one."""
        self.holders = [NOBODY] * self.tiles
        # Where each tile's person stands, smoothed; at first the middle of the tile's share.
        self.places = [(tile + 0.5) / self.tiles for tile in range(self.tiles)]
        self.last = [NOBODY] * self.tiles  # who held each tile last
        self.seen_at = [-np.inf] * self.tiles  # and when
        self.known: dict[int, float] = {}
        self.now = -np.inf
        self.dealt = False  # every tile was taken since the scene began
        self.in_order = False  # those who hold the tiles have stood from left to right as their tiles do

    def step(self, seen: list[Seen], now: float) -> dict[int, int]:
        """The tile of each chosen track, by track id; ``now`` is in seconds."""
        self.now = now
        for face in seen:
            before = self.known.get(face.id, face.x)
            self.known[face.id] = before + self.smoothing * (face.x - before)
        present = {face.id for face in seen}
        self.known = {key: x for key, x in self.known.items() if key in present}
        self.holders = [track if track in present else NOBODY for track in self.holders]
        chosen = sorted(seen, key=lambda f: (-self._value(f), f.id))[: self.tiles]
        tiles = self._place(sorted(chosen, key=lambda f: (self.known[f.id], f.id)))
        for track, tile in tiles.items():
            self.places[tile] = self.known[track]
        for tile in range(self.tiles):
            self.holders[tile] = next((t for t, place in tiles.items() if place == tile), NOBODY)
            if self.holders[tile] != NOBODY:
                self.last[tile], self.seen_at[tile] = self.holders[tile], now
        return tiles

    def _value(self, face: Seen) -> float:
        back = any(self._kept(tile) and not self._stranger(face, tile) for tile in range(self.tiles))
        return face.weight * (self.margin if back or face.id in self.holders else 1.0)

    def _place(self, chosen: list[Seen]) -> dict[int, int]:
        """Tiles for the chosen tracks, given from left to right."""
        if len(chosen) < self.tiles:
            return self._fill(chosen)
        held = {face.id: self.holders.index(face.id) for face in chosen if face.id in self.holders}
        if len(held) == self.tiles:
            # All had a tile: they keep it unless neighbours have clearly crossed.
            order = sorted(chosen, key=lambda f: held[f.id])
            steps = [self.known[b.id] - self.known[a.id] for a, b in pairwise(order)]
            self.in_order |= all(step > 0 for step in steps)
            if not self.in_order or all(step > -self.gap for step in steps):
                return held
        elif self.dealt and (held or any(map(self._kept, range(self.tiles)))):
            self.in_order = False
            return self._fill(chosen)
        self.dealt = self.in_order = True
        return {face.id: tile for tile, face in enumerate(chosen)}

    def _fill(self, chosen: list[Seen]) -> dict[int, int]:
        """Holders stay, others take the free tile nearest to them, if there is one."""
        tiles = {face.id: self.holders.index(face.id) for face in chosen if face.id in self.holders}
        for face in chosen:
            x = self.known[face.id]
            free = [
                tile
                for tile in range(self.tiles)
                if tile not in tiles.values() and not (self._kept(tile) and self._stranger(face, tile))
            ]
            if face.id not in tiles and free:
                tiles[face.id] = min(free, key=lambda tile: (abs(self.places[tile] - x), tile))
        return tiles

    def _kept(self, tile: int) -> bool:
        """Whether the tile's person was lost so short a time ago that it is kept for them."""
        return self.holders[tile] == NOBODY and self.now - self.seen_at[tile] < self.reserve

    def _stranger(self, face: Seen, tile: int) -> bool:
        return face.id != self.last[tile] and abs(self.known[face.id] - self.places[tile]) > NEAR

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        return {
            "holders": np.array(self.holders, np.int64),
            "places": np.array(self.places, np.float64),
            "last": np.array(self.last, np.int64),
            "seen_at": np.array(self.seen_at, np.float64),
            "orderly": np.array([self.dealt, self.in_order]),
            "known": np.array(list(self.known.items()), np.float64).reshape(-1, 2),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.holders = snapshot["holders"].tolist()
        self.places = snapshot["places"].tolist()
        self.last, self.seen_at = snapshot["last"].tolist(), snapshot["seen_at"].tolist()
        self.dealt, self.in_order = snapshot["orderly"].tolist()
        self.known = {int(key): x for key, x in snapshot["known"].tolist()}
