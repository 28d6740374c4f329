"""A box's Kalman filter, as ByteTrack has it.

The state is centre, aspect and height with their speeds. Its noise is diagonal, so that the
8-dimensional filter of the paper falls into four filters of position and speed, which plain
floats compute faster than small matrices. Those of x, y and height have the same noise and are
always measured together, so that they share one covariance. Noise grows with the box's height: 1/20 of it for
positions, 1/160 a frame for speeds (Wojke et al., DeepSORT, 2017; Zhang et al., ByteTrack, 2022);
aspect has constants of its own.
"""

from __future__ import annotations

POSITION, SPEED = 1 / 20, 1 / 160
ASPECT_MEASURED, ASPECT_FIRST, ASPECT_STEP, ASPECT_SPEED = 1e-1, 1e-2, 1e-2, 1e-5

Box = tuple[float, float, float, float]
Covariance = tuple[float, float, float]


def to_state(box: Box) -> Box:
    """Centre x, centre y, aspect, height of ``x0, y0, x1, y1``."""
    x0, y0, x1, y1 = box
    height = max(y1 - y0, 1e-3)
    return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, 1e-3) / height, height


def to_box(x: float, y: float, aspect: float, height: float) -> Box:
    """The inverse of `to_state`."""
    half = aspect * height / 2
    return x - half, y - height / 2, x + half, y + height / 2


class BoxFilter:
    """Four filters: ``mean`` and ``speed`` ``[4]``; ``lengths`` and ``aspect``, the covariances
    (position, position with speed, speed) that x, y and height share, and that of the aspect.

    Time is counted in frames of 1/30 s.
    """

    __slots__ = ("aspect", "lengths", "mean", "speed")

    def __init__(self, box: Box) -> None:
        self.mean = list(to_state(box))
        self.speed = [0.0] * 4
        height = self.mean[3]
        self.lengths = (2 * POSITION * height) ** 2, 0.0, (10 * SPEED * height) ** 2
        self.aspect = ASPECT_FIRST**2, 0.0, ASPECT_SPEED**2

    def predict(self, frames: float) -> None:
        """Let ``frames`` pass."""
        height = self.mean[3]
        self.lengths = _later(self.lengths, frames, (POSITION * height) ** 2, (SPEED * height) ** 2)
        self.aspect = _later(self.aspect, frames, ASPECT_STEP**2, ASPECT_SPEED**2)
        (x, y, a, h), (dx, dy, da, dh) = self.mean, self.speed
        # A box cannot shrink to nothing, however long nobody sees it.
        shape = max(a + frames * da, 1e-3), max(h + frames * dh, 1e-3)
        self.mean = [x + frames * dx, y + frames * dy, *shape]

    def update(self, box: Box) -> None:
        """Take a measurement."""
        (x, y, a, h), (dx, dy, da, dh) = self.mean, self.speed
        gain, speed_gain, self.lengths = _measured(self.lengths, (POSITION * h) ** 2)
        gain_a, speed_gain_a, self.aspect = _measured(self.aspect, ASPECT_MEASURED**2)
        now = to_state(box)
        to_x, to_y, to_a, to_h = now[0] - x, now[1] - y, now[2] - a, now[3] - h
        self.mean = [x + gain * to_x, y + gain * to_y, a + gain_a * to_a, h + gain * to_h]
        self.speed = [
            dx + speed_gain * to_x, dy + speed_gain * to_y,
            da + speed_gain_a * to_a, dh + speed_gain * to_h,
        ]  # fmt: skip

    def box(self) -> Box:
        """The box as the filter believes it."""
        return to_box(*self.mean)

    def state(self) -> list[float]:
        """All 14 numbers; `load` takes them back."""
        return [*self.mean, *self.speed, *self.lengths, *self.aspect]

    @classmethod
    def load(cls, state: list[float]) -> BoxFilter:
        made = cls((0.0, 0.0, 1.0, 1.0))
        made.mean, made.speed = state[:4], state[4:8]
        a, b, c, d, e, f = state[8:]
        made.lengths, made.aspect = (a, b, c), (d, e, f)
        return made


def _later(covariance: Covariance, frames: float, position: float, speed: float) -> Covariance:
    """After ``frames``, each of which adds so much variance."""
    pp, ps, ss = covariance
    return pp + frames * (2 * ps + frames * ss + position), ps + frames * ss, ss + frames * speed


def _measured(covariance: Covariance, noise: float) -> tuple[float, float, Covariance]:
    """Gains of position and speed for a measurement of that variance, and what is left after it."""
    pp, ps, ss = covariance
    gain, speed_gain = pp / (pp + noise), ps / (pp + noise)
    return gain, speed_gain, (pp - gain * pp, ps - gain * ps, ss - speed_gain * ps)
