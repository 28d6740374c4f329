"""Made-up inputs for every type of port: pictures of odd and even sizes, no faces and many,
scene changes, short batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.job import Job
from dualface.graph.ports import Port
from dualface.graph.types import (
    NO_SIDE,
    P010,
    Cuts,
    Faces,
    Frames,
    Layout,
    People,
    Shots,
    Tracks,
    Video,
)

Batch = Mapping[str, Any]  # a value for each input


@dataclass(frozen=True, slots=True)
class Scenario:
    """A short video that never was: its size, the lengths of its batches, the faces in each
    frame, and the frame with a scene change (none where 0)."""

    name: str
    video: Video
    lengths: tuple[int, ...]
    faces: int
    cut: int = 0


def scenarios() -> tuple[Scenario, ...]:
    """What every node must be able to take."""
    tick, rate = Fraction(1, 30), Fraction(30)
    even, odd = Video(320, 240, tick, rate), Video(321, 241, tick, rate)
    upright = Video(320, 240, tick, rate, rotation=90)
    return (
        Scenario("two faces and a cut", even, (4, 4, 4, 4, 2), 2, cut=9),
        Scenario("odd size, one frame a batch", odd, (1,) * 5, 1, cut=2),
        Scenario("nobody", even, (4, 4, 1), 0),
        Scenario("a crowd, on its side", upright, (8, 8, 3), 7),
        Scenario("a single frame", odd, (1,), 2),
    )


def long_enough(frames: int) -> Scenario:
    """One in which a node that remembers ``frames`` can be started late and warm up."""
    video = Video(160, 120, Fraction(1, 30), Fraction(30))
    return Scenario(f"{frames} frames and more", video, (8,) * (frames // 8 + 4), 2)


def make_job(video: Video, frames: int, folder: Path, source: str = "made-up.mp4") -> Job:
    """A job for a video that is not there."""
    output = folder / "made-up_dual.mp4"
    return Job("made-up", source, output, video, frames, frames / 30, "h264", "yuv420p")


def make_batches(scenario: Scenario, inputs: Mapping[str, Port], config: Any) -> list[Batch]:
    """The whole scenario as batches; the same every time. Raises TypeError for a type of port
    that nothing is known about."""
    batches: list[Batch] = []
    first = 0
    for length in scenario.lengths:
        batches.append({n: _make(p, scenario, first, length, config) for n, p in inputs.items()})
        first += length
    return batches


def _make(port: Port, scenario: Scenario, first: int, length: int, config: Any) -> Any:
    value, index = port.type.value, np.arange(first, first + length)
    if issubclass(value, Frames):
        return _frames(port, scenario, index)
    if issubclass(value, Cuts):
        seconds = np.asarray(index * float(scenario.video.time_base), np.float64)
        return Cuts((index == scenario.cut) & (index > 0), seconds)
    if issubclass(value, Shots):
        return _shots(scenario, length, config)
    arrays = _faces(scenario, index)
    ids = np.tile(np.arange(scenario.faces, dtype=np.int64), length)
    if issubclass(value, Faces):
        return Faces(**arrays, looked=np.ones(length, np.bool_))
    if issubclass(value, Tracks):
        return Tracks(**arrays, ids=ids)
    if issubclass(value, People):
        return People(**arrays, ids=ids, persons=ids.copy(), sides=np.where(ids < 2, ids, NO_SIDE))
    raise TypeError(f"nothing is known about {value.__name__}; give check_node feeds= for '{port.name}'")


def _frames(port: Port, scenario: Scenario, index: np.ndarray[Any, Any]) -> Frames[Any, Any]:
    video = scenario.video
    width, height = video.width + video.width % 2, video.height + video.height % 2
    random = np.random.default_rng(int(index[0]))
    data = random.integers(16, 120, (len(index), height * 3 // 2, width), np.uint8)
    for picture, moment in zip(data, index, strict=True):
        left = 10 + 4 * int(moment) % (width // 2)
        picture[height // 4 : height // 2, left : left + width // 5] = 220
        if scenario.cut and moment >= scenario.cut:
            picture[:height] = 235 - picture[:height]
    if port.type.format is P010:
        data = np.left_shift(data, 8, dtype=np.uint16)
    return Frames(data, index.astype(np.int64), video, int(index[0]))


def _faces(scenario: Scenario, index: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Faces side by side that sway a little."""
    width, height = scenario.video.display_size
    n, k = len(index), scenario.faces
    size = width / (2 * max(k, 2))
    centre = (np.arange(k) + 0.5) * width / max(k, 1) + 3 * np.sin(index[:, None] / 5)
    x0 = np.clip(centre - size / 2, 0, width - size)
    y0 = np.full_like(x0, height * 0.25)
    boxes = np.stack([x0, y0, x0 + size, y0 + size], -1).reshape(-1, 4).astype(np.float32)
    five = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    return {
        "counts": np.full(n, k, np.int64),
        "boxes": boxes,
        "scores": np.full(n * k, 0.9, np.float32),
        "landmarks": boxes[:, None, :2] + five * np.float32(size),
    }


def _shots(scenario: Scenario, length: int, config: Any) -> Shots:
    layout = getattr(config, "layout", None)
    tiles = tuple(t.name for t in layout.tiles) if isinstance(layout, Layout) else ("left", "right")
    width, height = scenario.video.display_size
    crop = np.array([width * 0.25, height * 0.25, width * 0.75, height * 0.75], np.float32)
    blank = np.zeros((length, len(tiles)), np.bool_)
    blank[-1:, -1:] = True
    return Shots(tiles, np.tile(crop, (length, len(tiles), 1)), blank)
