"""Pictures at the border of a node: what they must be, by their port's type and by what was asked.

Without this a node's mistake would be a strange video and a run that calls itself done. Only sizes,
types and times are looked at, once a batch; no pixel is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualface.graph.ports import PortType
from dualface.graph.types import Frames, Ints, Memory

Times = tuple[Ints, ...]


class Boundary:
    """What holds of one node's answers over one job. ``outputs`` are its ports' types."""

    def __init__(self, outputs: Mapping[str, PortType]) -> None:
        self._ports = {name: type_ for name, type_ in outputs.items() if issubclass(type_.value, Frames)}
        self.last: dict[str, int] = {}  # the time of the last picture, by output

    def times(self, inputs: Mapping[str, Any]) -> Times:
        """The times that the answer to ``inputs`` may have; any where there are none."""
        if not self._ports:
            return ()
        # Copies, which a node cannot change.
        return tuple(np.array(value.pts) for value in inputs.values() if isinstance(value, Frames))

    def fault(self, outputs: Mapping[str, Any], times: Times) -> str:
        """What is wrong with ``outputs``, to be put after the node's name, or ""."""
        for name, type_ in self._ports.items():
            value = outputs[name]
            wrong = _of_type(value, type_) or self._in_time(name, value, times)
            if wrong:
                label = f" in '{name}'" if name else ""
                return f"gave pictures{label} {wrong}"
        return ""

    def _in_time(self, name: str, value: Frames[Any, Any], times: Times) -> str:
        pts = value.pts
        if not (isinstance(pts, np.ndarray) and pts.ndim == 1 and pts.dtype.kind == "i"):
            return "whose pts are not an array of one whole number a frame"
        if times and not any(np.array_equal(pts, time) for time in times):
            return f"with the pts {_brief(pts)}, not the {_brief(times[0])} of the frames it was given"
        last = self.last.get(name)
        rising = bool((pts[1:] > pts[:-1]).all())
        if not rising or (last is not None and len(pts) and pts[0] <= last):
            after = "" if last is None else f" after {last}"
            return f"with the pts {_brief(pts)}{after}, which do not rise"
        if len(pts):
            self.last[name] = int(pts[-1])
        return ""


def _of_type(value: Frames[Any, Any], type_: PortType) -> str:
    data, video = value.data, value.video
    if type_.memory is Memory.CPU and not isinstance(data, np.ndarray):
        return f"as {type(data).__name__}, but its port is {type_}: a numpy array"
    if type_.memory is Memory.CUDA and not hasattr(data, "__cuda_array_interface__"):
        return f"as {type(data).__name__}, but its port is {type_}: an array in the GPU's memory"
    shape = tuple(getattr(data, "shape", ()))
    if not shape or shape[0] != len(value.pts):
        return f"of shape {list(shape)} for {len(value.pts)} frames"
    if type_.format is None or isinstance(type_.format, str):
        return ""
    kind = str(getattr(data, "dtype", "?")).rpartition(".")[2]  # PyTorch says torch.uint8
    if kind != type_.format.dtype:
        return f"of {kind}, but its port is {type_}: {type_.format.dtype}"
    wanted = type_.format.shape(video.width, video.height)
    if wanted is not None and shape[1:] != wanted:
        size = f"{video.width}x{video.height}"
        return f"of shape {list(shape)}, but {size} in {type_} is {[shape[0], *wanted]}"
    return ""


def _brief(pts: Ints) -> str:
    return str([int(t) for t in pts[:3]])[:-1] + (", ...]" if len(pts) > 3 else "]")
