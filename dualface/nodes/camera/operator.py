"""The decisions of the virtual camera operator, one frame at a time with the future in view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Layout
from dualface.nodes.camera.framing import Array, Framing, heads, heights, shares
from dualface.nodes.camera.path import Limits, Path

STRAY = 0.02  # share of the tile by which coming heads may leave their room before the camera moves
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
    """Keeps one `Path` a tile. ``framings`` are in the layout's order."""

    def __init__(self, rules: Rules, framings: tuple[Framing, ...], layout: Layout) -> None:
        self.rules, self.framings, self.tiles = rules, framings, layout.tiles
        self.shares = shares(layout, framings)
        self.reset()

    def reset(self) -> None:
        """Forget everything: a new scene begins."""
        tiles = self.tiles
        self.paths = [Path(3) for _ in tiles]
        self.away = np.full(len(tiles), np.nan)  # since when nobody was there; NaN: somebody is
        self.mode = np.zeros(len(tiles), np.int64)  # 0 own person, 1 wide, 2 other, 3 blank

    def step(self, now: float, cut: bool, ahead: Array) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Crops ``[tiles, 4]`` and blank flags for this frame.

        ``ahead`` ``[m, tiles, 3]`` are the anchors of this frame and those after it in its scene.
        """
        if cut:
            self.reset()
        goals = self._goals(ahead)
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
        self.coming = [np.zeros((0, 4))] * len(self.tiles)
        for index in range(len(self.tiles)):
            seen = ahead[np.isfinite(ahead[:, index, 0]), index]
            if len(seen) >= min(FEWEST, len(ahead)):
                middle[index] = np.median(seen, axis=0)
                self.coming[index] = heads(seen)
                needed[index] = self.framings[index].needed(self.coming[index])
        self.middle = middle
        tall = heights(middle, needed, self.framings, self.rules.face_ratio, self.rules.tightest)
        return [
            f.keep(np.array([m[0], m[1], h]), c) if np.isfinite(m[0]) else None
            for m, h, f, c in zip(middle, tall, self.framings, self.coming, strict=True)
        ]

    def _decide(self, index: int, now: float, goals: list[Array | None], glimpse: bool) -> None:
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
        kept = framing.rest(framing.keep(held, coming))
        if zoom or away.max() > self.rules.dead_zone:
            path.glide(
                _to_axes(framing.rest(goal if zoom else framing.keep(aim, coming))), now, self._limits(index)
            )
        elif (np.abs(kept[:2] - held[:2]) / tile).max() > STRAY:
            path.glide(_to_axes(kept), now, self._limits(index))

    def _nobody(self, index: int, now: float, goals: list[Array | None]) -> None:
        framing, path, rules = self.framings[index], self.paths[index], self.rules
        fresh = not path.placed
        if fresh:
            path.jump(_to_axes(self._wide(index, now, goals)))
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
            wide = _to_axes(self._wide(index, now, goals))
            if self.mode[index] == 0 or np.abs(wide - path.end).max() > 1e-6:
                path.glide(wide, now, self._ease())
            self.mode[index] = 1

    def _wide(self, index: int, now: float, goals: list[Array | None]) -> Array:
        """As much as the tile holds; with nobody left in any tile, its share of one picture."""
        unseen = all(not p.placed or m == 1 for p, m in zip(self.paths, self.mode, strict=True))
        gone = unseen or bool((now - self.away >= self.rules.hold_seconds).all())
        if gone and all(goal is None for goal in goals):
            return self.shares[index]
        return self.framings[index].wide()

    def _ease(self) -> Limits:
        """To the wide view and back in one long move, whatever the distance."""
        return Limits(np.full(3, np.inf), np.full(3, np.inf), self.rules.wide_seconds)

    def _limits(self, index: int) -> Limits:
        """Limits in source pixels from those in tile pixels."""
        rules, tile, framing = self.rules, self.tiles[index], self.framings[index]
        height = _from_axes(self.paths[index].end)[2]
        scale = np.array([height * float(framing.aspect) / tile.width, height / tile.height])
        return Limits(
            np.array([*(rules.pan_speed * scale / np.sqrt(2)), rules.zoom_rate]),
            np.array([*(rules.pan_acceleration * scale), np.inf]),
            rules.move_seconds,
        )


def _to_axes(view: Array) -> Array:
    return np.array([view[0], view[1], np.log(view[2])])


def _from_axes(axes: Array) -> Array:
    return np.array([axes[0], axes[1], np.exp(axes[2])])
