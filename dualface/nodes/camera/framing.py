"""Where a head belongs in a tile: from a face's box to a crop of the source, and back.

An *anchor* is ``(x, y, size)``: the middle between the eyes and the height of the face's box. A
*view* is ``(x, y, height)``: the point that is held at `Framing.eyes` of the tile, and the height
of the crop; the width follows from the tile. All in source pixels, display orientation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Layout, People, Tile

Array = npt.NDArray[np.float64]
View = tuple[float, float, float]
Box = tuple[float, float, float, float]

# Where YuNet's box has the eyes, as a share of its height (mean over upright frontal faces).
EYES_IN_BOX = 0.4
# A finer step than this many source pixels keeps rests on whole even pixels; a coarser one would show.
COARSEST_STEP = 72
# Hair reaches this share of the box above it; above the hair the tile keeps HEADROOM of its height, also
# in passing. (At rest the height of the eyes gives 8% in the tightest crop and 14% in the usual one.)
HAIR, HEADROOM = 0.25, 0.05
# A move ends where COMFORT of the tile's height is above the hair of all heads that come, if the eyes are no
# more than RAISED of it below their place for that. Without it, where a move ended within the dead zone
# decided whether hundreds of frames had 6 or 9%.
COMFORT, RAISED = 0.08, 0.025
CORNERS = np.array([-0.5, -EYES_IN_BOX - HAIR, 0.5, 1 - EYES_IN_BOX])
# A small source may be enlarged beyond `upscale` until crops are this much smaller than the frame:
# a soft picture of the right person is better than a sharp one of everybody, twice.
FREEDOM = 1.6


@dataclass(frozen=True, slots=True)
class Framing:
    """How one tile looks at one source.

    ``width, height`` of the frame; ``aspect`` of the crop in source pixels (the tile's, divided
    by the pixel's), ``across`` the same as a float; ``eyes`` as a share of the tile's height from
    the top; ``smallest`` and ``largest`` crop height.
    """

    width: int
    height: int
    aspect: Fraction
    across: float
    eyes: float
    smallest: float
    largest: float

    @staticmethod
    def of(tile: Tile, size: tuple[int, int], pixel_aspect: Fraction, eyes: float, upscale: float) -> Framing:
        aspect = Fraction(tile.width, tile.height) / pixel_aspect
        largest = min(float(size[1]), float(size[0] / aspect))
        smallest = min(tile.height / upscale, largest / FREEDOM)
        return Framing(size[0], size[1], aspect, float(aspect), eyes, smallest, largest)

    def wide(self, centre: tuple[float, float] | None = None) -> View:
        """The view that shows as much of the frame as the tile can hold, as near to ``centre`` as it goes."""
        x, y = centre or (self.width / 2, self.height / 2)
        height = self.snap_height(self.largest)
        return self.rest((x, y - height / 2, height), top=True)

    def shows(self, view: View, x: float, y: float) -> bool:
        """Whether the crop of ``view`` has this point in it."""
        x0, y0, x1, y1 = self.crop(view)
        return x0 < x < x1 and y0 < y < y1

    def room(self, anchor: View) -> float:
        """The tallest crop that still holds this anchor in its place within the frame."""
        x, y, _ = anchor
        across = 2 * min(x, self.width - x) / self.across
        return min(across, y / self.eyes, (self.height - y) / (1 - self.eyes))

    def needed(self, room: Box) -> float:
        """The shortest crop that holds what `extent` gave, if it rests."""
        x0, y0, x1, y1 = room
        return max((x1 - x0) / self.across, (y1 - y0) / (1 - HEADROOM))

    def keep(self, view: View, room: Box) -> View:
        """The view nearest to ``view``, of its size, that cuts none of the heads of this `extent`.

        Where they are too far apart for that, their middle; the frame's edge has the last word.
        """
        x0, y0, x1, y1 = room
        half, height = view[2] * self.across / 2, view[2]
        x = _between(view[0], x1 - half, x0 + half)
        top = _between(view[1] - self.eyes * height, y1 - height, y0 - HEADROOM * height)
        return x, top + self.eyes * height, height

    def lift(self, view: View, room: Box) -> View:
        """``view`` raised, by `RAISED` of its height at most, towards `COMFORT` above this `extent`."""
        x, y, height = view
        short = COMFORT * height - (room[1] - (y - self.eyes * height))
        return x, y - min(max(short, 0.0), RAISED * height), height

    def snap_height(self, height: float) -> float:
        """The nearest height whose crop has an even whole width and height, if such a one is near."""
        step = 2 * self.aspect.denominator
        if step > COARSEST_STEP or step > self.largest:
            return height
        return float(step * max(1, min(round(height / step), math.floor(self.largest / step))))

    def rest(self, view: View, *, top: bool = False) -> View:
        """The view nearest to ``view`` that the frame contains, with even whole corners.

        ``top`` says that the view's ``y`` is the crop's upper edge instead of the eyes.
        """
        height = self.snap_height(min(max(view[2], self.smallest), self.largest))
        width = height * self.across
        x0 = _even(view[0] - width / 2, self.width - width)
        y0 = _even(view[1] - (0.0 if top else self.eyes * height), self.height - height)
        return x0 + width / 2, y0 + self.eyes * height, height

    def crop(self, view: View) -> Box:
        """``x0, y0, x1, y1`` of a view, moved into the frame where it would leave it."""
        height = min(view[2], self.largest)
        width = height * self.across
        x0 = min(max(view[0] - width / 2, 0.0), self.width - width)
        y0 = min(max(view[1] - self.eyes * height, 0.0), self.height - height)
        return x0, y0, x0 + width, y0 + height


def _between(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if low <= high else (low + high) / 2


def heads(anchors: Array) -> Array:
    """Corners ``[..., 4]`` of whole heads, hair included, from anchors ``[..., 3]``."""
    return np.asarray(anchors[..., [0, 1, 0, 1]] + anchors[..., 2:] * CORNERS)


def middle(anchors: Array) -> Array:
    """The median ``[...]`` of anchors ``[n, ...]``."""
    ordered = np.sort(anchors, axis=0)  # np.median does the same with five times the overhead
    return np.asarray((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def extent(heads: Array) -> Array:
    """Corners ``[..., 4]`` of what heads ``[n, ..., 4]`` cover together, but for one in twenty that
    lies farthest out."""
    ordered = np.sort(heads, axis=0)
    few = len(heads) // 20
    return np.concatenate([ordered[few, ..., :2], ordered[-1 - few, ..., 2:]], axis=-1)


def union(layout: Layout) -> Tile:
    """The one tile that all tiles of a layout together would be."""
    left, top = min(t.x for t in layout.tiles), min(t.y for t in layout.tiles)
    width = max(t.x + t.width for t in layout.tiles) - left
    height = max(t.y + t.height for t in layout.tiles) - top
    return Tile("all", left, top, width, height)


def windows(view: View, whole: Framing, layout: Layout) -> list[View]:
    """Views with which all tiles together show one picture: ``view``, that of `union`'s framing."""
    tile = union(layout)
    down = view[2] / tile.height
    across = down * whole.across * tile.height / tile.width
    left, top = view[0] - tile.width / 2 * across, view[1] - whole.eyes * view[2]
    return [
        (
            left + (t.x - tile.x + t.width / 2) * across,
            top + (t.y - tile.y + whole.eyes * t.height) * down,
            t.height * down,
        )
        for t in layout.tiles
    ]


def _even(position: float, room: float) -> float:
    return min(max(2.0 * round(position / 2), 0.0), 2.0 * math.floor(max(room, 0.0) / 2))


def anchors(people: People, tiles: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """``[n, tiles, 3]`` anchors, NaN where a tile has nobody, and ``[n, tiles]`` the persons."""
    boxes = people.boxes.astype(np.float64)
    size = boxes[:, 3] - boxes[:, 1]
    good = (people.sides >= 0) & (people.sides < tiles) & (size > 0) & np.isfinite(boxes).all(axis=1)
    where = np.repeat(np.arange(len(people)), people.counts)[good], people.sides[good]
    out, persons = np.full((len(people), tiles, 3), np.nan), np.full((len(people), tiles), -1, np.int64)
    out[where] = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 1] + EYES_IN_BOX * size, size], axis=1)[
        good
    ]
    persons[where] = people.persons[good]
    return out, persons


def heights(
    middles: Sequence[View | None],
    needed: Sequence[float],
    framings: tuple[Framing, ...],
    ratio: float,
    tightest: float,
) -> list[float]:
    """Crop heights for these anchors (``None``: nobody), heads equally large.

    Each crop is ``ratio`` faces high; down to ``tightest`` where a head is so near the frame's edge
    that a taller crop could not hold it in its place; taller where a tile may not enlarge so much or
    where a head moves so much that its crop has to be ``needed`` high to rest.
    What one tile needs, the others follow. The frame has the last word.
    """
    there = [(a, n, f) for a, n, f in zip(middles, needed, framings, strict=True) if a is not None]
    common = min([ratio, *(max(f.room(a) / a[2], tightest) for a, _, f in there)])
    common = max([common, *(max(f.smallest, min(n, ratio * a[2])) / a[2] for a, n, f in there)])
    return [
        0.0 if a is None else min(common * a[2], f.largest) for a, f in zip(middles, framings, strict=True)
    ]
