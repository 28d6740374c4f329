"""The state of a job at the beginning of a segment: made while it runs, kept in one file, taken up again.

A batch that begins a segment carries a `Mark` down the line. Each node adds its state right before it is
given that batch, so that together these states are those of a job that has dealt with every frame before
the segment and with none after: a node with look-ahead then still owes answers that all nodes behind it
have read, which is why they are dropped when the job goes on.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.running.batch import Batch
from dualface.graph.running.outcome import NodeUse
from dualface.graph.types import Frames, Ints

VERSION = 1  # raised when older files would be misread
ABOUT = "about.json"  # the entry that says what the arrays are; no node's name has a dot

Owed = tuple[int, int, tuple[Ints, ...]]  # a batch's first frame, its length, the times its answer may have


@dataclass(frozen=True, slots=True)
class Part:
    """One node's share of a checkpoint. ``owed`` are its unanswered batches, oldest first; ``last`` the
    time of its last picture by output; ``longest`` the frames of its largest batch; ``use`` what it did."""

    use: NodeUse
    snapshot: Snapshot
    owed: tuple[Owed, ...] = ()
    last: Mapping[str, int] = field(default_factory=dict)
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A job of which ``frame`` frames are done, at ``seconds`` of its source; ``origin`` is the time of
    the first of all. ``request`` tells by what request it was made: see `identity`."""

    request: str
    frame: int
    segment: int
    seconds: float
    origin: float
    parts: Mapping[str, Part]
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def done(self) -> float:
        """Seconds of the source that are done."""
        return self.seconds - self.origin

    def packed(self) -> bytes:
        """The bytes of a file, an archive of plain arrays."""
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        parts: dict[str, Any] = {}
        for name, part in self.parts.items():
            arrays.update({f"{name}/{key}": np.asarray(value) for key, value in part.snapshot.items()})
            parts[name] = {
                "use": asdict(part.use),
                "owed": [[first, length, [t.tolist() for t in times]] for first, length, times in part.owed],
                "last": dict(part.last),
                "longest": part.longest,
            }
        about = {
            "version": VERSION,
            "request": self.request,
            "frame": self.frame,
            "segment": self.segment,
            "seconds": self.seconds,
            "origin": self.origin,
            "parts": parts,
            "events": list(self.events),
        }
        arrays[ABOUT] = np.frombuffer(json.dumps(about, default=_plain).encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> Checkpoint:
        """What `packed` gave. Raises ValueError for anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            about = json.loads(arrays.pop(ABOUT).tobytes())
            if about["version"] != VERSION:
                raise ValueError("it was made by another version")
            parts = {}
            for name, told in about["parts"].items():
                mine = f"{name}/"
                snapshot = {key[len(mine) :]: value for key, value in arrays.items() if key.startswith(mine)}
                owed = tuple(
                    (int(first), int(length), tuple(np.array(t, np.int64) for t in times))
                    for first, length, times in told.pop("owed")
                )
                parts[name] = Part(NodeUse(**told.pop("use")), snapshot, owed, **told)
            return cls(
                about["request"],
                int(about["frame"]),
                int(about["segment"]),
                float(about["seconds"]),
                float(about["origin"]),
                parts,
                tuple(about["events"]),
            )
        except ValueError:
            raise
        except Exception as error:  # a damaged archive fails in many ways
            raise ValueError(f"it is damaged ({type(error).__name__})") from error


class Mark:
    """A checkpoint in the making, carried by the batch that begins its ``segment``."""

    def __init__(self, segment: int, frame: int, seconds: float, origin: float) -> None:
        self.segment, self.frame, self.seconds, self.origin = segment, frame, seconds, origin
        self.parts: dict[str, Part] = {}


class Segments:
    """Where segments begin: with the first batch at or after each ``length`` seconds of the source.

    >>> segments = Segments(10.0)
    >>> [segments.begins(t) for t in (5.0, 14.9, 15.0, 16.0, 41.0)]
    [0, 0, 1, 0, 3]
    """

    def __init__(self, length: float) -> None:
        self.length = length
        self.origin: float | None = None
        self._current = 0

    def go_on(self, origin: float, segment: int) -> None:
        self.origin, self._current = origin, segment

    def begins(self, seconds: float) -> int:
        """The number of the segment that begins with this batch; 0 where none does."""
        if self.origin is None:
            self.origin = seconds
        # A hair early: 10 s in the source's time base need not be 10.0 in binary.
        number = int((seconds - self.origin) / self.length + 1e-9)
        if number <= self._current:
            return 0
        self._current = number
        return number

    def mark(self, batch: Batch) -> Mark | None:
        """The mark of ``batch``, fresh from its source, if it begins a segment."""
        seconds = time_of(batch)
        if seconds is None:
            return None
        number = self.begins(seconds)
        assert self.origin is not None
        return Mark(number, batch.first, seconds, self.origin) if number else None


def time_of(batch: Batch) -> float | None:
    """The time of a batch's first picture, in seconds; None where it carries none."""
    for value in batch.values():
        if isinstance(value, Frames) and len(value.pts):
            return float(int(value.pts[0]) * value.video.time_base)
    return None


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
