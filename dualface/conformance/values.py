"""What must hold of every value that a node gives."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from dualface.graph.types import NO_SIDE, Cuts, Faces, Frames, People, Shots, Tracks, spans


def faults(value: Any, length: int, pts: Any = None) -> Iterator[str]:
    """What is wrong with a value that answers a batch of ``length`` frames shown at ``pts``."""
    if hasattr(value, "__len__") and len(value) != length:
        yield f"has {len(value)} frames for a batch of {length}"
        return
    if isinstance(value, Frames):
        yield from _frames(value, pts)
    elif isinstance(value, Cuts):
        yield from _shape("flags", value.flags, (length,), "bool")
        yield from _shape("seconds", value.seconds, (length,), "float64")
    elif isinstance(value, Faces | Tracks | People):
        yield from _faces(value, length)
    elif isinstance(value, Shots):
        yield from _shots(value, length)


def _frames(value: Frames[Any, Any], pts: Any) -> Iterator[str]:
    shape = tuple(value.data.shape)
    n, rows, width = shape if len(shape) == 3 else (0, 1, 1)
    if n != len(value.pts) or rows % 3 or width % 2 or rows * 2 // 3 % 2:
        yield f"pictures are {shape}, not [n, H*3/2, W] with H and W even"
    elif rows * 2 // 3 - value.video.height not in (0, 1) or width - value.video.width not in (0, 1):
        size = f"{value.video.width}x{value.video.height}"
        yield f"pictures of {width}x{rows * 2 // 3} belong to a video of {size}"
    if len(value.pts) > 1 and (np.diff(value.pts) <= 0).any():
        yield "pts do not rise"
    if pts is not None and not np.array_equal(value.pts, pts):
        yield "pts are not those of the frames it was given"


def _faces(value: Faces | Tracks | People, length: int) -> Iterator[str]:
    k = int(value.counts.sum())
    yield from _shape("counts", value.counts, (length,), "int64")
    if (value.counts < 0).any():
        yield "counts are below 0"
        return
    shapes = {"boxes": (k, 4), "scores": (k,), "landmarks": (k, 5, 2)}
    types = dict.fromkeys(shapes, "float32")
    for name in ("ids", "persons", "sides"):
        if hasattr(value, name):
            shapes[name], types[name] = (k,), "int64"
    if isinstance(value, Faces):
        shapes["looked"], types["looked"] = (length,), "bool"
    wrong = [f for n in shapes for f in _shape(n, getattr(value, n), shapes[n], types[n])]
    yield from wrong
    if wrong:
        return
    boxes = value.boxes
    if not np.isfinite(boxes).all() or (boxes[:, 2:] <= boxes[:, :2]).any():
        yield "boxes are not finite, or have no area"
    if ((value.scores < 0) | (value.scores > 1)).any():
        yield "scores leave 0..1"
    if isinstance(value, Faces) and (value.counts[~value.looked] > 0).any():
        yield "faces are found in frames that were not looked at"
    if isinstance(value, Tracks | People):
        for span in spans(value.counts):
            if len(set(value.ids[span].tolist())) < span.stop - span.start:
                yield "one track has two faces in a frame"
                break
    if isinstance(value, People):
        for span in spans(value.counts):
            sides = [side for side in value.sides[span].tolist() if side != NO_SIDE]
            persons = value.persons[span].tolist()
            if len(sides) > len(set(sides)):
                yield "two faces of a frame are on one side"
                break
            if len(persons) > len(set(persons)):
                yield "one person has two faces in a frame"
                break
        if (value.persons < 0).any():
            yield "persons are below 0"


def _shots(value: Shots, length: int) -> Iterator[str]:
    tiles = len(value.tiles)
    wrong = [*_shape("crops", value.crops, (length, tiles, 4), "float32")]
    wrong += _shape("blank", value.blank, (length, tiles), "bool")
    yield from wrong
    if not wrong:
        crops = value.crops[~value.blank]
        if not np.isfinite(crops).all() or (crops[:, 2:] <= crops[:, :2]).any():
            yield "crops are not finite, or have no area"


def _shape(name: str, array: Any, shape: tuple[int, ...], dtype: str) -> Iterator[str]:
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.name != dtype:
        found = f"{array.dtype.name} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        yield f"{name} is {found}, not {dtype} {shape}"


def same(one: Any, other: Any) -> bool:
    """Whether two values hold the same; NaN equals NaN, and what is no array is not looked into."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        # By bytes, since NaN is no landmark here and there.
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, tuple | list) and type(one) is type(other):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    plain = int | float | str | np.generic | None
    if isinstance(one, plain) and isinstance(other, plain):
        return bool(one == other or (one != one and other != other))
    return type(one) is type(other) and _bytes(one) == _bytes(other)


def _bytes(value: Any) -> bytes | None:
    """The bytes of what holds some, as a packet does."""
    try:
        return bytes(memoryview(value))
    except TypeError:
        return None


def copied(value: Any) -> Any:
    """A value with its arrays copied: batches come from pools, and are written again."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple | list):
        parts = [copied(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: copied(part) for key, part in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        twin = copy.copy(value)
        for field in dataclasses.fields(value):
            # Not by replace(): a type of one's own may compute fields, or check them.
            object.__setattr__(twin, field.name, copied(getattr(value, field.name)))
        return twin
    return value
