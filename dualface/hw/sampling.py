"""One look at the machine: GPUs by NVML, CPU and memory by psutil, free disk space by the system.

Whatever cannot be told, because a driver refuses it or a folder is gone, is None and left out of what
is made of it. Nothing here starts CUDA.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from dualface.hw.nvml import ask, handles, opened

MB = 1 << 20
RELIST = 10.0  # seconds between two looks for child processes: each reads the list of all processes

# NVML's reasons for a clock below what was asked for (nvml.h, nvmlClocksEventReasons), by their bits.
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
# Those that mean trouble. A power cap does not: a card that has much to do runs into it all day.
TROUBLE = frozenset({"hardware slowdown", "thermal slowdown", "hardware thermal slowdown", "power brake"})


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, by the number that CUDA gives it here. ``throttle`` are the words of `REASONS` that
    hold its clock down now; None where the driver does not tell."""

    index: int
    load_percent: float | None = None
    decoder_percent: float | None = None
    encoder_percent: float | None = None
    vram_used_mb: float | None = None
    vram_total_mb: float | None = None
    celsius: float | None = None
    watts: float | None = None
    throttle: tuple[str, ...] | None = None

    @property
    def throttled(self) -> float | None:
        """1 while the clock is held down by what means trouble, else 0."""
        return None if self.throttle is None else float(bool(TROUBLE & set(self.throttle)))


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine at ``seconds`` of a monotonic clock. ``cpu_percent`` is of all cores, and
    ``process_cpu_percent`` of one (200: two cores' worth); this process counts with its children, whose
    shared pages ``process_memory_mb`` counts several times. ``free_mb`` is by disk."""

    seconds: float
    cpu_percent: float | None = None
    process_cpu_percent: float | None = None
    memory_used_mb: float | None = None
    process_memory_mb: float | None = None
    free_mb: tuple[float | None, ...] = ()
    gpus: tuple[Gpu, ...] = ()

    def figures(self) -> dict[str, float]:
        """What is known, by name: ``cpu_percent``, ``disk0_free_mb``, ``gpu0_celsius`` and so on."""
        told: dict[str, float | None] = {field.name: getattr(self, field.name) for field in fields(self)[1:5]}
        told |= {f"disk{number}_free_mb": free for number, free in enumerate(self.free_mb)}
        for gpu in self.gpus:
            told |= {f"gpu{gpu.index}_{field.name}": getattr(gpu, field.name) for field in fields(gpu)[1:8]}
            told[f"gpu{gpu.index}_throttled"] = gpu.throttled
        return {name: float(value) for name, value in told.items() if value is not None}


def disks(folders: Iterable[Path]) -> dict[Path, int]:
    """The number of the disk that each of ``folders`` is on; they are numbered as they come."""
    numbers: dict[object, int] = {}
    return {folder: numbers.setdefault(_device(folder), len(numbers)) for folder in folders}


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    return shutil.disk_usage(folder).free


class Sampler:
    """Looks at the machine when called, always on the same thread; to be closed. ``folders`` holds one of
    each disk, ``free`` answers how many bytes are free in one."""

    def __init__(self, folders: Iterable[Path], free: Callable[[Path], int] = free_bytes) -> None:
        self._folders, self._free = tuple(folders), free
        self._left = contextlib.ExitStack()
        self._nvml, self.no_gpu = self._left.enter_context(opened())
        self._gpus = list(handles(self._nvml)) if self._nvml else []
        self._own = _Processes()
        self._asked = False

    def __call__(self) -> Sample:
        cpu, memory = _try(psutil.cpu_percent), _try(psutil.virtual_memory)
        busy, resident = self._own.look()
        first, self._asked = not self._asked, True
        return Sample(
            time.monotonic(),
            None if first else cpu,  # which is of the time since it was asked last
            busy,
            None if memory is None else (memory.total - memory.available) / MB,
            resident,
            tuple(None if (n := _try(self._free, folder)) is None else n / MB for folder in self._folders),
            tuple(self._gpu(index, handle) for index, handle in self._gpus),
        )

    def close(self) -> None:
        self._left.close()

    def _gpu(self, index: int, handle: Any) -> Gpu:
        nvml = self._nvml

        def told(name: str, *args: Any) -> Any:
            call = getattr(nvml, f"nvmlDeviceGet{name}", None)
            return None if call is None else ask(call, nvml, handle, *args)

        load, memory = told("UtilizationRates"), told("MemoryInfo")
        decoder, encoder = told("DecoderUtilization"), told("EncoderUtilization")
        power, bits = told("PowerUsage"), told("CurrentClocksEventReasons")
        if bits is None:  # as drivers before 535 call them
            bits = told("CurrentClocksThrottleReasons")
        return Gpu(
            index,
            None if load is None else load.gpu,
            None if decoder is None else decoder[0],  # the second is the length of the measurement
            None if encoder is None else encoder[0],
            None if memory is None else memory.used / MB,
            None if memory is None else memory.total / MB,
            told("Temperature", 0),  # of the chip: NVML_TEMPERATURE_GPU
            None if power is None else power / 1000,
            None if bits is None else tuple(word for bit, word in REASONS.items() if bits & bit),
        )


class _Processes:
    """This process and its children: CPU time and memory, summed up."""

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._all = [self._own]
        self._listed = float("-inf")
        self._times: dict[int, float] = {}
        self._at = 0.0

    def look(self) -> tuple[float | None, float | None]:
        """Percent of one core since the last look, MiB in RAM."""
        now = time.monotonic()
        if now - self._listed >= RELIST:
            children = _try(self._own.children, True) or []
            self._all, self._listed = [self._own, *children], now
        times: dict[int, float] = {}
        resident = 0
        for process in self._all:
            used, memory = _try(process.cpu_times), _try(process.memory_info)
            if used is not None and memory is not None:  # it has not ended meanwhile
                times[process.pid] = used.user + used.system
                resident += memory.rss
        known = [spent - self._times[pid] for pid, spent in times.items() if pid in self._times]
        busy = 100 * sum(known) / (now - self._at) if known and now > self._at else None
        self._times, self._at = times, now
        return busy, resident / MB if times else None


def _device(folder: Path) -> object:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return folder  # by itself


def _try(call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    except (OSError, psutil.Error):
        return None
