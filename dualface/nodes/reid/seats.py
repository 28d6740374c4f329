"""Which tile is whose: bound to the person, wherever they stand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualface.graph.node import Snapshot

NOBODY = -1
LEAD = 5.0  # seconds by which who takes a tile over has been seen more than its owner
GRACE = 5.0  # seconds for which a scene belongs to enrolled people of whom nobody is seen any more

Place = tuple[float, float]  # middle's x and height of a face, in widths and heights of the picture
Row = dict[int, Place]  # the people of a frame


class Seats:
    """Gives each of ``tiles`` tiles a person, at most one each, for every frame in turn.

    Each tile has an owner, who keeps it for good: the first to be seen, in the order in which they
    stand. Somebody else gets it only after having been seen ``margin`` times and `LEAD` seconds more
    (seconds count by the height of the face), and never while its owner is there. A tile whose owner
    is away, for ``reserve`` seconds or behind a cut, is lent to whoever else is there. ``enrolled``
    owners are never replaced, and while one of them is in a scene, nobody else gets their tiles.
    """

    def __init__(
        self, tiles: int, *, margin: float, reserve: float, smallest: float, enrolled: dict[int, int]
    ) -> None:
        self.tiles, self.margin, self.reserve, self.smallest = tiles, margin, reserve, smallest
        self.enrolled = enrolled  # person by tile
        self.owners = [enrolled.get(tile, NOBODY) for tile in range(tiles)]
        self.shown: dict[int, float] = {}  # seconds times height of each person
        self.lent = [NOBODY] * tiles
        self.seen_at = [-np.inf] * tiles  # when the owner was last there, in this scene
        self.theirs = -np.inf  # when one of the enrolled was last there, in this scene

    def step(
        self, past: Sequence[Row], row: Row, ahead: Sequence[Row], now: float, seconds: float, cut: bool
    ) -> dict[int, int]:
        """The tile of each person who gets one in this frame, which is ``seconds`` long; ``past`` and
        ``ahead`` are the frames around it in its scene."""
        if cut:
            self.lent, self.seen_at = [NOBODY] * self.tiles, [-np.inf] * self.tiles
            self.theirs = -np.inf
        for person, (_, height) in row.items():
            self.shown[person] = self.shown.get(person, 0.0) + seconds * height
        if self.enrolled and any(p in self.enrolled.values() for r in (row, *ahead) for p in r):
            self.theirs = now
        if all(owner in row for owner in self.owners):  # nothing to decide: the usual case
            self.seen_at = [now] * self.tiles
            return {owner: tile for tile, owner in enumerate(self.owners)}
        window = [*past, row, *ahead]
        weights = _weights(window)
        self._own(window, weights, seconds, [row, *ahead])
        tiles = {owner: tile for tile, owner in enumerate(self.owners) if owner in row}
        for tile in tiles.values():
            self.seen_at[tile] = now
        coming = {p for r in ahead for p in r}
        free = [t for t in range(self.tiles) if t not in tiles.values() and self._free(t, now, coming)]
        return tiles | self._lend(row, weights, free, window)

    def unite(self, person: int, other: int) -> None:
        """``person`` was ``other`` all along."""
        self.shown[other] = self.shown.get(other, 0.0) + self.shown.pop(person, 0.0)
        for tile, owner in enumerate(self.owners):
            if owner == person:
                self.owners[tile] = NOBODY if other in self.owners else other
        self.lent = [other if p == person else p for p in self.lent]

    def _own(
        self, window: Sequence[Row], weights: dict[int, float], seconds: float, coming: Sequence[Row]
    ) -> None:
        """Tiles that are nobody's, or whose owner hardly matters any more, go to who matters most."""
        least = self.smallest * max(weights.values(), default=0.0)
        worth = {
            p: self.shown.get(p, 0.0) + seconds * sum(row[p][1] for row in coming[1:] if p in row)
            for p, weight in weights.items()
            if p not in self.owners and weight >= least
        }
        soon = {person for row in coming for person in row}
        open_ = [
            tile
            for tile, owner in enumerate(self.owners)
            if tile not in self.enrolled and (owner == NOBODY or owner not in soon)
        ]
        open_.sort(key=lambda tile: self._credit(tile))
        chosen: dict[int, int] = {}  # tile by person, the heaviest first
        kept: dict[int, int] = {}  # of these: who is lent a tile owns that one or none, so that nobody jumps
        for person in sorted(worth, key=lambda p: (-worth[p], p)):
            left = [tile for tile in open_ if tile not in chosen.values()]
            if person in self.lent:
                left = [tile for tile in left if tile == self.lent.index(person)]
            if not left:
                continue
            tile = left[0]
            lead = worth[person] - self._credit(tile)
            more = worth[person] > self.margin * self._credit(tile) and lead > LEAD * _height(window, person)
            if self.owners[tile] != NOBODY and not more:
                continue
            chosen[person] = tile
            if person in self.lent:
                kept[person] = tile
        for person, tile in (kept | self._in_order(window, chosen, kept)).items():
            self.owners[tile] = person

    def _in_order(
        self, window: Sequence[Row], chosen: dict[int, int], kept: dict[int, int]
    ) -> dict[int, int]:
        """The tiles of those ``chosen`` who are not ``kept`` where they are, by where they stand."""
        middles = {person: _middle(window, person) for person in chosen if person not in kept}
        tiles = sorted(chosen[person] for person in middles)
        vacant = [t for t, owner in enumerate(self.owners) if owner == NOBODY and t not in kept.values()]
        if len(tiles) == 1 and tiles[0] in vacant:
            (alone,) = middles.values()
            tiles = [min(vacant, key=lambda tile: abs((tile + 0.5) / self.tiles - alone))]
        return dict(zip(sorted(middles, key=lambda p: (middles[p], p)), tiles, strict=True))

    def _credit(self, tile: int) -> float:
        """What the owner of a tile was seen; less than nothing where it is nobody's."""
        owner = self.owners[tile]
        return -1.0 if owner == NOBODY else self.shown.get(owner, 0.0)

    def _free(self, tile: int, now: float, coming: set[int]) -> bool:
        """Whether a tile without its owner may be lent."""
        if self.owners[tile] in coming or now - self.seen_at[tile] < self.reserve:
            return False
        return not self.enrolled or tile not in self.enrolled or now - self.theirs > GRACE

    def _lend(
        self, row: Row, weights: dict[int, float], free: list[int], window: Sequence[Row]
    ) -> dict[int, int]:
        least = self.smallest * max(weights.values(), default=0.0)
        others = [p for p in row if p not in self.owners and weights[p] >= least]
        worth = {p: weights[p] * (self.margin if p in self.lent else 1.0) for p in others}
        chosen = sorted(others, key=lambda p: (-worth[p], p))[: len(free)]
        tiles = {p: self.lent.index(p) for p in chosen if p in self.lent and self.lent.index(p) in free}
        rest = sorted((p for p in chosen if p not in tiles), key=lambda p: (_middle(window, p), p))
        places = [t for t in free if t not in tiles.values()]
        if len(rest) == 1 and len(places) > 1:
            places = [min(places, key=lambda t: abs((t + 0.5) / self.tiles - _middle(window, rest[0])))]
        tiles |= dict(zip(rest, places, strict=False))
        for person, tile in tiles.items():
            self.lent = [NOBODY if p == person else p for p in self.lent]
            self.lent[tile] = person
        return tiles

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        return {
            "owners": np.array(self.owners, np.int64),
            "lent": np.array(self.lent, np.int64),
            "seen_at": np.array([*self.seen_at, self.theirs], np.float64),
            "shown": np.array(list(self.shown.items()), np.float64).reshape(-1, 2),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.owners, self.lent = snapshot["owners"].tolist(), snapshot["lent"].tolist()
        *self.seen_at, self.theirs = snapshot["seen_at"].tolist()
        self.shown = {int(person): shown for person, shown in snapshot["shown"].tolist()}


def _weights(window: Sequence[Row]) -> dict[int, float]:
    """Mean height of each person over the window, absent frames as 0."""
    total: dict[int, float] = {}
    for row in window:
        for person, (_, height) in row.items():
            total[person] = total.get(person, 0.0) + height / len(window)
    return total


def _height(window: Sequence[Row], person: int) -> float:
    """Mean height of a person where they are seen."""
    heights = [row[person][1] for row in window if person in row]
    return sum(heights) / len(heights)


def _middle(window: Sequence[Row], person: int) -> float:
    """Median x of a person over the window."""
    places = sorted(row[person][0] for row in window if person in row)
    return (places[(len(places) - 1) // 2] + places[len(places) // 2]) / 2
