"""Going on in the middle of a film with the very picture after those that were given.

The file is read from its start again, which takes seconds an hour and leaves the demuxer exactly as it
was: no index, no timestamp and no count of packets has to be believed. Only decoding is left out, up to
a key picture before the place. Whether what it gives from there on is what it gave before is seen by
the last picture that was given; where it is not, everything is decoded again.
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from dualface.nodes.buffers import Pixels

CHANGED = "it has fewer pictures than when this job began; was it changed? Start without resume=true"
KEPT = 512  # key pictures kept in mind: more than a decoder holds where every picture is one
MARGIN = 2  # key pictures to go back: behind the nearest, pictures may still look at those before it
DELAY = 64  # packets by which one decoder may be later than another
NOWHERE = -(1 << 63)  # FFmpeg's own number for no timestamp
ROW = 1024  # numbers of 64 bits that `checksum` adds up as a vector


class Keys:
    """Where the last key pictures are in a stream: ``packet`` counts its packets from 1."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, int]] = deque(maxlen=KEPT)

    def note(self, packet: int, pts: int) -> None:
        """Packet ``packet`` has a key picture that is shown at ``pts``."""
        self._kept.append((packet, pts))

    def before(self, pts: int) -> int:
        """The packet with which to begin for all pictures from ``pts`` on; 0 where none will do.

        >>> keys = Keys()
        >>> for packet, pts in ((1, 0), (11, 100), (21, 200)):
        ...     keys.note(packet, pts)
        >>> keys.before(150), keys.before(199), keys.before(250), keys.before(50)
        (1, 1, 11, 0)
        """
        left = MARGIN
        for packet, shown in reversed(self._kept):
            left -= left < MARGIN or shown <= pts
            if not left:
                return packet
        return 0


@dataclass(frozen=True, slots=True)
class Place:
    """How far a film was given.

    ``pictures`` that were given, with the pts of the last two (`NOWHERE` where unknown) and the last
    one's `checksum` (0 where unknown); ``packets`` of the video that were read for it and for the one
    after it, FFmpeg's empty last one included, and the one to ``start`` decoding with (0: the first).
    All other packets that were read until then were given too. ``ended``: nothing is left to give.
    """

    pictures: int
    packets: int
    start: int
    before: int
    last: int
    sum: int
    ended: bool

    @staticmethod
    def of(pictures: int, reader: Any, shown: tuple[int, int], added: int, ended: bool) -> Place:
        """The place that a ``reader`` has come to; ``shown`` are the pts of the last two pictures."""
        before, last = shown
        start = reader.keys.before(before) if NOWHERE < before < last else 0
        return Place(pictures, reader.count, start, before, last, added, ended)

    def array(self) -> Any:
        """As int64; `read` takes it back."""
        return np.array(astuple(self), np.int64)

    @staticmethod
    def read(array: Any) -> Place:
        pictures, packets, start, before, last, added, ended = array.tolist()
        return Place(pictures, packets, start, before, last, added, bool(ended))


class CatchUp:
    """Waits for the last picture that was given to come again, from the packet ``place.start`` on,
    where it is told by its time; or from the first one (``counting``)."""

    def __init__(self, place: Place, *, counting: bool = False) -> None:
        self.place, self.counting, self._came, self._before = place, counting, 0, NOWHERE

    def reached(self, pts: int) -> bool:
        """Takes the next picture's pts; whether it is the one."""
        before, self._before = self._before, pts
        self._came += 1
        if self.counting:
            return self._came == self.place.pictures
        return (before, pts) == (self.place.before, self.place.last)

    def missed(self, packets: int) -> bool:
        """Whether it would have come by the time that so many ``packets`` are read."""
        return not self.counting and packets > self.place.packets + DELAY


def checksum(picture: Pixels) -> int:
    """A number that tells pictures ``[H*3/2, W]`` apart, at the speed of memory.

    >>> picture = np.zeros((90, 160), np.uint8)
    >>> before = checksum(picture)
    >>> picture[70, 3] += 1
    >>> before == checksum(picture)
    False
    """
    flat = np.ascontiguousarray(picture).reshape(-1)
    whole = len(flat) // (8 * ROW) * 8 * ROW
    added = flat[:whole].view(np.uint64).reshape(-1, ROW).sum(axis=0, dtype=np.uint64)
    return zlib.crc32(flat[whole:].data, zlib.crc32(added.data))
