"""Made-up inputs for every type of port: pictures of odd and even sizes, no faces and many,
scene changes, short batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    """The whole scenario as batches; the same every time. Optional inputs of a type that nothing
    is known about are left out; TypeError for others."""
    batches: list[Batch] = []
    first = 0
    for length in scenario.lengths:
        made = {n: _make(p, scenario, first, length, config) for n, p in inputs.items()}
        batches.append({name: value for name, value in made.items() if value is not None})
        first += length
    return batches


def complete(feed: Sequence[Batch], inputs: Mapping[str, Port], config: Any) -> list[Batch]:
    """A feed with the required inputs that it leaves out made up. Raises TypeError for an input
    that the node does not have, or where nothing says how many frames to make up."""
    given = {name for batch in feed for name in batch}
    if unknown := sorted(given - inputs.keys()):
        raise TypeError(f"feeds= names '{unknown[0]}', which is no input; they are {', '.join(inputs)}")
    missing = {n: p for n, p in inputs.items() if n not in given and not p.optional}
    lengths = tuple(map(length_of, feed))
    if missing and not all(lengths):
        names = " and ".join(f"'{name}'" for name in missing)
        raise TypeError(f"feeds= leaves {names} out, and nothing in it has a len() of one frame or more")
    scenario = replace(scenarios()[0], lengths=lengths)
    made = make_batches(scenario, missing, config)
    return [{**ours, **theirs} for ours, theirs in zip(made, feed, strict=True)]


def length_of(batch: Batch) -> int:
    """The frames of a batch: what its values that have a length have most."""
    return max((len(value) for value in batch.values() if hasattr(value, "__len__")), default=0)


def _make(port: Port, scenario: Scenario, first: int, length: int, config: Any) -> Any:
    value, index = port.type.value, np.arange(first, first + length)
    known = next((k for k in (Frames, Cuts, Shots, Faces, Tracks, People) if issubclass(k, value)), None)
    if known is Frames:
        return _frames(port, scenario, index)
    if known is Cuts:
        seconds = np.asarray(index * float(scenario.video.time_base), np.float64)
        return Cuts((index == scenario.cut) & (index > 0), seconds)
    if known is Shots:
        return _shots(scenario, length, config)
    arrays = _faces(scenario, index)
    ids = np.tile(np.arange(scenario.faces, dtype=np.int64), length)
    if known is Faces:
        return Faces(**arrays, looked=np.ones(length, np.bool_))
    if known is Tracks:
        return Tracks(**arrays, ids=ids)
    if known is People:
        return People(**arrays, ids=ids, persons=ids.copy(), sides=np.where(ids < 2, ids, NO_SIDE))
    if port.optional:
        return None
    name = value.__name__
    raise TypeError(
        f"the input '{port.name}' is of the type {name}, which check_node cannot make up; give it "
        f"feeds=, a list of runs, each a list of batches: feeds=[[{{'{port.name}': {name}(...)}}]]"
    )


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
