"""Heads to make clips of: cut out of pictures that packages carry, and of pictures and videos one names.

Nothing here is part of the repository: matplotlib's sample data has Grace Hopper, scikit-image's Eileen
Collins (public domain, US Navy and NASA). A picture gives its clearest face, a video everybody in its
first scene, with their own motion.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from dualface.zoo import weights_path

Image = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1

PICTURES = {".jpg", ".jpeg", ".png", ".webp"}
VIDEOS = {".mp4", ".mkv", ".mov", ".webm"}
FACE = 96  # height in pixels of the face in a cut-out
AROUND = (1.75, 2.0)  # width and height of a cut-out, in faces
MOST = 90  # frames of a video that are kept


@dataclass(frozen=True)
class Head:
    """A person: RGB cut-outs ``[h, w, 3]`` of one size (one, or one a frame), the face's box in each."""

    name: str
    pictures: tuple[Image, ...]
    boxes: tuple[Box, ...]

    def at(self, i: int) -> tuple[Image, Box]:
        """The cut-out of frame ``i``; a video runs to and fro, so that it never jumps."""
        n = len(self.pictures)
        i %= max(2 * n - 2, 1)
        i = i if i < n else 2 * n - 2 - i
        return self.pictures[i], self.boxes[i]


def heads(paths: Sequence[Path]) -> list[Head]:
    """Everybody in the packages' pictures and in ``paths`` (files or folders); says who has no face."""
    found = [head for picture in packaged() for head in _of_picture(picture)]
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            here = [*_of_picture(file)] if file.suffix.lower() in PICTURES else []
            here += _of_video(file) if file.suffix.lower() in VIDEOS else []
            if not here:
                print(f"{file}: no face of 40 pixels or more was found; it is left out.", file=sys.stderr)
            found += here
    return found


def packaged() -> Iterator[Path]:
    """The portraits that are installed."""
    import importlib.util

    for package, inside in (
        ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        ("skimage", "data/astronaut.png"),
    ):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / inside
            if path.is_file():
                yield path


def faces(picture: Image, least: float = 0.8) -> list[Box]:
    """Boxes of the faces in a BGR picture that are 40 pixels high or more, the largest first."""
    height, width = picture.shape[:2]
    scale = min(1.0, 960 / max(height, width))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    looker = cv2.FaceDetectorYN.create(str(weights_path("yunet")), "", small.shape[1::-1], least)
    rows = looker.detect(small)[1]
    found = [] if rows is None else [row[:4] / scale for row in rows]
    boxes = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in found if h >= 40]
    return sorted(boxes, key=lambda b: b[1] - b[3])


def _of_picture(path: Path) -> Iterator[Head]:
    picture = cv2.imread(str(path))
    found = [] if picture is None else faces(picture)
    if found:
        cut, box = _cut(picture, found[0], _height(found[0]))
        yield Head(path.stem, (cut,), (box,))


def _of_video(path: Path) -> list[Head]:
    """Everybody who is seen in all of the first `MOST` frames, or until somebody is missed."""
    people: list[list[tuple[Image, Box]]] = []
    last: list[Box] = []
    sizes: list[float] = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            picture = frame.to_ndarray(format="bgr24")
            found = faces(picture, 0.6)
            if not people:
                last, people, sizes = found, [[] for _ in found], [_height(box) for box in found]
            now = [min(found, key=lambda b: _apart(b, old), default=None) for old in last]
            if not now or any(b is None or _apart(b, old) > 0.5 for b, old in zip(now, last, strict=True)):
                break
            # The cut moves calmly; the face moves in it.
            last = [_blend(old, new) for old, new in zip(last, now, strict=True) if new is not None]
            for kept, where, box, size in zip(people, last, now, sizes, strict=True):
                kept.append(_cut(picture, where, size, box))
            if people and len(people[0]) == MOST:
                break
    return [
        Head(f"{path.stem} {k + 1}", tuple(p for p, _ in kept), tuple(b for _, b in kept))
        for k, kept in enumerate(people)
        if len(kept) >= 10
    ]


def _cut(picture: Image, around: Box, size: float, face: Box | None = None) -> tuple[Image, Box]:
    """RGB around the middle of a box, scaled so that ``size`` becomes `FACE`, and where ``face`` is in it."""
    scale = FACE / size
    width, height = (round(share * FACE) for share in AROUND)
    x, y = (around[0] + around[2]) / 2, (around[1] + around[3]) / 2 - 0.05 * size
    move = np.array([[scale, 0, width / 2 - scale * x], [0, scale, height / 2 - scale * y]])
    shrunk = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cut = cv2.warpAffine(picture, move, (width, height), flags=shrunk, borderMode=cv2.BORDER_REPLICATE)
    x0, y0, x1, y1 = face or around
    corners = [
        scale * x0 + move[0, 2],
        scale * y0 + move[1, 2],
        scale * x1 + move[0, 2],
        scale * y1 + move[1, 2],
    ]
    return np.ascontiguousarray(cut[..., ::-1]), tuple(map(float, corners))  # type: ignore[return-value]


def _height(box: Box) -> float:
    return box[3] - box[1]


def _apart(a: Box, b: Box) -> float:
    """Distance of the middles, in heights of ``b``."""
    return float(np.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2 / _height(b))


def _blend(old: Box, new: Box) -> Box:
    return tuple(0.9 * a + 0.1 * b for a, b in zip(old, new, strict=True))  # type: ignore[return-value]


def mask(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """How much of a cut-out is head, 0..1: an ellipse with a soft edge."""
    height, width = shape[:2]
    y, x = np.mgrid[:height, :width]
    away: Any = np.hypot((x - width / 2 + 0.5) / (0.42 * width), (y - height / 2 + 0.5) / (0.46 * height))
    return np.clip((1.06 - away) / 0.12, 0, 1).astype(np.float32)
