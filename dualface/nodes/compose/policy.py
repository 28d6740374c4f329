"""What a tile shows when its crop or its pixels are no good: decided here, done by the composers.

Everything is a pure function of plain values; nothing in this file sees a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dualface.graph.types import Shots, Tile, Video

OnError = Literal["last", "wide", "blank", "fail"]
SMALLEST = 2.0  # source pixels; a narrower or lower crop is no picture
LARGEST = 2.0  # pictures; a larger crop would show mostly repeated edges


class Reason(IntEnum):
    """What is wrong with a tile; the names are those in the report."""

    fine = 0
    missing = 1  # there is no crop for it
    not_finite = 2
    empty = 3
    outside = 4  # of the picture, but for a pixel or less
    size = 5  # absurdly small or large
    error = 6  # the resampler or the kernel raised
    flat = 7  # all one value, where the source is not
    wrong = 8  # nothing like the source


class Action(IntEnum):
    """What was shown instead; the names are those in the report."""

    last = 0
    wide = 1
    blank = 2


WORDS = {
    Reason.missing: "there is no crop",
    Reason.not_finite: "its crop is not finite",
    Reason.empty: "its crop is empty",
    Reason.outside: "its crop is outside the picture",
    Reason.size: "its crop has an absurd size",
    Reason.error: "it could not be made",
    Reason.flat: "it came out empty",
    Reason.wrong: "it came out unlike the source",
}


def ways(on_error: OnError, has_last: bool) -> tuple[Action, ...]:
    """What to show instead, in the order of trying; the last one cannot fail. None is for ``fail``.

    >>> ways("last", True), ways("last", False)
    ((<Action.last: 0>,), (<Action.wide: 1>, <Action.blank: 2>))
    >>> ways("fail", True)
    ()
    """
    if on_error == "fail":
        return ()
    if on_error == "last" and has_last:
        return (Action.last,)
    return (Action.blank,) if on_error == "blank" else (Action.wide, Action.blank)


def usable(shots: Shots, frames: int, tiles: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Crops ``[frames, tiles, 4]`` and blank flags ``[frames, tiles]``, whatever the camera gave: NaN
    where it gave no crop, false where no flag. The inputs themselves where they are as they should be."""
    crops, blank = np.asarray(shots.crops), np.asarray(shots.blank)
    if crops.shape != (frames, tiles, 4) or crops.dtype != np.float32:
        _lay(crops, over := np.full((frames, tiles, 4), np.nan, np.float32))
        crops = over
    if blank.shape != (frames, tiles) or blank.dtype != np.bool_:
        _lay(blank, flags := np.zeros((frames, tiles), np.bool_))
        blank = flags
    return crops, blank


def _lay(given: npt.NDArray[Any], over: npt.NDArray[Any]) -> None:
    """Put as much of ``given`` on ``over`` as has the same place there."""
    if given.ndim == over.ndim and given.dtype.kind in "fiub" and given.shape[2:] == over.shape[2:]:
        place = tuple(slice(min(a, b)) for a, b in zip(given.shape, over.shape, strict=True))
        with np.errstate(over="ignore", invalid="ignore"):
            over[place] = given[place]


def fault(crop: Sequence[float], size: tuple[int, int]) -> Reason:
    """What is wrong with a crop ``x0, y0, x1, y1`` of a picture of this width and height.

    >>> fault((0, 0, 960, 1080), (1920, 1080)), fault((900, 0, 900, 1080), (1920, 1080))
    (<Reason.fine: 0>, <Reason.empty: 3>)
    """
    x0, y0, x1, y1 = crop
    width, height = size
    across, down = x1 - x0, y1 - y0
    if not math.isfinite(across) or not math.isfinite(down):
        return Reason.missing if all(map(math.isnan, crop)) else Reason.not_finite
    if across <= 0 or down <= 0:
        return Reason.empty
    if min(across, down) < SMALLEST or across > LARGEST * width or down > LARGEST * height:
        return Reason.size
    seen = min(x1, width) - max(x0, 0), min(y1, height) - max(y0, 0)
    return Reason.outside if min(seen) < SMALLEST else Reason.fine


def fitted(tile: Tile, video: Video) -> Tile:
    """The part of ``tile`` that the whole picture fills, upright and in its own shape.

    >>> fitted(Tile("left", 0, 0, 960, 1080), Video(1920, 1080, Fraction(1, 30)))
    Tile(name='left', x=0, y=270, width=960, height=540)
    """
    width, height = video.display_size
    aspect = Fraction(width, height) * video.display_aspect
    across = min(Fraction(tile.width), tile.height * aspect)
    wide, high = _even(across, tile.width), _even(across / aspect, tile.height)
    x, y = _even(Fraction(tile.width - wide, 2)), _even(Fraction(tile.height - high, 2))
    return Tile(tile.name, tile.x + x, tile.y + y, wide, high)


def _even(length: Fraction, most: int | None = None) -> int:
    """The nearest even number below; with ``most`` the nearest one of 2 to ``most``."""
    return int(length) // 2 * 2 if most is None else min(max(2 * round(length / 2), 2), most)
