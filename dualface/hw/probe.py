"""What this machine has: GPUs by NVML, packages by what can be imported, cores and memory.

NVML comes with the driver, so nothing here needs torch or starts CUDA. What was found about the
GPUs is kept in the user's cache and used again as long as GPUs, driver and package versions are
the same.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dualface.hw import system
from dualface.hw.engines import LIBRARIES, engines, has_library
from dualface.hw.layers import Layer
from dualface.hw.nvml import ask, handles, opened, places, text
from dualface.hw.packages import PACKAGES
from dualface.hw.visible import hidden

VRAM_SHARE = 0.75  # of the smallest card; the desktop, other programs and CUDA itself need some
STREAMS = 4  # more jobs than this on one GPU gained nothing: NVDEC or NVENC is full before
STREAM_MB = 6144
SLOT_CORES = 4  # cores that one job on the CPU can keep busy
FORMAT = 1  # of the cache file


def probe(refresh: bool = False, *, packages: Iterable[str] = (), cache: Path | None = None) -> Layer:
    """The ``probed`` layer of this machine.

    ``packages`` are more import names to look for, such as those that installed nodes ask for
    (see `asked`). ``refresh`` measures again whatever the cache says; ``cache`` is the file to
    use instead of the user's. A cache that cannot be read or written is left alone.
    """
    cache = cache or _users_cache()
    with opened() as (nvml, why):
        key = {"format": FORMAT, "gpus": _identities(nvml) if nvml else [], "packages": _versions()}
        gpus = None if refresh else _cached(cache, key)
        if gpus is None:
            gpus = _gpus(nvml) if nvml else []
            _store(cache, key, gpus)
    values = _gpu_values(gpus)
    notes = _notes(gpus, values, why)
    found = sorted(name for name in {*PACKAGES, *packages} if importable(name))
    return Layer("probed", {**values, **_cpu_values(), "packages": found}, notes)


def asked(kinds: Iterable[Any]) -> frozenset[str]:
    """The import names that node kinds (`dualface.graph.registry.Kind`) ask for by default."""
    from dualface.graph.types import Memory

    names: set[str] = set()
    for kind in kinds:
        for memory in Memory:
            with contextlib.suppress(Exception):  # a kind that cannot say so is build's to report
                names.update(kind.cls.needs(kind.config(), memory).packages)
    return frozenset(names)


def importable(name: str) -> bool:
    """Whether ``import name`` would find something, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def machine_gpus() -> list[int]:
    """What the machine calls the GPUs that are numbered from 0 here; empty without NVML."""
    with opened() as (nvml, _):
        return places(nvml) if nvml else []


def _identities(nvml: Any) -> list[Any]:
    driver = text(ask(nvml.nvmlSystemGetDriverVersion, nvml))
    return [[i, text(ask(nvml.nvmlDeviceGetUUID, nvml, h)), driver] for i, h in handles(nvml)]


def _gpus(nvml: Any) -> list[dict[str, Any]]:
    found = []
    for index, handle in handles(nvml):
        name = text(ask(nvml.nvmlDeviceGetName, nvml, handle)) or "NVIDIA GPU"
        memory = ask(nvml.nvmlDeviceGetMemoryInfo, nvml, handle)
        if memory is None:
            continue
        major_minor = ask(nvml.nvmlDeviceGetCudaComputeCapability, nvml, handle) or ()
        capability = ".".join(map(str, major_minor))
        decode, encode = engines(name, capability, _encodes(nvml, handle))
        found.append(
            {
                "index": index,
                "name": name,
                "vram_mb": int(memory.total) >> 20,
                "compute_capability": capability,
                "decode_engines": decode,
                "encode_engines": encode,
            }
        )
    return found


def _encodes(nvml: Any, handle: Any) -> bool | None:
    """Whether the GPU has an H.264 encoder: a capacity above 0, ``None`` where NVML will not say."""
    try:
        return int(nvml.nvmlDeviceGetEncoderCapacity(handle, nvml.NVML_ENCODER_QUERY_H264)) > 0
    except nvml.NVMLError as error:
        return False if error.value == nvml.NVML_ERROR_NOT_SUPPORTED else None


def _versions() -> dict[str, str]:
    versions = {}
    for name in sorted({name for names in PACKAGES.values() for name in names}):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _gpu_values(gpus: list[dict[str, Any]]) -> dict[str, Any]:
    """What follows from the cards: sessions from engines, budgets from the smallest card."""
    if not gpus:
        return {"gpus": [], "features": []}
    decode, encode = (min(gpu[f"{what}_engines"] for gpu in gpus) for what in ("decode", "encode"))
    limit = min(gpu["vram_mb"] for gpu in gpus) * VRAM_SHARE
    each = int(min(STREAM_MB, limit))
    streams = max(1, min(STREAMS, int(limit // each)))
    decode, encode = decode * has_library("nvdec"), encode * has_library("nvenc")
    features = ["cuda", *["nvdec"] * bool(decode), *["nvenc"] * bool(encode)]
    return {
        "gpus": gpus,
        "features": features,
        "vram_limit_gb": round(limit / 1024, 2),
        "vram_per_stream_mb": each,
        "cuda_streams": streams,
        "decode_sessions": streams if decode else 0,
        "encode_sessions": min(streams, 2 * encode),
        "decode_batch": 8,
    }


def _notes(gpus: list[dict[str, Any]], values: Mapping[str, Any], why: str) -> tuple[str, ...]:
    if not gpus:
        return (f"No NVIDIA GPU: {why or hidden() or 'the driver shows none'}.",)
    return tuple(
        f"{gpus[0]['name']} has {feature.upper()}, but {LIBRARIES[feature][0]} cannot be loaded; in a "
        "container, start it with NVIDIA_DRIVER_CAPABILITIES=compute,video,utility."
        for feature, count in (("nvdec", "decode_engines"), ("nvenc", "encode_engines"))
        if gpus[0][count] and feature not in values["features"] and not has_library(feature)
    )


def _cpu_values() -> dict[str, Any]:
    cores = system.cpu_cores()
    return {
        "cpu_cores": cores,
        "memory_mb": system.memory_mb(),
        "cpu_slots": max(1, cores // SLOT_CORES),
    }


def _users_cache() -> Path | None:
    from dualface.paths import cache_dir

    try:
        return cache_dir() / "hardware.json"
    except OSError:
        return None


def _cached(path: Path | None, key: dict[str, Any]) -> list[dict[str, Any]] | None:
    if path is None:
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        gpus = kept["gpus"] if kept["key"] == key else None
        return (
            gpus if isinstance(gpus, list) and all(isinstance(gpu["vram_mb"], int) for gpu in gpus) else None
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(path: Path | None, key: dict[str, Any], gpus: list[dict[str, Any]]) -> None:
    if path is None:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"key": key, "gpus": gpus}, indent=1), encoding="utf-8")
        temporary.replace(path)
