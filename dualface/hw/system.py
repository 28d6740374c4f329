"""Cores and memory that this process may really use: affinity and container limits counted in."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")


def cpu_cores(cgroups: Path = CGROUPS) -> int:
    """Cores this process may run on: the affinity mask, cut to the container's CPU quota."""
    mask = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(mask(0)) if mask else psutil.cpu_count() or 1
    quota = _quota(cgroups)
    return max(1, min(cores, math.ceil(quota)) if quota else cores)


def memory_mb(cgroups: Path = CGROUPS) -> int:
    """MiB of memory: the machine's, cut to the container's limit."""
    total = psutil.virtual_memory().total
    limit = _number(cgroups / "memory.max") or _number(cgroups / "memory" / "memory.limit_in_bytes")
    return int(min(total, limit) if limit else total) >> 20


def _quota(cgroups: Path) -> float | None:
    try:  # cgroup v2: "max 100000" or "200000 100000"
        allowed, period = (cgroups / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        pass
    allowed_v1 = _number(cgroups / "cpu" / "cpu.cfs_quota_us")
    period_v1 = _number(cgroups / "cpu" / "cpu.cfs_period_us")
    return allowed_v1 / period_v1 if allowed_v1 and period_v1 else None


def _number(path: Path) -> int | None:
    try:
        value = int(path.read_text())
    except (OSError, ValueError):
        return None
    return value if value > 0 else None
