"""Times in sentences."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """A time as a player shows it.

    >>> clock(75.25), clock(3600)
    ('1:15.2', '1:00:00.0')
    """
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{sign}{hours}:{minutes:02d}:{rest:04.1f}" if hours else f"{sign}{minutes}:{rest:04.1f}"
