"""Whether tiles look like what they were made from: a few samples of each, and where these are in doubt
the whole tile. What that costs is in docs/decisions/tiles.md."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from dualface.graph.types import Layout, Tile, Video
from dualface.nodes.compose.policy import Reason
from dualface.nodes.compose.resample import Plane, cut
from dualface.nodes.compose.stored import Box

GRID, COLOURS = 6, 3  # samples of luma, and of each chroma, across and down a tile
COARSE = 16  # averages across and down that are compared where samples are in doubt
LEVELS = 8  # between the darkest and the lightest: a source with more is not flat
FAR = 32  # levels of mean difference from the source that no filter makes

Indices = npt.NDArray[np.int64]
KINDS = (0, GRID**2, GRID**2 + COLOURS**2, GRID**2 + 2 * COLOURS**2)  # where luma's, Cb's and Cr's begin


class Looks:
    """Samples the tiles of ``layout`` that no later tile lies on."""

    def __init__(self, layout: Layout) -> None:
        tiles = layout.tiles
        self.seen = [not any(_meet(t, u) for u in tiles[i + 1 :]) for i, t in enumerate(tiles)]
        corners = np.array([[t.x, t.y, t.x + t.width, t.y + t.height] for t in tiles], np.float32)
        self._made = _places(corners, layout.width, layout.height, layout.width, layout.height, 0)
        self._crops, self._of = b"", Video(0, 0, Fraction(1))

    def doubtful(
        self, made: Plane, source: Plane, video: Video, crops: npt.NDArray[np.float32]
    ) -> list[tuple[int, int]]:
        """Picture and tile of those in ``made`` ``[n, rows, width]`` (NV12) whose samples are flat where
        those of ``source`` are not, or far from them. ``crops`` ``[n, tiles, 4]``.
        Where a crop is no good, the answer means nothing."""
        if self._of is not video or crops.tobytes() != self._crops:  # cameras mostly rest
            _, rows, width = source.shape
            places = _places(crops, width, rows * 2 // 3, video.width, video.height, video.rotation)
            self._sources = places + (np.arange(len(crops)) * rows * width)[:, None, None]
            self._of, self._crops = video, crops.tobytes()
        here = made.reshape(len(made), -1).take(self._made, axis=1)
        there = source.reshape(-1).take(self._sources)
        # So few samples are quicker looked through as bytes than as arrays.
        apart, ours, theirs = cv2.absdiff(here, there).tobytes(), here.tobytes(), there.tobytes()
        found = []
        for number in range(len(apart) // KINDS[-1]):
            picture, tile = divmod(number, len(self.seen))
            spans = [slice(number * KINDS[-1] + a, number * KINDS[-1] + b) for a, b in pairwise(KINDS)]
            if self.seen[tile] and any(_doubt(apart[s], ours[s], theirs[s]) for s in spans):
                found.append((picture, tile))
        return found


def _doubt(apart: bytes, made: bytes, given: bytes) -> bool:
    """From samples of one kind, of the tile and of its source, and how far these are apart."""
    flat = made.count(made[0]) == len(made)
    return sum(apart) > FAR * len(apart) or (flat and max(given) - min(given) > LEVELS)


def _places(
    boxes: npt.NDArray[np.float32], pitch: int, whole: int, width: int, height: int, rotation: int
) -> Indices:
    """Byte offsets ``[..., samples]`` into an NV12 picture with ``whole`` rows of luma, ``pitch`` wide, of
    which ``width`` x ``height`` are to be seen; ``boxes`` ``[..., 4]`` are of it turned by ``rotation``."""
    luma, colours = (_grid(boxes, n, width, height, rotation) for n in (GRID, COLOURS))
    chroma = (whole + colours[0] // 2) * pitch + colours[1] // 2 * 2
    return np.concatenate([luma[0] * pitch + luma[1], chroma, chroma + 1], axis=-1)


def _grid(
    boxes: npt.NDArray[np.float32], n: int, width: int, height: int, rotation: int
) -> tuple[Indices, Indices]:
    """Rows and columns, as stored, of the middles of ``n`` x ``n`` parts of each box."""
    with np.errstate(invalid="ignore", over="ignore"):
        at = boxes[..., :2, None] + (boxes[..., 2:, None] - boxes[..., :2, None]) * ((np.arange(n) + 0.5) / n)
    x, y = np.tile(at[..., 0, :], n), np.repeat(at[..., 1, :], n, axis=-1)
    turned = {0: (y, x), 90: (height - x, y), 180: (height - y, width - x), 270: (x, width - y)}
    rows, columns = turned[rotation]  # of a bad crop: anywhere, but in the picture
    return (
        np.fmin(np.fmax(rows, 0), height - 1).astype(np.int64),
        np.fmin(np.fmax(columns, 0), width - 1).astype(np.int64),
    )


def verdict(made: tuple[Plane, Plane], source: tuple[Plane, Plane], box: Box, rotation: int) -> Reason:
    """What is wrong with a tile: luma and chroma ``made`` from ``box`` (as stored) of those of ``source``."""
    found = Reason.fine
    for plane, whole, scale in zip(made, source, (1, 2), strict=True):
        x0, y0, x1, y1 = (round(v / scale) for v in box)
        there = _coarse(cut(whole, x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
        here = _coarse(np.rot90(plane, rotation // 90))
        flat = (plane == plane[:1, :1]).all()
        if flat and np.ptp(there.reshape(COARSE * COARSE, -1), axis=0).max() > LEVELS:
            return Reason.flat
        if np.abs(here - there).mean() > FAR:
            found = Reason.wrong
    return found


def _coarse(plane: Plane) -> npt.NDArray[np.float32]:
    values = np.ascontiguousarray(plane, np.float32)
    return np.asarray(cv2.resize(values, (COARSE, COARSE), interpolation=cv2.INTER_AREA), np.float32)


def _meet(a: Tile, b: Tile) -> bool:
    across = min(a.x + a.width, b.x + b.width) > max(a.x, b.x)
    return across and min(a.y + a.height, b.y + b.height) > max(a.y, b.y)
