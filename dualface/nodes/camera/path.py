"""A calm path: rests, joined by moves that start and end softly.

A human operator leaves the camera alone until the head has really gone somewhere else, then makes
one smooth move. `Path` does the same with the future in view: it rests until the median of what
comes leaves the dead zone, then glides there along a quintic (the curve of least jerk), slow enough
for the limits. A new goal in mid-move bends the path without a kink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Peak speed and acceleration of a least-jerk move over distance 1 in time 1.
PEAK_SPEED, PEAK_ACCELERATION = 1.875, 5.7735
# A move that bends an earlier one is faster at its peak: it may take these times as long instead.
STRETCHES, SAMPLES = (1.0, 1.15, 1.3, 1.5, 1.75), 16


@dataclass(frozen=True, slots=True)
class Limits:
    """In units of the path's axes and seconds; each ``[axes]``."""

    speed: Array
    acceleration: Array
    shortest: float  # seconds that any move takes at least


class Path:
    """A point that rests or moves; heights are best given as logarithms.

    The first two axes are a place: it moves in a straight line, and the limits are of its length.
    """

    def __init__(self, axes: int) -> None:
        self.start = 0.0
        self.durations = np.zeros(axes)
        self.begin = np.full((3, axes), np.nan)  # position, velocity, acceleration at `start`
        self.end = np.full(axes, np.nan)

    @property
    def placed(self) -> bool:
        """Whether the path is anywhere yet."""
        return bool(np.isfinite(self.end).all())

    def jump(self, to: Array) -> None:
        """Rest at ``to`` from now on."""
        self.end = to.copy()
        self.begin = np.stack([to, 0 * to, 0 * to])
        self.durations = np.zeros(len(to))

    def glide(self, to: Array, now: float, limits: Limits) -> None:
        """Move to ``to``, starting ``now`` with the present speed."""
        self.begin = self.at(now)
        self.start, self.end = now, to.copy()
        distance = np.abs(to - self.begin[0])
        braking = np.abs(self.begin[1])
        slow, soft, brake = (
            _along(value / limit)
            for value, limit in (
                (distance, limits.speed), (distance, limits.acceleration), (braking, limits.acceleration)
            )
        )  # fmt: skip
        self.durations = np.maximum.reduce(
            [
                PEAK_SPEED * slow,
                np.sqrt(PEAK_ACCELERATION * soft),
                2 * PEAK_SPEED * brake,
                np.where(_along(distance + braking) > 0, limits.shortest, 0.0),
            ]
        )
        if braking[:2].any():
            shortest = self.durations[:2].copy()
            peaks = []
            for stretch in STRETCHES:
                self.durations[:2] = shortest * stretch
                peaks.append(self._peak(limits.speed))
                if peaks[-1] <= 1:
                    return
            self.durations[:2] = shortest * STRETCHES[int(np.argmin(peaks))]

    def _peak(self, speed: Array) -> float:
        """The greatest speed of the place in this move, as a share of the limit."""
        times = self.start + self.durations[0] * np.arange(1, SAMPLES) / SAMPLES
        return max(float(_along(self.at(t)[1] / speed)[0]) for t in times)

    def at(self, now: float) -> Array:
        """Position, velocity and acceleration, ``[3, axes]``."""
        t = max(now - self.start, 0.0)
        out = np.stack([self.end, 0 * self.end, 0 * self.end])
        for axis, duration in enumerate(self.durations):
            if t < duration:
                out[:, axis] = _quintic(self.begin[:, axis], self.end[axis], duration, t)
        return out

    def state(self) -> Array:
        """Everything as one ``[6, axes]`` array."""
        return np.stack([self.start + 0 * self.end, self.durations, *self.begin, self.end])

    def load(self, state: Array) -> None:
        """Take up what `state` gave. (``start`` is NaN only while nothing was placed.)"""
        self.start = float(np.nan_to_num(state[0, 0]))
        self.durations, self.begin, self.end = state[1].copy(), state[2:5].copy(), state[5].copy()


def _along(values: Array) -> Array:
    """What each axis gives, the first two as the length that they have together."""
    return np.array([np.hypot(*values[:2])] * 2 + [*values[2:]])


def _quintic(begin: Array, end: float, duration: float, t: float) -> Array:
    """The quintic from ``begin`` (position, velocity, acceleration) to rest at ``end``."""
    s, d = t / duration, duration
    p, v, a = begin[0], begin[1] * d, begin[2] * d * d
    gap = end - p
    c3 = 10 * gap - 6 * v - 1.5 * a
    c4 = -15 * gap + 8 * v + 1.5 * a
    c5 = 6 * gap - 3 * v - 0.5 * a
    return np.array(
        [
            p + v * s + a * s**2 / 2 + c3 * s**3 + c4 * s**4 + c5 * s**5,
            (v + a * s + 3 * c3 * s**2 + 4 * c4 * s**3 + 5 * c5 * s**4) / d,
            (a + 6 * c3 * s + 12 * c4 * s**2 + 20 * c5 * s**3) / d**2,
        ]
    )
