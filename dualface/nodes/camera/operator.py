"""The decisions of the virtual camera operator, one frame at a time with the future in view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Layout
from dualface.nodes.camera.framing import Array, Framing, extent, heads, heights, windows
from dualface.nodes.camera.path import Limits, Path

STRAY = 0.02  # a new goal nearer than this share of the tile is not worth a move
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
        tiles = self.tiles
        self.paths = [Path(3) for _ in tiles]
        self.away = np.full(len(tiles), np.nan)  # since when nobody was there; NaN: somebody is
        self.mode = np.zeros(len(tiles), np.int64)  # 0 own person, 1 wide, 2 other, 3 blank
        self.joined = self.rules.missing == "wide" and len(tiles) > 1  # one picture across all tiles
        self.since = -np.inf  # since when that should be otherwise; NaN: it should not

    def step(self, now: float, cut: bool, ahead: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Crops ``[tiles, 4]`` and blank flags for this frame.

        ``ahead`` ``[m, tiles, 3]`` are the anchors of this frame and those after it in its scene.
        """
        if cut:
            self.reset()
        goals = self._goals(ahead)
        self._join(now, goals)
        for index in range(len(self.tiles)):
            self._decide(index, now, goals, bool(np.isfinite(ahead[:, index, 0]).any()))
        crops = np.stack(
            [f.crop(_from_axes(p.at(now)[0])) for f, p in zip(self.framings, self.paths, strict=True)]
        )
        return crops, self.mode == 3

    def _goals(self, ahead: Array) -> list[Array | None]:
        """The view that suits what comes, for each tile; ``None`` where nobody comes."""
        middle = np.full((len(self.tiles), 3), np.nan)
        needed = np.zeros(len(self.tiles))
        self.coming = np.full((len(self.tiles), 4), np.nan)  # the extent of the heads that come
        for index in range(len(self.tiles)):
            seen = ahead[np.isfinite(ahead[:, index, 0]), index]
            if len(seen) >= min(FEWEST, len(ahead)):
                # A move takes a second or two: where the head will be then, not where it is now.
                middle[index] = np.median(seen[len(seen) // 3 :], axis=0)
                self.coming[index] = extent(heads(seen))
                needed[index] = self.framings[index].needed(self.coming[index])
        self.middle = middle
        tall = heights(middle, needed, self.framings, self.rules.face_ratio, self.rules.tightest)
        return [
            f.keep(np.array([m[0], m[1], h]), c) if np.isfinite(m[0]) else None
            for m, h, f, c in zip(middle, tall, self.framings, self.coming, strict=True)
        ]

    def _join(self, now: float, goals: list[Array | None]) -> None:
        """Decide whether all tiles show one picture; calmly, unless a scene begins."""
        if self.rules.missing != "wide" or len(self.tiles) < 2:
            return
        if self._together(goals) == self.joined:
            self.since = np.nan
        elif np.isnan(self.since):
            self.since = now
        if now - self.since >= self.rules.hold_seconds:
            self.joined, self.since = not self.joined, np.nan
            self.away[:] = np.nan

    def _together(self, goals: list[Array | None]) -> bool:
        """Whether tiles of their own would show somebody twice, or too few are there for a split."""
        there = [index for index, goal in enumerate(goals) if goal is not None]
        if len(there) < (2 if self.joined else 1):
            return True
        views = [part if goal is None else goal for goal, part in zip(goals, self.parts, strict=True)]
        return any(
            framing.shows(view, self.middle[person])
            for person in there
            for tile, (framing, view) in enumerate(zip(self.framings, views, strict=True))
            if tile != person
        )

    def _share(self, index: int, now: float) -> None:
        """One picture across all tiles, as wide as it can be; it moves where it would cut heads."""
        path, view = self.paths[index], self.whole.wide()
        coming = self.coming[np.isfinite(self.coming[:, 0])]
        if len(coming):
            room = np.concatenate([coming[:, :2].min(axis=0), coming[:, 2:].max(axis=0)])
            view = self.whole.rest(self.whole.keep(view, room))
        to = windows(view, self.whole, self.layout)[index]
        if not path.placed:
            path.jump(_to_axes(to))
        elif np.abs(to - _from_axes(path.end)).max() > self.rules.dead_zone * to[2]:
            path.glide(_to_axes(to), now, self._ease())
        self.mode[index] = 1

    def _decide(self, index: int, now: float, goals: list[Array | None], glimpse: bool) -> None:
        if self.joined:
            self._share(index, now)
            return
        framing, path, goal = self.framings[index], self.paths[index], goals[index]
        if goal is not None:
            self.away[index] = np.nan
            if not path.placed or self.mode[index] in (2, 3):
                path.jump(_to_axes(framing.rest(goal)))
            elif self.mode[index] == 1:
                path.glide(_to_axes(framing.rest(goal)), now, self._ease())
            else:
                self._follow(index, now, goal, index)
            self.mode[index] = 0
            return
        if np.isnan(self.away[index]) and not glimpse:
            self.away[index] = now
        self._nobody(index, now, goals)

    def _follow(self, index: int, now: float, goal: Array, watched: int) -> None:
        framing, path = self.framings[index], self.paths[index]
        held = _from_axes(path.end)
        zoom = abs(np.log(goal[2] / held[2])) > self.rules.zoom_zone
        coming, middle = self.coming[watched], self.middle[watched]
        aim = np.array([middle[0], middle[1], held[2]])
        tile = np.array([held[2] * float(framing.aspect), held[2]])
        away = np.abs(framing.rest(aim)[:2] - held[:2]) / tile
        if zoom:
            to = framing.rest(goal)
        elif away.max() > self.rules.dead_zone:
            to = framing.rest(framing.keep(aim, coming))
        else:
            to = framing.rest(framing.keep(held, coming))
        if zoom or (np.abs(to[:2] - held[:2]) / tile).max() > STRAY:
            path.glide(_to_axes(to), now, self._limits(index))

    def _nobody(self, index: int, now: float, goals: list[Array | None]) -> None:
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
            if self.mode[index] == 0 or np.abs(wide - path.end).max() > 1e-6:
                path.glide(wide, now, self._ease())
            self.mode[index] = 1

    def _wide(self, index: int) -> Array:
        """As much as the tile holds, about its part of the whole picture."""
        framing, part = self.framings[index], self.parts[index]
        return framing.wide((part[0], part[1] + (0.5 - framing.eyes) * part[2]))

    def _ease(self) -> Limits:
        """To the wide view and back in one long move, whatever the distance."""
        return Limits(np.full(3, np.inf), np.full(3, np.inf), self.rules.wide_seconds)

    def _limits(self, index: int) -> Limits:
        """Limits in source pixels from those in tile pixels."""
        rules, tile, framing = self.rules, self.tiles[index], self.framings[index]
        height = _from_axes(self.paths[index].end)[2]
        scale = np.array([height * float(framing.aspect) / tile.width, height / tile.height])
        return Limits(
            np.array([*(rules.pan_speed * scale), rules.zoom_rate]),
            np.array([*(rules.pan_acceleration * scale), np.inf]),
            rules.move_seconds,
        )


def _to_axes(view: Array) -> Array:
    return np.array([view[0], view[1], np.log(view[2])])


def _from_axes(axes: Array) -> Array:
    return np.array([axes[0], axes[1], np.exp(axes[2])])
