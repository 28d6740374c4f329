"""The jobs of a run under the machine's pressure: who pauses, who is given up, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.hw.pressure import ROOM, Full, Limits, State, step
from dualface.hw.sampling import TROUBLE, Gpu, Sample
from dualface.hw.tally import Tally


@dataclass(frozen=True, slots=True)
class Places:
    """Where a run's jobs are: the GPU of each slot that has one, the disks that each job writes to, by
    the job's index, and a folder on each disk."""

    gpus: Mapping[str, int]
    disks: Mapping[int, tuple[int, ...]]
    folders: Sequence[Path]


class Pacing:
    """A `dualface.graph.running.pace.Pace` that follows the samples it is handed.

    A full disk holds all jobs that write there. Throttling pauses the jobs of a GPU that started last;
    a lack of VRAM only keeps slots from their next job: one that pauses keeps its memory.
    """

    def __init__(self, limits: Limits, places: Places, tally: Tally) -> None:
        self._limits, self._places, self._tally = limits, places, tally
        self._state = State()
        self._gpus: dict[int, Gpu] = {}
        self._hopeless: frozenset[int] = frozenset()  # disks for which no job waits any longer
        self._given_up: dict[int, str] = {}  # why, by the job's index
        self._began: float | None = None
        self.events: list[dict[str, Any]] = []  # ``seconds`` since the first sample, and ``message``

    def take(self, sample: Sample) -> None:
        """Go by ``sample`` from now on. Always called on the same thread."""
        before, after = self._state, step(self._state, sample, self._limits)
        self._began = sample.seconds if self._began is None else self._began
        self._gpus = {gpu.index: gpu for gpu in sample.gpus}
        self._hopeless &= after.full.keys()
        for disk, full in after.full.items():
            if full.lost > (before.full[disk].lost if disk in before.full else 0):
                self._give_up(disk)
        self._state = after
        told = [*self._of_disks(before, after), *self._of_slots(before, after)]
        self.events += [{"seconds": sample.seconds - self._began, "message": message} for message in told]

    def hold(self, slot: str, job: Job) -> str | None:
        """See `Pace`."""
        state = self._state
        if job.index in self._given_up:
            raise InputError(self._given_up[job.index])
        running = self._tally.running
        for disk in self._places.disks.get(job.index, ()):
            if disk in self._hopeless and job.index not in running:
                # For good, as a slot will now take it in order to tell so.
                raise InputError(self._given_up.setdefault(job.index, self._lost(disk)))
            if disk in state.full:
                return self._full(disk, state.full[disk])
        gpu = self._places.gpus.get(slot)
        if gpu is None:
            return None
        taken = state.taken(gpu, "throttle")
        if job.index not in running:
            taken = max(taken, state.taken(gpu, "vram"))
        if not taken:
            return None
        there = [index for index, other in running.items() if self._places.gpus.get(other) == gpu]
        place = there.index(job.index) if job.index in there else len(there)
        return self._slower(state, gpu) if place >= self._limits.slots.get(gpu, 1) - taken else None

    def _give_up(self, disk: int) -> None:
        """The job there that started last, which has the least to lose; what it does not keep for another
        run makes room for others. Where none runs, those that wait are not to go on waiting."""
        there = [n for n in self._tally.running if disk in self._places.disks.get(n, ())]
        last = next((n for n in reversed(there) if n not in self._given_up), None)
        if last is not None:
            self._given_up[last] = self._lost(disk)
        elif not there:
            self._hopeless |= {disk}

    def _lost(self, disk: int) -> str:
        least, patience = self._limits.disk_mb, self._limits.patience or 0
        return (
            f"{self._places.folders[disk]} has had less than {least:g} MiB free (monitor.disk_mb) for "
            f"{patience:g} s (monitor.patience): the job is given up. Make room and run it again."
        )

    def _full(self, disk: int, full: Full) -> str:
        least = self._limits.disk_mb
        return (
            f"only {full.free_mb:.0f} MiB are free in {self._places.folders[disk]} "
            f"(monitor.disk_mb={least:g}); it goes on with {least * ROOM:.0f} MiB."
        )

    def _slower(self, state: State, gpu: int) -> str:
        slots = self._limits.slots.get(gpu, 1)
        causes = []
        if taken := state.taken(gpu, "throttle"):
            reasons = sorted(TROUBLE & set((self._gpus[gpu].throttle if gpu in self._gpus else None) or ()))
            causes.append(f"GPU {gpu} holds its clock down" + (f" ({', '.join(reasons)})" if reasons else ""))
        if state.taken(gpu, "vram"):
            causes.append(
                f"GPU {gpu} has little memory left (monitor.vram_percent={self._limits.vram_percent:g})"
            )
        taken = max(taken, state.taken(gpu, "vram"))
        return f"{' and '.join(causes)}; {slots - taken} of its {slots} slots go on."

    def _of_disks(self, before: State, after: State) -> list[str]:
        told = [self._full(disk, full) for disk, full in after.full.items() if disk not in before.full]
        told += [
            f"{self._places.folders[disk]} has room again." for disk in before.full if disk not in after.full
        ]
        return [message[0].upper() + message[1:] for message in told]

    def _of_slots(self, before: State, after: State) -> list[str]:
        told = []
        for (gpu, cause), slower in after.slower.items():
            change = slower.taken - before.taken(gpu, cause)
            if change > 0:
                told.append(self._slower(after, gpu))
            elif change < 0:
                why = "its clock is free" if cause == "throttle" else "it has memory"
                told.append(f"GPU {gpu} gets a slot back: {why} again.")
        return told
