"""A box's Kalman filter: constant speed, disturbed by accelerations that look like white noise
(Bar-Shalom, Li, Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, 6.2.2).

The state is centre, width and height with their speeds. Its noise is diagonal, so that the filter of
eight dimensions falls into four of position and speed, which plain floats compute faster than small
matrices. x and y share one covariance, width and height another.

Only the ratio of the two noises decides what such a filter does, so that the detector's jitter is the
unit: `TURN` and `SWELL` say by how many jitters the speed of a face and of its size may change in a
frame. ByteTrack's own constants let the *place* jump by a whole jitter in every frame and the speed
change by an eighth. Its filter takes most of a turn for noise and has not learned it when the face
is hidden; the two that come out behind each other then change names. docs/decisions/tracking.md has
the figures.
"""

from __future__ import annotations

TURN, SWELL = 1.0, 0.3
FIRST_SPEED = 5.0  # what the speed of a face just found may be, in jitters a frame

Box = tuple[float, float, float, float]
Covariance = tuple[float, float, float]


def to_state(box: Box) -> Box:
    """Centre x, centre y, width, height of ``x0, y0, x1, y1``."""
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, 1e-3), max(y1 - y0, 1e-3)


def to_box(x: float, y: float, width: float, height: float) -> Box:
    """The inverse of `to_state`."""
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


class BoxFilter:
    """Four filters: ``mean`` and ``speed`` ``[4]``; ``place`` and ``size``, the covariances
    (position, position with speed, speed) that x and y share, and width and height.

    Time is counted in frames of 1/30 s, variances in squares of the detector's jitter.
    """

    __slots__ = ("mean", "place", "size", "speed")

    def __init__(self, box: Box) -> None:
        self.mean = list(to_state(box))
        self.speed = [0.0] * 4
        self.place = self.size = 1.0, 0.0, FIRST_SPEED**2

    def predict(self, frames: float) -> None:
        """Let ``frames`` pass."""
        self.place = _later(self.place, frames, TURN**2)
        self.size = _later(self.size, frames, SWELL**2)
        (x, y, w, h), (dx, dy, dw, dh) = self.mean, self.speed
        # A box cannot shrink to nothing, however long nobody sees it.
        size = max(w + frames * dw, 1e-3), max(h + frames * dh, 1e-3)
        self.mean = [x + frames * dx, y + frames * dy, *size]

    def hold_size(self) -> None:
        """From now on it neither grows nor shrinks."""
        self.speed[2] = self.speed[3] = 0.0

    def update(self, box: Box) -> None:
        """Take a measurement."""
        (x, y, w, h), (dx, dy, dw, dh) = self.mean, self.speed
        gain, speed_gain, self.place = _measured(self.place)
        size_gain, size_speed_gain, self.size = _measured(self.size)
        now = to_state(box)
        to_x, to_y, to_w, to_h = now[0] - x, now[1] - y, now[2] - w, now[3] - h
        self.mean = [x + gain * to_x, y + gain * to_y, w + size_gain * to_w, h + size_gain * to_h]
        self.speed = [
            dx + speed_gain * to_x, dy + speed_gain * to_y,
            dw + size_speed_gain * to_w, dh + size_speed_gain * to_h,
        ]  # fmt: skip

    def box(self) -> Box:
        """The box as the filter believes it."""
        x, y, w, h = self.mean
        return to_box(x, y, w, h)

    def state(self) -> list[float]:
        """All 14 numbers; `load` takes them back."""
        return [*self.mean, *self.speed, *self.place, *self.size]

    @classmethod
    def load(cls, state: list[float]) -> BoxFilter:
        made = cls((0.0, 0.0, 1.0, 1.0))
        made.mean, made.speed = state[:4], state[4:8]
        a, b, c, d, e, f = state[8:]
        made.place, made.size = (a, b, c), (d, e, f)
        return made


def _later(covariance: Covariance, frames: float, noise: float) -> Covariance:
    """After ``frames``, in each of which the speed's variance grows by ``noise``."""
    pp, ps, ss = covariance
    grown = frames * noise
    return (
        pp + frames * (2 * ps + frames * (ss + grown / 3)),
        ps + frames * (ss + grown / 2),
        ss + grown,
    )


def _measured(covariance: Covariance) -> tuple[float, float, Covariance]:
    """Gains of position and speed for a measurement of variance 1, and what is left after it."""
    pp, ps, ss = covariance
    gain, speed_gain = pp / (pp + 1), ps / (pp + 1)
    return gain, speed_gain, (pp - gain * pp, ps - gain * ps, ss - speed_gain * ps)
