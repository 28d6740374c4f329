"""Which pictures a damaged stream lacks."""

from __future__ import annotations

from bisect import bisect_left, insort


class Missing:
    """Tells the times of packets of which no picture came, though no more of them than failed to decode: a
    packet may well have no picture of its own.

    >>> missing = Missing()
    >>> for pts in (0, 30, 10, 20):
    ...     missing.sent(pts)
    >>> missing.came(0)
    []
    >>> missing.failed()
    >>> missing.came(20), missing.came(30)
    ([10], [])
    """

    def __init__(self) -> None:
        self._due: list[int] = []  # of packets whose pictures may still come, in order
        self._failed = 0

    def sent(self, pts: int | None) -> None:
        """A packet went to the decoder."""
        if pts is not None:
            insort(self._due, pts)

    def failed(self) -> None:
        """One of those that were sent did not decode; which, need not be known."""
        self._failed += 1

    def came(self, pts: int | None) -> list[int]:
        """The times that lack a picture before the one of ``pts``. Pictures come in the order of their
        times."""
        if pts is None:
            return []
        at = bisect_left(self._due, pts)
        lack = self._due[: min(at, self._failed)]
        self._failed -= len(lack)
        shown = at < len(self._due) and self._due[at] == pts
        del self._due[: at + shown]
        return lack
