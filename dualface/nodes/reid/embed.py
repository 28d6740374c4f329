"""Faces to numbers: look closer for landmarks, cut the face out upright, ask the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dualface import zoo
from dualface.graph.types import Floats, Video
from dualface.infer.onnxruntime import OnnxSession
from dualface.infer.session import Arrays
from dualface.infer.shapes import FREE, inputs, load
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.detect.small import bgr_rows
from dualface.nodes.reid import align
from dualface.nodes.reid.described import Described, described

Points = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float64]

MODEL = "dlib-face"
LOOK = 96  # pixels a side of the closer look
SHARE = 0.75  # of it, for what recognition sees; YuNet wants the whole head
SURE = 0.5  # least score of a face in a closer look
MOVED = 1.0  # pixels of a closer look, in the mean, by which landmarks that move are sought once more
OFF = LOOK / 8  # a face whose landmarks are further off, in the mean, is somebody else's
AT_A_TIME = 8  # faces; more need not fit the processor's caches


class Networks(Protocol):
    """The two networks, where the pictures are. Both are asked about the parts of a picture
    (``[H*3/2, W]`` uint8, NV12) from which ``ways`` lead, in the channels that ``rows`` make
    (`align.cut_out`), open when they are first asked, and answer on the host, face by face."""

    def look(self, picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, size: int) -> Arrays:
        """YuNet's outputs for parts of ``size`` pixels a side."""
        ...

    def number(
        self, picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, shown: Described
    ) -> Floats:
        """The recognising network's answer ``[k, ...]``."""
        ...

    def close(self) -> None: ...


class HostNetworks:
    """Both by ONNX Runtime on one thread: a face now and then is no work for more."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[OnnxSession, int]] = {}

    def look(self, picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, size: int) -> Arrays:
        return self._run("yunet", _cut_out(picture, video, ways, rows, size))

    def number(
        self, picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, shown: Described
    ) -> Floats:
        chips = show(picture, video, ways, rows, shown)
        return next(iter(self._run(shown.name, chips).values()))

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1][0].close()

    def _run(self, model: str, shown: Floats) -> Arrays:
        if model not in self._open:
            path = zoo.onnx_path(model)
            self._open[model] = OnnxSession(path), batch_of(path)
        session, batch = self._open[model]
        if batch == FREE:
            return session.run({session.inputs[0]: shown})
        parts = []
        for first in range(0, len(shown), batch):
            some = shown[first : first + batch]
            full = np.zeros((batch, *shown.shape[1:]), np.float32)
            full[: len(some)] = some
            answers = session.run({session.inputs[0]: full})
            parts.append({name: answer[: len(some)] for name, answer in answers.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batch_of(path: Path) -> int:
    """How many faces the network in ``path`` takes at a time; `FREE`: any number."""
    return next(iter(inputs(load(path)).values()))[0]


def show(picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, shown: Described) -> Floats:
    """The faces as the network wants them, ``[k, 3, size, size]``."""
    chips = _cut_out(picture, video, ways, rows, shown.size)
    return (chips - np.float32(shown.mean)) * np.float32(shown.scale)


def _cut_out(picture: Any, video: Video, ways: list[align.Matrix], rows: Rows, size: int) -> Floats:
    return np.stack([align.cut_out(picture, video, way, size, rows) for way in ways])


class Embedder:
    """Turns faces into numbers whose distance says how alike they are.

    Nothing is loaded before the first face. ``networks`` are those on the host unless given; pictures
    have to be where they take them. ``looks`` is how many times at most the landmarks
    are sought anew in the face turned upright, until they stay; detectors misjudge a tilted head. Used
    by one thread at a time.
    """

    def __init__(self, model: str = MODEL, *, networks: Networks | None = None, looks: int = 4) -> None:
        self.model, self.looks = model, looks
        self._networks = HostNetworks() if networks is None else networks
        self._described: Described | None = None

    def embed(self, picture: Any, video: Video, landmarks: Any) -> Floats:
        """``[k, d]`` float32 (``d`` is 128 for dlib's) for the faces with ``landmarks`` ``[k, 5, 2]``
        (source pixels, as in `Faces`; finite) in ``picture`` (``[H*3/2, W]`` uint8, NV12).

        A face's numbers do not depend on the others'. Raises `zoo.ModelError` where a model is not
        installed.
        """
        points = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
        if not len(points):
            return np.zeros((0, 0), np.float32)
        parts = [points[start : start + AT_A_TIME] for start in range(0, len(points), AT_A_TIME)]
        return np.concatenate([self._embed(picture, video, part) for part in parts])

    def refine(self, picture: Any, video: Video, landmarks: Any) -> Points:
        """The landmarks ``[k, 5, 2]`` as the closer looks find them, in source pixels."""
        points = np.asarray(landmarks, np.float64).reshape(-1, 5, 2)
        rows = bgr_rows(video.color, video.height)
        moving = np.arange(len(points))
        for _ in range(self.looks):
            if not len(moving):
                break
            closer, moved = self._closer(picture, video, rows, points[moving])
            points = points.copy()
            points[moving] = closer
            moving = moving[moved > MOVED]
        return points

    def close(self) -> None:
        """Let go of the networks; they open again when they are needed."""
        self._networks.close()

    def chips(self, picture: Any, video: Video, landmarks: Any) -> Floats:
        """What the network is shown of faces in a ``picture`` on the host, as for `embed`:
        ``[k, 3, size, size]``, for dlib's RGB 0..255."""
        return show(picture, video, *self._faces(picture, video, landmarks))

    def _embed(self, picture: Any, video: Video, points: Points) -> Floats:
        ways, rows, shown = self._faces(picture, video, points)
        return shown.finished(self._networks.number(picture, video, ways, rows, shown))

    def _faces(
        self, picture: Any, video: Video, landmarks: Any
    ) -> tuple[list[align.Matrix], Rows, Described]:
        """Where the faces are, by which channels, and how the network wants them."""
        if self._described is None:
            self._described = described(self.model)
        shown = self._described
        points = self.refine(picture, video, landmarks)
        rows = bgr_rows(video.color, video.height)[:: -1 if shown.channels == "rgb" else 1]
        return [align.upright(face, video, shown.points) for face in points], rows, shown

    def _closer(self, picture: Any, video: Video, rows: Rows, points: Points) -> tuple[Points, Points]:
        """The landmarks found in each face turned upright, as they were where none is found; and by
        how many pixels of that look they have moved, ``[k]``."""
        places = align.template(LOOK, SHARE)
        ways = [align.upright(face, video, places) for face in points]
        seen = self._networks.look(picture, video, ways, rows, LOOK)
        found = decode(seen, LOOK, SURE, nms=0.3, most=4)
        closer = points.copy()
        moved = np.zeros(len(points))
        for i, (way, better) in enumerate(zip(ways, map(_middle, found), strict=True)):
            if better is not None:
                closer[i] = align.to_source(better, video, way)
                scale = np.sqrt(abs(np.linalg.det(way[:, :2])))
                moved[i] = np.abs(closer[i] - points[i]).mean() / max(scale, 1e-6)
        return closer, moved


def _middle(found: Found) -> Points | None:
    """The landmarks ``[5, 2]`` of the face that stands where it should in a closer look."""
    off = np.abs(found.landmarks - align.template(LOOK, SHARE)).mean((1, 2))
    if not len(off) or off.min() > OFF:
        return None
    return np.asarray(found.landmarks[off.argmin()], np.float64)
