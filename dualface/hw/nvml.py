"""NVML, which comes with the driver: asked without torch or CUDA, and without trusting that it answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from dualface.hw.visible import shown


@contextlib.contextmanager
def opened() -> Iterator[tuple[Any, str]]:
    """The initialised pynvml module, or None and why not."""
    try:
        import pynvml
    except ImportError:
        yield None, "nvidia-ml-py is not installed"
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        yield None, f"the NVIDIA driver does not answer ({error})"
        return
    try:
        yield pynvml, ""
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def handles(nvml: Any) -> Iterator[tuple[int, Any]]:
    """Each GPU that CUDA shows and that answers; one that has fallen off the bus does not take the
    others down."""
    for index, place in enumerate(places(nvml)):
        handle = ask(nvml.nvmlDeviceGetHandleByIndex, nvml, place)
        if handle is not None:
            yield index, handle


def places(nvml: Any) -> list[int]:
    """What the machine calls the GPUs that are numbered from 0 here."""
    count = ask(nvml.nvmlDeviceGetCount, nvml) or 0
    found = [ask(nvml.nvmlDeviceGetHandleByIndex, nvml, place) for place in range(count)]
    return shown(["" if h is None else text(ask(nvml.nvmlDeviceGetUUID, nvml, h)) for h in found])


def ask(call: Any, nvml: Any, *args: Any) -> Any:
    """What ``call(*args)`` answers; None where the driver refuses."""
    try:
        return call(*args)
    except nvml.NVMLError:
        return None


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
