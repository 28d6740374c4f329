"""A box's Kalman filter, as ByteTrack has it.

The state is centre, aspect and height with their speeds. Its noise is diagonal, so that the
8-dimensional filter of the paper falls into four filters of position and speed, which plain
floats compute faster than small matrices. Noise grows with the box's height: 1/20 of it for
positions, 1/160 a frame for speeds (Wojke et al., DeepSORT, 2017; Zhang et al., ByteTrack, 2022);
aspect has constants of its own.
"""

from __future__ import annotations

POSITION, SPEED = 1 / 20, 1 / 160
ASPECT_MEASURED, ASPECT_FIRST, ASPECT_STEP, ASPECT_SPEED = 1e-1, 1e-2, 1e-2, 1e-5

Box = tuple[float, float, float, float]


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
    """Four filters: ``mean`` and ``speed`` ``[4]``, covariances ``pp``, ``ps``, ``ss`` ``[4]``.

    Time is counted in frames of 1/30 s.
    """

    __slots__ = ("mean", "pp", "ps", "speed", "ss")

    def __init__(self, box: Box) -> None:
        self.mean = list(to_state(box))
        self.speed = [0.0] * 4
        position, speed = (2 * POSITION * self.mean[3]) ** 2, (10 * SPEED * self.mean[3]) ** 2
        self.pp = [position, position, ASPECT_FIRST**2, position]
        self.ps = [0.0] * 4
        self.ss = [speed, speed, ASPECT_SPEED**2, speed]

    def predict(self, frames: float) -> None:
        """Let ``frames`` pass."""
        height = self.mean[3]
        position, speed = (POSITION * height) ** 2, (SPEED * height) ** 2
        for i in range(4):
            self.mean[i] += frames * self.speed[i]
            self.pp[i] += frames * (2 * self.ps[i] + frames * self.ss[i])
            self.ps[i] += frames * self.ss[i]
            self.pp[i] += frames * (ASPECT_STEP**2 if i == 2 else position)
            self.ss[i] += frames * (ASPECT_SPEED**2 if i == 2 else speed)
        # A box cannot shrink to nothing, however long nobody sees it.
        self.mean[2], self.mean[3] = max(self.mean[2], 1e-3), max(self.mean[3], 1e-3)

    def update(self, box: Box) -> None:
        """Take a measurement."""
        noise = (POSITION * self.mean[3]) ** 2
        for i, measured in enumerate(to_state(box)):
            total = self.pp[i] + (ASPECT_MEASURED**2 if i == 2 else noise)
            gain, speed_gain = self.pp[i] / total, self.ps[i] / total
            gap = measured - self.mean[i]
            self.mean[i] += gain * gap
            self.speed[i] += speed_gain * gap
            self.ss[i] -= speed_gain * self.ps[i]
            self.ps[i] -= gain * self.ps[i]
            self.pp[i] -= gain * self.pp[i]

    def box(self) -> Box:
        """The box as the filter believes it."""
        return to_box(*self.mean)

    def state(self) -> list[float]:
        """All 20 numbers; `load` takes them back."""
        return [*self.mean, *self.speed, *self.pp, *self.ps, *self.ss]

    @classmethod
    def load(cls, state: list[float]) -> BoxFilter:
        made = cls((0.0, 0.0, 1.0, 1.0))
        made.mean, made.speed, made.pp, made.ps, made.ss = (state[i : i + 4] for i in range(0, 20, 4))
        return made
