"""Figures over time: least, mean and most of each, and a time line of bounded length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

POINTS = 600  # of a time line, at most; even, so that neighbours can be joined in pairs


class Spread:
    """Least, mean and most of some numbers.

    >>> spread = Spread()
    >>> for number in (1.0, 2.0, 6.0):
    ...     spread.add(number)
    >>> spread.told()
    {'min': 1.0, 'mean': 3.0, 'max': 6.0}
    """

    def __init__(self) -> None:
        self.count, self.sum = 0, 0.0
        self.least, self.most = float("inf"), float("-inf")

    def add(self, number: float) -> None:
        self.count += 1
        self.sum += number
        self.least, self.most = min(self.least, number), max(self.most, number)

    def told(self) -> dict[str, float]:
        return {"min": self.least, "mean": self.sum / self.count, "max": self.most}


class History:
    """Takes samples as they come. A point of the time line is the mean of one sample at first; whenever
    there are `POINTS` of them, each two become one, and from then on a point takes twice as many."""

    def __init__(self, points: int = POINTS) -> None:
        self._most = points
        self._spreads: dict[str, Spread] = {}
        self._points: list[dict[str, float]] = []
        self._open: list[dict[str, float]] = []  # samples of the point that is being made
        self._stride = 1
        self.samples = 0

    def add(self, seconds: float, figures: Mapping[str, float]) -> None:
        """``figures`` by name, at ``seconds`` since the run's start; one may be missing."""
        self.samples += 1
        for name, value in figures.items():
            self._spreads.setdefault(name, Spread()).add(value)
        self._open.append({"seconds": seconds, **figures})
        if len(self._open) == self._stride:
            self._points.append(_mean(self._open))
            self._open = []
            if len(self._points) == self._most:
                pairs = zip(self._points[::2], self._points[1::2], strict=True)
                self._points = [_mean(pair) for pair in pairs]
                self._stride *= 2

    def told(self) -> dict[str, Any]:
        """Plain values: ``figures`` with their spread, ``timeline`` as one list a figure, in which None
        stands where it was not known."""
        points = [*self._points, *([_mean(self._open)] if self._open else [])]
        names = ("seconds", *self._spreads)
        return {
            "samples": self.samples,
            "figures": {name: _rounded(spread.told()) for name, spread in self._spreads.items()},
            "timeline": {name: [_round(point.get(name)) for point in points] for name in names},
        }


def _mean(points: list[dict[str, float]] | tuple[dict[str, float], ...]) -> dict[str, float]:
    """Of each figure over the points that have it."""
    spreads: dict[str, Spread] = {}
    for point in points:
        for name, value in point.items():
            spreads.setdefault(name, Spread()).add(value)
    return {name: spread.sum / spread.count for name, spread in spreads.items()}


def _rounded(told: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _round(value) for name, value in told.items()}


def _round(value: float | None) -> float | None:
    """To a hundredth: more digits than any of the figures is good for."""
    return None if value is None else round(value, 2)
