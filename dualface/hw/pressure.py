"""What the machine's state means for the jobs: a pure step from one sample to the next.

Every rule has two thresholds, or a time that it waits, so that a figure at the border does not make jobs
stop and go: a full disk is free again only with a quarter more than the least; a GPU has to be under
pressure for a while before a job less runs on it, and calm for longer before a job more does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dualface.hw.sampling import Gpu, Sample

ROOM = 1.25  # times the least free space, from which on jobs go on
SETTLE = 10.0  # seconds between two jobs given up on a disk: the file of the first has to be gone
PRESSED = 5.0  # seconds of pressure before a slot is taken away, and before the next one is
VRAM_ROOM = 5.0  # percent below the limit, under which there is no pressure any more

Cause = Literal["throttle", "vram"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the user set: ``disk_mb`` MiB that stay free (0: whatever is left), ``vram_percent`` of a GPU's
    memory from which on there is pressure (100: never), whether throttling counts, ``calm`` seconds
    without pressure that give a slot back, ``patience`` seconds that jobs wait for a disk (None: for
    ever). ``slots`` is how many jobs run at a time, by GPU."""

    disk_mb: float = 512
    vram_percent: float = 95
    throttle: bool = True
    calm: float = 60
    patience: float | None = 3600
    slots: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Full:
    """A disk with too little room ``since`` that second, ``free_mb`` now; ``lost`` jobs have to be given
    up by now."""

    since: float
    free_mb: float
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Slower:
    """``taken`` slots of a GPU rest. ``since`` then it is pressed (1), calm (-1) or neither (0), or the
    last slot was taken or given back."""

    taken: int = 0
    now: int = -1
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What holds after a sample: the disks that are full, and the slots that rest by GPU and cause."""

    full: Mapping[int, Full] = field(default_factory=dict)
    slower: Mapping[tuple[int, Cause], Slower] = field(default_factory=dict)

    def taken(self, gpu: int, cause: Cause) -> int:
        """How many slots of ``gpu`` rest because of ``cause``."""
        return self.slower.get((gpu, cause), Slower()).taken


def step(before: State, sample: Sample, limits: Limits) -> State:
    """The state after ``sample``. What a sample does not know is not held against anybody."""
    now = sample.seconds
    full = {
        disk: found
        for disk, free in enumerate(sample.free_mb)
        if free is not None and (found := _disk(before.full.get(disk), free, now, limits))
    }
    slower: dict[tuple[int, Cause], Slower] = {}
    for gpu in sample.gpus:
        pressures: dict[Cause, int] = {"throttle": _throttle(gpu, limits), "vram": _vram(gpu, limits)}
        for cause, pressure in pressures.items():
            old = before.slower.get((gpu.index, cause), Slower(since=now))
            slower[gpu.index, cause] = _slots(old, pressure, now, limits, limits.slots.get(gpu.index, 1))
    return State(full, slower)


def _disk(old: Full | None, free: float, now: float, limits: Limits) -> Full | None:
    if free >= limits.disk_mb * (1.0 if old is None else ROOM):
        return None
    since = now if old is None else old.since
    late = -1.0 if limits.patience is None else now - since - limits.patience
    return Full(since, free, 0 if late < 0 else 1 + int(late // SETTLE))


def _throttle(gpu: Gpu, limits: Limits) -> int:
    return 1 if limits.throttle and gpu.throttled else -1


def _vram(gpu: Gpu, limits: Limits) -> int:
    if gpu.vram_used_mb is None or not gpu.vram_total_mb or limits.vram_percent >= 100:
        return -1
    used = 100 * gpu.vram_used_mb / gpu.vram_total_mb
    return 1 if used >= limits.vram_percent else -1 if used < limits.vram_percent - VRAM_ROOM else 0


def _slots(old: Slower, pressure: int, now: float, limits: Limits, slots: int) -> Slower:
    if pressure != old.now:
        return Slower(old.taken, pressure, now)
    if pressure > 0 and now - old.since >= PRESSED and old.taken < slots - 1:
        return Slower(old.taken + 1, pressure, now)
    if pressure < 0 and now - old.since >= limits.calm and old.taken:
        return Slower(old.taken - 1, pressure, now)
    return old
