"""A calm path: rests, joined by moves that start and end softly.

A human operator leaves the camera alone until the head has really gone somewhere else, then makes
one smooth move. `Path` does the same with the future in view: it rests until the median of what
comes leaves the dead zone, then glides there along a quintic (the curve of least jerk), slow enough
for the limits. A new goal in mid-move bends the path without a kink.

Points are tuples of a few floats: arrays so small cost ten times as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Point = tuple[float, ...]

# Peak speed and acceleration of a least-jerk move over distance 1 in time 1.
PEAK_SPEED, PEAK_ACCELERATION = 1.875, 5.7735
# A move that bends an earlier one is faster at its peak: it may take these times as long instead.
STRETCHES, SAMPLES = (1.0, 1.15, 1.3, 1.5, 1.75), 16


@dataclass(frozen=True, slots=True)
class Limits:
    """In units of the path's axes and seconds."""

    speed: Point
    acceleration: Point
    shortest: float  # seconds that any move takes at least


class Path:
    """A point that rests or moves; heights are best given as logarithms.

    The first two axes are a place: it moves in a straight line, and the limits are of its length.
    """

    def __init__(self, axes: int) -> None:
        self.start = 0.0
        self.durations: Point = (0.0,) * axes
        nowhere: Point = (math.nan,) * axes
        self.begin = nowhere, nowhere, nowhere  # position, velocity, acceleration at `start`
        self.end = nowhere

    @property
    def placed(self) -> bool:
        """Whether the path is anywhere yet."""
        return all(map(math.isfinite, self.end))

    def jump(self, to: Point) -> None:
        """Rest at ``to`` from now on."""
        still = (0.0,) * len(to)
        self.end, self.begin, self.durations = to, (to, still, still), still

    def glide(self, to: Point, now: float, limits: Limits) -> None:
        """Move to ``to``, starting ``now`` with the present speed."""
        self.begin = self.at(now)
        self.start, self.end = now, to
        distance = [abs(a - b) for a, b in zip(to, self.begin[0], strict=True)]
        braking = [abs(v) for v in self.begin[1]]
        slow = _along([d / v for d, v in zip(distance, limits.speed, strict=True)])
        soft = _along([d / a for d, a in zip(distance, limits.acceleration, strict=True)])
        brake = _along([v / a for v, a in zip(braking, limits.acceleration, strict=True)])
        moves = _along([d + v for d, v in zip(distance, braking, strict=True)])
        self.durations = tuple(
            max(
                PEAK_SPEED * slow[i],
                math.sqrt(PEAK_ACCELERATION * soft[i]),
                2 * PEAK_SPEED * brake[i],
                limits.shortest if moves[i] > 0 else 0.0,
            )
            for i in range(len(to))
        )
        if braking[0] or braking[1]:
            self._slow_down(limits.speed)

    def _slow_down(self, speed: Point) -> None:
        """Stretch the move of the place until it keeps to the limit, as far as that helps."""
        (shortest, _, *others), found = self.durations, list[tuple[float, Point]]()
        for stretch in STRETCHES:
            self.durations = (shortest * stretch, shortest * stretch, *others)
            found.append((self._peak(speed), self.durations))
            if found[-1][0] <= 1:
                return
        self.durations = min(found, key=lambda one: one[0])[1]

    def _peak(self, speed: Point) -> float:
        """The greatest speed of the place in this move, as a share of the limit."""
        times = [self.start + self.durations[0] * n / SAMPLES for n in range(1, SAMPLES)]
        return max(math.hypot(v[0] / speed[0], v[1] / speed[1]) for v in (self.at(t)[1] for t in times))

    def at(self, now: float) -> tuple[Point, Point, Point]:
        """Position, velocity and acceleration."""
        t = max(now - self.start, 0.0)
        axes = [
            _quintic(p, v, a, end, duration, t) if t < duration else (end, 0.0, 0.0)
            for p, v, a, end, duration in zip(*self.begin, self.end, self.durations, strict=True)
        ]
        position, velocity, acceleration = zip(*axes, strict=True)
        return position, velocity, acceleration

    def state(self) -> Array:
        """Everything as one ``[6, axes]`` array."""
        return np.array([[self.start] * len(self.end), self.durations, *self.begin, self.end])

    def load(self, state: Array) -> None:
        """Take up what `state` gave."""
        rows = [tuple(row) for row in state.tolist()]
        self.start, self.durations = rows[0][0], rows[1]
        self.begin, self.end = (rows[2], rows[3], rows[4]), rows[5]


def _along(values: list[float]) -> list[float]:
    """What each axis gives, the first two as the length that they have together."""
    return [math.hypot(values[0], values[1])] * 2 + values[2:]


def _quintic(p: float, v: float, a: float, end: float, d: float, t: float) -> tuple[float, float, float]:
    """Position, velocity and acceleration at ``t`` on the quintic from ``p, v, a`` to rest at ``end``
    in the time ``d``."""
    s, v, a = t / d, v * d, a * d * d
    gap = end - p
    c3 = 10 * gap - 6 * v - 1.5 * a
    c4 = -15 * gap + 8 * v + 1.5 * a
    c5 = 6 * gap - 3 * v - 0.5 * a
    return (
        p + v * s + a * s**2 / 2 + c3 * s**3 + c4 * s**4 + c5 * s**5,
        (v + a * s + 3 * c3 * s**2 + 4 * c4 * s**3 + 5 * c5 * s**4) / d,
        (a + 6 * c3 * s + 12 * c4 * s**2 + 20 * c5 * s**3) / d**2,
    )
