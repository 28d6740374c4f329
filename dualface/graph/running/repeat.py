"""The last good answer once more, for frames that a node could not do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dualface.graph.types import Cuts, Faces, Frames, People, Shots, Tracks

PER_FACE = (Faces, Tracks, People)


def last_of(outputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """The last frame of each of ``outputs``, copied; ``None`` where there is one that cannot be repeated
    (pictures in a GPU's memory, values of a plugin's own)."""
    kept = {name: _last(value) for name, value in outputs.items()}
    return kept if kept and all(value is not None for value in kept.values()) else None


def repeated(last: Mapping[str, Any], length: int, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """``last`` for ``length`` frames, with the times of the ``inputs``; ``None`` where those tell none."""
    times = next((value for value in inputs.values() if isinstance(value, Frames | Cuts)), None)
    made = {name: _spread(value, length, times) for name, value in last.items()}
    return made if all(value is not None for value in made.values()) else None


def _last(value: Any) -> Any:
    if not len(value) if hasattr(value, "__len__") else True:
        return None
    if isinstance(value, Frames):
        if not isinstance(value.data, np.ndarray):
            return None
        return replace(value, data=value.data[-1:].copy(), pts=value.pts[-1:].copy())
    if isinstance(value, PER_FACE):
        faces, count = len(value.boxes), int(value.counts[-1])
        cut = {f.name: np.array(getattr(value, f.name)[faces - count :]) for f in fields(value)}
        cut["counts"] = np.array(value.counts[-1:])
        if isinstance(value, Faces):
            cut["looked"] = np.array(value.looked[-1:])
        return type(value)(**cut)
    if isinstance(value, Shots):
        return replace(value, crops=value.crops[-1:].copy(), blank=value.blank[-1:].copy())
    return value if isinstance(value, Cuts) else None


def _spread(value: Any, length: int, times: Frames[Any, Any] | Cuts | None) -> Any:
    if isinstance(value, Frames):
        if not isinstance(times, Frames):
            return None
        return replace(value, data=np.repeat(value.data, length, 0), pts=times.pts, first=times.first)
    if isinstance(value, PER_FACE):
        spread = {f.name: np.concatenate([getattr(value, f.name)] * length) for f in fields(value)}
        return type(value)(**spread)
    if isinstance(value, Shots):
        return replace(
            value, crops=np.repeat(value.crops, length, 0), blank=np.repeat(value.blank, length, 0)
        )
    if isinstance(value, Cuts) and times is not None:
        seconds = times.seconds() if isinstance(times, Frames) else times.seconds
        return Cuts(np.zeros(length, bool), seconds)  # nobody looked
    return None
