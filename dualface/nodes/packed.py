"""Values as plain arrays, for snapshots, and back."""

from __future__ import annotations

from dataclasses import astuple
from fractions import Fraction

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.types import Color, Video


def pack(video: Video) -> Snapshot:
    """A `Video` as plain arrays; `unpack` takes them back."""
    rate = ratio(video.frame_rate)
    numbers = [video.width, video.height, *ratio(video.time_base), *rate, video.rotation]
    names = [name or "" for name in astuple(video.color)]
    return {"video": np.array([*numbers, *ratio(video.pixel_aspect)], np.int64), "color": np.array(names)}


def unpack(snapshot: Snapshot) -> Video:
    width, height, *base, rate, a_second, rotation, wide, high = snapshot["video"].tolist()
    return Video(
        width, height, Fraction(*base), fraction(rate, a_second), rotation, Fraction(wide, high),
        Color(*(name or None for name in snapshot["color"].tolist())),
    )  # fmt: skip


def ratio(value: Fraction | None) -> tuple[int, int]:
    """Two whole numbers; 0 and 0 for ``None``."""
    return (0, 0) if value is None else (value.numerator, value.denominator)


def fraction(numerator: int, denominator: int) -> Fraction | None:
    """What `ratio` was given."""
    return Fraction(numerator, denominator) if denominator else None
