"""Where a head belongs in a tile: from a face's box to a crop of the source, and back.

An *anchor* is ``(x, y, size)``: the middle between the eyes and the height of the face's box. A
*view* is ``(x, y, height)``: the point that is held at `Framing.eyes` of the tile, and the height
of the crop; the width follows from the tile. All in source pixels, display orientation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dualface.graph.types import People, Tile, spans

Array = npt.NDArray[np.float64]

# Where YuNet's box has the eyes, as a share of its height (mean over upright frontal faces).
EYES_IN_BOX = 0.4
# A finer step than this many source pixels keeps rests on whole even pixels; a coarser one would show.
COARSEST_STEP = 72


@dataclass(frozen=True, slots=True)
class Framing:
    """How one tile looks at one source.

    ``width, height`` of the frame; ``aspect`` of the crop in source pixels (the tile's, divided
    by the pixel's); ``eyes`` as a share of the tile's height from the top; ``smallest`` and
    ``largest`` crop height.
    """

    width: int
    height: int
    aspect: Fraction
    eyes: float
    smallest: float
    largest: float

    @staticmethod
    def of(tile: Tile, size: tuple[int, int], pixel_aspect: Fraction, eyes: float, upscale: float) -> Framing:
        aspect = Fraction(tile.width, tile.height) / pixel_aspect
        largest = min(float(size[1]), float(size[0] / aspect))
        return Framing(size[0], size[1], aspect, eyes, min(tile.height / upscale, largest), largest)

    def wide(self) -> Array:
        """The view that shows as much of the frame as the tile can hold."""
        crop_height = self.snap_height(self.largest)
        return self.rest(np.array([self.width / 2, (self.height - crop_height) / 2, crop_height]), top=True)

    def room(self, anchor: Array) -> float:
        """The tallest crop that still holds this anchor in its place within the frame."""
        across = 2 * min(anchor[0], self.width - anchor[0]) / float(self.aspect)
        return float(min(across, anchor[1] / self.eyes, (self.height - anchor[1]) / (1 - self.eyes)))

    def snap_height(self, height: float) -> float:
        """The nearest height whose crop has an even whole width and height, if such a one is near."""
        step = 2 * self.aspect.denominator
        if step > COARSEST_STEP or step > self.largest:
            return height
        return float(step * max(1, min(round(height / step), math.floor(self.largest / step))))

    def rest(self, view: Array, *, top: bool = False) -> Array:
        """The view nearest to ``view`` that the frame contains, with even whole corners.

        ``top`` says that the view's ``y`` is the crop's upper edge instead of the eyes.
        """
        height = self.snap_height(float(np.clip(view[2], self.smallest, self.largest)))
        width = height * float(self.aspect)
        x0 = _even(view[0] - width / 2, self.width - width)
        y0 = _even(view[1] - (0.0 if top else self.eyes * height), self.height - height)
        return np.array([x0 + width / 2, y0 + self.eyes * height, height])

    def crop(self, view: Array) -> Array:
        """``x0, y0, x1, y1`` of a view, moved into the frame where it would leave it."""
        height = min(float(view[2]), self.largest)
        width = height * float(self.aspect)
        x0 = min(max(float(view[0]) - width / 2, 0.0), self.width - width)
        y0 = min(max(float(view[1]) - self.eyes * height, 0.0), self.height - height)
        return np.array([x0, y0, x0 + width, y0 + height])


def _even(position: float, room: float) -> float:
    return min(max(2.0 * round(position / 2), 0.0), 2.0 * math.floor(max(room, 0.0) / 2))


def anchors(people: People, tiles: int) -> Array:
    """``[n, tiles, 3]`` anchors, NaN where a tile has nobody."""
    out = np.full((len(people), tiles, 3), np.nan)
    for frame, span in enumerate(spans(people.counts)):
        for box, side in zip(people.boxes[span], people.sides[span], strict=True):
            size = float(box[3] - box[1])
            if 0 <= side < tiles and size > 0 and np.isfinite(box).all():
                out[frame, side] = (box[0] + box[2]) / 2, box[1] + EYES_IN_BOX * size, size
    return out


def heights(middle: Array, framings: tuple[Framing, ...], ratio: float, tightest: float) -> Array:
    """Crop heights ``[tiles]`` for these anchors ``[tiles, 3]`` (NaN: nobody), heads equally large.

    Each crop is ``ratio`` faces high; down to ``tightest`` where a head is so near the frame's edge
    that a taller crop could not hold it in its place; taller where a tile may not enlarge so much.
    What one tile needs, the others follow. The frame has the last word.
    """
    there = [(a, f) for a, f in zip(middle, framings, strict=True) if np.isfinite(a[0])]
    common = min([ratio, *(max(f.room(a) / a[2], tightest) for a, f in there)])
    common = max([common, *(f.smallest / a[2] for a, f in there)])
    return np.array([min(common * a[2], f.largest) for a, f in zip(middle, framings, strict=True)])
