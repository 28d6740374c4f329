"""The decisions of the virtual camera operator, one frame at a time with the future in view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualface.graph.types import Layout
from dualface.nodes.camera.framing import Array, Box, Framing, View, extent, heights, middle, windows
from dualface.nodes.camera.path import Limits, Path, Point

Goals = list[View | None]

STRAY = 0.02  # a new goal nearer than this share of the tile is not worth a move
AWAY = 0.5  # of the tile: another person so far from where the camera is gets a cut, not a pan
FEWEST = 3  # looks at a face before it is believed; one false detection moves nothing


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers of `SteadyConfig` that decide; see there."""

    face_ratio: float
    tightest: float
    dead_zone: float
    zoom_zone: float
    pan_speed: float
    pan_acceleration: float
    zoom_rate: float
    move_seconds: float
    hold_seconds: float
    wide_seconds: float
    missing: str


class Operator:
    """Keeps one `Path` a tile.

    ``framings`` are in the layout's order; ``whole`` is that of the tiles' union. With
    ``missing: wide``, people who cannot be shown apart get one picture across all tiles: somebody
    alone (a split would show them twice, or half a shot of nothing), or two so near each other that
    each tile would show both. Who leaves a shot of two leaves a tile that shows their part of it.
    """

    def __init__(self, rules: Rules, framings: tuple[Framing, ...], whole: Framing, layout: Layout) -> None:
        self.rules, self.framings, self.whole, self.layout = rules, framings, whole, layout
        self.tiles = layout.tiles
        self.parts = windows(whole.wide(), whole, layout)
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new scene begins."""
        tiles = len(self.tiles)
        self.paths = [Path(3) for _ in self.tiles]
        self.away = [math.nan] * tiles  # since when nobody was there; NaN: somebody is
        self.mode = [0] * tiles  # 0 own person, 1 wide, 2 other, 3 blank
        self.other = [False] * tiles  # whether the person is another than the one the camera went to
        self.joined = self.rules.missing == "wide" and tiles > 1  # one picture across all tiles
        self.since = -math.inf  # since when that should be otherwise; NaN: it should not

    def step(
        self, now: float, cut: bool, ahead: Array, heads: Array, changed: Sequence[bool] | None = None
    ) -> tuple[list[Box], list[bool]]:
        """Crops and blank flags of the tiles for this frame.

        ``ahead`` ``[m, tiles, 3]`` are the anchors of this frame and those after it in its scene,
        ``heads`` ``[m, tiles, 4]`` the corners of the heads; ``changed`` says of each tile whether
        somebody else is to be seen from this frame on.
        """
        if cut:
            self.reset()
        elif changed is not None:
            self.other = [was or now for was, now in zip(self.other, changed, strict=True)]
        there = np.isfinite(ahead[:, :, 0])
        goals = self._goals(ahead, heads, there)
        self._join(now, goals)
        for index, glimpse in enumerate(np.any(there, axis=0).tolist()):
            self._decide(index, now, goals, glimpse)
        places = [_from_axes(path.at(now)[0]) for path in self.paths]
        crops = [f.crop(place) for f, place in zip(self.framings, places, strict=True)]
        return crops, [mode == 3 for mode in self.mode]

    def _goals(self, ahead: Array, heads: Array, there: Array) -> Goals:
        """The view that suits what comes, for each tile; ``None`` where nobody comes."""
        self.coming: list[Box | None] = [None for _ in self.tiles]  # the extent of the heads that come
        self.middle: list[View | None] = [None for _ in self.tiles]
        # A move takes a second or two: where the head will be then, not where it is now.
        if there.all():
            self.coming = [tuple(box) for box in extent(heads).tolist()]
            self.middle = [tuple(view) for view in middle(ahead[len(ahead) // 3 :]).tolist()]
        else:
            for index, seen in enumerate(there.sum(axis=0).tolist()):
                if seen >= min(FEWEST, len(ahead)):
                    rows = there[:, index]
                    self.coming[index] = tuple(extent(heads[rows, index]).tolist())
                    self.middle[index] = tuple(middle(ahead[rows, index][seen // 3 :]).tolist())
        needed = [0.0 if c is None else f.needed(c) for f, c in zip(self.framings, self.coming, strict=True)]
        tall = heights(self.middle, needed, self.framings, self.rules.face_ratio, self.rules.tightest)
        return [
            None if m is None or c is None else f.keep((m[0], m[1], h), c)
            for m, h, f, c in zip(self.middle, tall, self.framings, self.coming, strict=True)
        ]

    def _join(self, now: float, goals: Goals) -> None:
        """Decide whether all tiles show one picture; calmly, unless a scene begins."""
        if self.rules.missing != "wide" or len(self.tiles) < 2:
            return
        if self._together(goals) == self.joined:
            self.since = math.nan
        elif math.isnan(self.since):
            self.since = now
        if now - self.since >= self.rules.hold_seconds:
            self.joined, self.since = not self.joined, math.nan
            self.away = [math.nan for _ in self.tiles]

    def _together(self, goals: Goals) -> bool:
        """Whether tiles of their own would show somebody twice, or too few are there for a split."""
        there = [index for index, goal in enumerate(goals) if goal is not None]
        if len(there) < (2 if self.joined else 1):
            return True
        views = [part if goal is None else goal for goal, part in zip(goals, self.parts, strict=True)]
        people = {person: middle[:2] for person, middle in enumerate(self.middle) if middle is not None}
        return any(
            framing.shows(view, *people[person])
            for person in there
            for tile, (framing, view) in enumerate(zip(self.framings, views, strict=True))
            if tile != person
        )

    def _share(self, index: int, now: float) -> None:
        """One picture across all tiles, as wide as it can be; it moves where it would cut heads."""
        path, view = self.paths[index], self.whole.wide()
        if coming := [box for box in self.coming if box is not None]:
            x0, y0, x1, y1 = zip(*coming, strict=True)
            view = self.whole.rest(self.whole.keep(view, (min(x0), min(y0), max(x1), max(y1))))
        to = windows(view, self.whole, self.layout)[index]
        if not path.placed:
            path.jump(_to_axes(to))
        elif _apart(to, _from_axes(path.end)) > self.rules.dead_zone * to[2]:
            path.glide(_to_axes(to), now, self._ease())
        self.mode[index] = 1

    def _decide(self, index: int, now: float, goals: Goals, glimpse: bool) -> None:
        if self.joined:
            self._share(index, now)
            return
        framing, path, goal = self.framings[index], self.paths[index], goals[index]
        if goal is not None:
            self.away[index] = math.nan
            if not path.placed or self.mode[index] in (2, 3) or self._elsewhere(index, goal):
                path.jump(_to_axes(framing.rest(goal)))
            elif self.mode[index] == 1:
                path.glide(_to_axes(framing.rest(goal)), now, self._ease())
            else:
                self._follow(index, now, goal, index)
            self.mode[index], self.other[index] = 0, False
            return
        if math.isnan(self.away[index]) and not glimpse:
            self.away[index] = now
        self._nobody(index, now, goals)

    def _elsewhere(self, index: int, goal: View) -> bool:
        """Whether the tile's person is another one, and not where the camera looks or goes."""
        held = _from_axes(self.paths[index].end)
        tile = max(1.0, self.framings[index].across) * held[2]
        return self.other[index] and _apart(self.framings[index].rest(goal), held) > AWAY * tile

    def _follow(self, index: int, now: float, goal: View, watched: int) -> None:
        framing, path = self.framings[index], self.paths[index]
        held = _from_axes(path.end)
        zoom = abs(math.log(goal[2] / held[2])) > self.rules.zoom_zone
        coming, middle = self.coming[watched], self.middle[watched]
        assert coming is not None
        assert middle is not None
        aim = framing.lift((middle[0], middle[1], held[2]), coming)
        away = self._share_of_tile(framing, framing.rest(aim), held)
        if zoom:
            to = framing.rest(goal)
        elif away > self.rules.dead_zone:
            to = framing.rest(framing.keep(aim, coming))
        else:
            to = framing.rest(framing.keep(held, coming))
        if zoom or self._share_of_tile(framing, to, held) > STRAY:
            path.glide(_to_axes(to), now, self._limits(index))

    @staticmethod
    def _share_of_tile(framing: Framing, to: View, held: View) -> float:
        """How far ``to`` is from ``held``, in widths or heights of what is shown."""
        return max(abs(to[0] - held[0]) / (held[2] * framing.across), abs(to[1] - held[1]) / held[2])

    def _nobody(self, index: int, now: float, goals: Goals) -> None:
        framing, path, rules = self.framings[index], self.paths[index], self.rules
        fresh = not path.placed
        if fresh:
            path.jump(_to_axes(self._wide(index)))
            self.mode[index] = 1
        waited = fresh or now - self.away[index] >= rules.hold_seconds
        other = next((i for i, g in enumerate(goals) if g is not None), None)
        if not waited and self.mode[index] < 2:
            return
        if rules.missing == "blank":
            self.mode[index] = 3
        elif rules.missing == "other" and other is not None:
            goal = goals[other]
            assert goal is not None
            if self.mode[index] == 2:
                self._follow(index, now, goal, other)
            else:
                path.jump(_to_axes(framing.rest(goal)))
            self.mode[index] = 2
        elif rules.missing in ("wide", "other"):
            wide = _to_axes(self._wide(index))
            if self.mode[index] == 0 or max(abs(a - b) for a, b in zip(wide, path.end, strict=True)) > 1e-6:
                path.glide(wide, now, self._ease())
            self.mode[index] = 1

    def _wide(self, index: int) -> View:
        """As much as the tile holds, about its part of the whole picture."""
        framing, part = self.framings[index], self.parts[index]
        return framing.wide((part[0], part[1] + (0.5 - framing.eyes) * part[2]))

    def _ease(self) -> Limits:
        """To the wide view and back in one long move, whatever the distance."""
        return Limits((math.inf,) * 3, (math.inf,) * 3, self.rules.wide_seconds)

    def _limits(self, index: int) -> Limits:
        """Limits in source pixels from those in tile pixels."""
        rules, tile, framing = self.rules, self.tiles[index], self.framings[index]
        height = _from_axes(self.paths[index].end)[2]
        across, down = height * framing.across / tile.width, height / tile.height
        return Limits(
            (rules.pan_speed * across, rules.pan_speed * down, rules.zoom_rate),
            (rules.pan_acceleration * across, rules.pan_acceleration * down, math.inf),
            rules.move_seconds,
        )


def _apart(a: View, b: View) -> float:
    return max(abs(p - q) for p, q in zip(a, b, strict=True))


def _to_axes(view: View) -> Point:
    return view[0], view[1], math.log(view[2])


def _from_axes(axes: Point) -> View:
    return axes[0], axes[1], math.exp(axes[2])
