"""What must hold between the values of a layer, and between a layer and the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dualface.graph.hardware import Gpu
from dualface.hw.keys import GPU_FEATURES

Chosen = Mapping[str, tuple[Any, str]]  # key → value, layer

# GeForce drivers open at most 12 encode sessions on a machine; workstation and data-centre cards
# have no limit (NVIDIA, Video Encode and Decode GPU Support Matrix, 2026).
GEFORCE_ENCODE_SESSIONS = 12
# A "32 GB" card shows 32607 MiB or a little less, depending on driver and ECC; "128 GB" of memory is
# short of what the kernel keeps.
TOLERANCE = 0.03


class Machine(Protocol):
    """What was measured here: a layer."""

    @property
    def values(self) -> Mapping[str, Any]: ...


def depends(key: str) -> frozenset[str]:
    """The keys that decide whether a value of ``key`` fits."""
    return frozenset(_CHECKS[key][1]) if key in _CHECKS else frozenset()


def misfit(key: str, value: Any, layer: str, chosen: Chosen) -> str:
    """Why ``value`` does not go with what is chosen already; "" where it does."""
    return _CHECKS[key][0](value, layer, chosen) if key in _CHECKS else ""


def _features(value: tuple[str, ...], layer: str, chosen: Chosen) -> str:
    gpus: tuple[Gpu, ...] = chosen["gpus"][0] if "gpus" in chosen else ()
    asked = GPU_FEATURES & set(value)
    if asked and not gpus:
        return f"{_list(asked)} need a GPU and there is none to use"
    if asked and "cuda" not in asked:
        return f"{_list(asked)} cannot be had without 'cuda'"
    # Sessions are counted on each GPU: one that has none would be given jobs it cannot do.
    for gpu in gpus:
        for feature, engines in (("nvdec", gpu.decode_engines), ("nvenc", gpu.encode_engines)):
            if feature in asked and not engines:
                return f"{gpu.name} has no {feature.upper()} engine"
    return ""


def _cpu_slots(value: int, layer: str, chosen: Chosen) -> str:
    cores, given = chosen.get("cpu_cores", (value, ""))
    # The fallback's one core is a guess; what the machine has is in `too_much`.
    if value <= cores or (given == "fallback" and layer != given):
        return ""
    return f"a job needs a core, and hw.cpu_cores is {cores}"


def _vram_limit(value: float, layer: str, chosen: Chosen) -> str:
    smallest = min(chosen["gpus"][0], key=lambda gpu: (gpu.vram_mb, gpu.index))
    if value * 1024 > smallest.vram_mb:
        return f"{smallest.name} has only {smallest.vram_mb / 1024:.1f} GB"
    return ""


def _vram_per_stream(value: int, layer: str, chosen: Chosen) -> str:
    limit = _limit_mb(chosen)
    return f"it is more than hw.vram_limit_gb allows ({limit} MB)" if value > limit else ""


def _streams(value: int, layer: str, chosen: Chosen) -> str:
    if value < 1:
        return "a GPU needs at least 1"
    # Only a layer that contradicts itself is wrong; values of two layers meet in the scheduler,
    # which counts VRAM as one more limit.
    each, limit = chosen.get("vram_per_stream_mb", (0, "")), _limit_mb(chosen)
    if each[1] == layer == chosen["vram_limit_gb"][1] and value * each[0] > limit:
        return f"{value} streams of {each[0]} MB are more than its VRAM limit of {limit} MB"
    return ""


def _limit_mb(chosen: Chosen) -> int:
    return int(chosen["vram_limit_gb"][0] * 1024) if "vram_limit_gb" in chosen else 0


def _decode(value: int, layer: str, chosen: Chosen) -> str:
    return _sessions(value, "nvdec", chosen)


def _encode(value: int, layer: str, chosen: Chosen) -> str:
    gpus: tuple[Gpu, ...] = chosen["gpus"][0]
    if value > GEFORCE_ENCODE_SESSIONS and "GeForce" in gpus[0].name:
        return f"the driver opens at most {GEFORCE_ENCODE_SESSIONS} encode sessions on {gpus[0].name}"
    return _sessions(value, "nvenc", chosen)


def _sessions(value: int, feature: str, chosen: Chosen) -> str:
    has = feature in chosen["features"][0] if "features" in chosen else False
    if has and value < 1:
        return f"with {feature} in hw.features it must be at least 1"
    if not has and value > 0 and not _engines(feature, chosen):
        return f"{chosen['gpus'][0][0].name} has no {feature.upper()} engine"
    return ""


def _engines(feature: str, chosen: Chosen) -> int:
    return sum(g.decode_engines if feature == "nvdec" else g.encode_engines for g in chosen["gpus"][0])


# What is checked, and the keys that it is checked against.
_CHECKS: Mapping[str, tuple[Callable[[Any, str, Chosen], str], tuple[str, ...]]] = {
    "features": (_features, ("gpus",)),
    "cpu_slots": (_cpu_slots, ("cpu_cores",)),
    "vram_limit_gb": (_vram_limit, ("gpus",)),
    "vram_per_stream_mb": (_vram_per_stream, ("gpus", "vram_limit_gb")),
    "cuda_streams": (_streams, ("gpus", "vram_limit_gb", "vram_per_stream_mb")),
    "decode_sessions": (_decode, ("gpus", "features")),
    "encode_sessions": (_encode, ("gpus", "features")),
}


def too_much(key: str, value: Any, machine: Machine | None) -> str:
    """Why this machine cannot give ``value``; "" where it can or where nothing was measured."""
    have: Mapping[str, Any] = machine.values if machine else {}
    if key == "gpus":
        return _gpus_missing(value, have.get("gpus", []))
    if key == "cpu_slots" and value > have.get("cpu_cores", value):
        return f"a job needs a core, and this machine has {have['cpu_cores']}"
    if key not in have:
        return ""
    if key in ("features", "packages"):
        missing = [word for word in value if word not in have[key]]
        return f"{_list(missing)} {'is' if len(missing) == 1 else 'are'} not here" if missing else ""
    slack = 1 + TOLERANCE if key == "memory_mb" else 1
    if key in ("cpu_cores", "memory_mb") and value > have[key] * slack:
        return f"this machine has {have[key]}"
    return ""


def _gpus_missing(value: tuple[Gpu, ...], here: list[Mapping[str, Any]]) -> str:
    if value and not here:
        return "no NVIDIA GPU was found on this machine"
    by_index = {gpu["index"]: gpu for gpu in here}
    for gpu in value:
        if gpu.index not in by_index:
            return f"this machine has no GPU {gpu.index} (it has {len(here)})"
        real = by_index[gpu.index]
        if gpu.vram_mb > real["vram_mb"] * (1 + TOLERANCE):
            return f"GPU {gpu.index} here is {real['name']} with {real['vram_mb']} MB of VRAM"
        if real["name"] != gpu.name and gpu.compute_capability not in ("", real.get("compute_capability")):
            return f"GPU {gpu.index} here is {real['name']} (compute {real.get('compute_capability')})"
        for key, what in (("decode_engines", "NVDEC"), ("encode_engines", "NVENC")):
            if getattr(gpu, key) > real.get(key, 0):
                return f"GPU {gpu.index} here, {real['name']}, has {real.get(key, 0)} {what} engines"
    return ""


def _list(words: Any) -> str:
    return ", ".join(sorted(words))
