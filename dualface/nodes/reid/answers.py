"""The people and sides of frames that are due, from all that is known of the frames after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.types import NO_SIDE, Cuts, Layout, Tracks, spans
from dualface.nodes.reid.seats import Row, Seats
from dualface.nodes.reid.sides import GAP, SMOOTHING, Seen, Sides
from dualface.nodes.reid.who import Who
from dualface.nodes.track.plausible import plausible

LONGEST = 0.2  # seconds that one frame counts as, at most


class Wishes(Protocol):
    """The options that decide about sides; see `ConditionalConfig`."""

    layout: Layout
    sides: Literal["person", "position"]
    window: int
    margin: float
    reserve: float
    smallest: float

    @property
    def photos(self) -> dict[int, str]: ...


class Answers:
    """Gives persons and sides for one batch after another."""

    def __init__(self, wishes: Wishes, who: Who, size: tuple[int, int]) -> None:
        self.wishes, self.who, self.size = wishes, who, size
        tiles = len(wishes.layout.tiles)
        enrolled = {tile: person for person, tile in enumerate(wishes.photos) if tile < tiles}
        self.seats = Seats(
            tiles, margin=wishes.margin, reserve=wishes.reserve, smallest=wishes.smallest, enrolled=enrolled
        )
        self.places = Sides(tiles, smoothing=SMOOTHING, margin=wishes.margin, gap=GAP, reserve=wishes.reserve)
        self.frame = 0
        self.before: float | None = None  # when the last frame was shown
        self.past: list[Row] = []  # the last frames of the scene
        self.numbers = {person: person for person in range(len(wishes.photos))}  # as they are told
        self._known: list[list[Any]] = [[], [], []]  # see `_read`
        self._version = -1
        self.spare: dict[int, int] = {}  # persons of tracks that cannot be who they look like

    def give(self, owed: Sequence[tuple[Tracks, Cuts]]) -> tuple[list[int], list[int]]:
        """``persons`` and ``sides`` of the first batch that is owed, ``[k]`` each."""
        count = len(owed[0][0])
        self.who.due_answer(self.frame + count)
        for person, other in self.who.united:
            self.seats.unite(person, other)
        self.who.united.clear()
        people, rows, cuts = self._read(owed)
        persons: list[int] = []
        sides: list[int] = []
        for i in range(count):
            end = next((j for j in range(i + 1, len(rows)) if cuts[j]), len(rows))
            ahead = rows[i + 1 : min(end, i + 1 + self.wishes.window)]
            tiles = self._tiles(rows[i], ahead, float(owed[0][1].seconds[i]), cuts[i])
            for person in sorted(people[i], key=lambda p: (tiles.get(p, len(people[i]) + 1), p)):
                self.numbers.setdefault(person, len(self.numbers))
            persons += [self.numbers[p] for p in people[i]]
            sides += [tiles.get(p, NO_SIDE) for p in people[i]]
        self.frame += count
        self._known = [known[count:] for known in (people, rows, cuts)]
        alive = {int(track) for tracks, _ in owed[1:] for track in tracks.ids}
        self.who.answered(self.frame, alive)
        self.who.owners = frozenset(self.seats.owners)
        self.spare = {
            track: person for track, person in self.spare.items() if track in self.who.ledger.entries
        }
        return persons, sides

    def _read(self, owed: Sequence[tuple[Tracks, Cuts]]) -> Any:
        """The people, their places and whether a scene begins, for all frames that are owed. What was read
        before is read anew only if somebody has turned out to be another."""
        if self.who.ledger.version != self._version:
            self._known, self._version = [[], [], []], self.who.ledger.version
        people, rows, cuts = self._known
        index = 0
        for tracks, flags in owed:
            if index + len(tracks) <= len(people):
                index += len(tracks)
                continue
            for i, span in enumerate(spans(tracks.counts)):
                people.append(self._people(self.frame + index, tracks, span))
                rows.append(self._row(people[-1], tracks.boxes[span]))
                cuts.append(bool(flags.flags[i]))
                index += 1
        return people, rows, cuts

    def _tiles(self, row: Row, ahead: list[Row], now: float, cut: bool) -> dict[int, int]:
        seconds = 0.0 if self.before is None else min(max(now - self.before, 0.0), LONGEST)
        self.before = now
        if cut:
            self.past = []
            self.places.reset()
        if self.wishes.sides == "person":
            tiles = self.seats.step(self.past, row, ahead, now, seconds, cut)
        else:
            tiles = self._by_position(row, ahead, now)
        self.past = [*self.past, row][-self.wishes.window :] if self.wishes.window else []
        return tiles

    def _by_position(self, row: Row, ahead: list[Row], now: float) -> dict[int, int]:
        window = [*self.past, row, *ahead]
        weights = {p: sum(r[p][1] for r in window if p in r) / len(window) for p in row}
        theirs = [p for r in window for p in r if p in self.seats.enrolled.values()]
        least = self.wishes.smallest * max(weights.values(), default=0.0)
        seen = [
            Seen(p, x, weights[p])
            for p, (x, _) in row.items()
            if (p in theirs if theirs else weights[p] >= least)
        ]
        return self.places.step(seen, now)

    def _people(self, frame: int, tracks: Tracks, span: slice) -> list[int]:
        """Who each face is; of two that would be the same, only the surer one is."""
        ids = tracks.ids[span].tolist()
        people = [self.who.ledger.read(track, frame) for track in ids]
        if len(set(people)) == len(people):
            return people
        surest: dict[int, int] = {}
        for i, person in enumerate(people):
            if person not in surest or tracks.scores[span][i] > tracks.scores[span][surest[person]]:
                surest[person] = i
        for i, track in enumerate(ids):
            if surest[people[i]] != i:
                if track not in self.spare:
                    self.spare[track] = self.who.fresh()
                people[i] = self.spare[track]
        return people

    def _row(self, people: list[int], boxes: Any) -> Row:
        width, height = (max(side, 1) for side in self.size)
        there = plausible(boxes).tolist()
        middles, tall = (boxes[:, 0] + boxes[:, 2]) / 2 / width, (boxes[:, 3] - boxes[:, 1]) / height
        places = zip(middles.tolist(), tall.tolist(), strict=True)
        return {p: place for p, place, good in zip(people, places, there, strict=True) if good}

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        made = {f"seats.{key}": value for key, value in self.seats.snapshot().items()}
        made |= {f"places.{key}": value for key, value in self.places.snapshot().items()}
        past = [(i, p, *place) for i, row in enumerate(self.past) for p, place in row.items()]
        made["past"] = np.array(past, np.float64).reshape(-1, 4)
        before = np.nan if self.before is None else self.before
        made["clock"] = np.array([self.frame, before, len(self.past)], np.float64)
        for name in ("numbers", "spare"):
            made[name] = np.array(list(getattr(self, name).items()), np.int64).reshape(-1, 2)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.seats.restore({k[6:]: v for k, v in snapshot.items() if k.startswith("seats.")})
        self.who.owners = frozenset(self.seats.owners)
        self.places.restore({k[7:]: v for k, v in snapshot.items() if k.startswith("places.")})
        frame, before, frames = snapshot["clock"].tolist()
        self.frame, self.before = int(frame), None if np.isnan(before) else before
        self.past = [{} for _ in range(int(frames))]
        for i, person, x, height in snapshot["past"].tolist():
            self.past[int(i)][int(person)] = (x, height)
        for name in ("numbers", "spare"):
            setattr(self, name, dict(snapshot[name].tolist()))
