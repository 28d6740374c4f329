"""Faces to numbers on the CPU: look closer for landmarks, cut the face out upright, ask the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualface import zoo
from dualface.graph.types import Floats, Video
from dualface.infer.onnxruntime import OnnxSession
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


class Embedder:
    """Turns faces into numbers whose distance says how alike they are.

    Nothing is loaded before the first face. ``looks`` is how many times at most the landmarks
    are sought anew in the face turned upright, until they stay; detectors misjudge a tilted head. Used
    by one thread at a time.
    """

    def __init__(self, model: str = MODEL, *, threads: int = 1, looks: int = 4) -> None:
        self.model, self.threads, self.looks = model, threads, looks
        self._described: Described | None = None
        self._network: OnnxSession | None = None
        self._finder: OnnxSession | None = None

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

    def chips(self, picture: Any, video: Video, landmarks: Any) -> Floats:
        """What the network is shown of the same faces: ``[k, 3, size, size]``, for dlib's RGB 0..255."""
        if self._described is None:
            self._described = described(self.model)
        points, shown = self.refine(picture, video, landmarks), self._described
        if not len(points):
            return np.zeros((0, 3, shown.size, shown.size), np.float32)
        ways = [align.upright(face, video, shown.points) for face in points]
        rows = bgr_rows(video.color, video.height)[:: -1 if shown.channels == "rgb" else 1]
        chips = np.stack([align.cut_out(picture, video, way, shown.size, rows) for way in ways])
        return (chips - np.float32(shown.mean)) * np.float32(shown.scale)

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
        for session in (self._network, self._finder):
            if session is not None:
                session.close()
        self._network = self._finder = None

    def _embed(self, picture: Any, video: Video, points: Points) -> Floats:
        chips = self.chips(picture, video, points)
        if self._network is None:
            self._network = OnnxSession(zoo.onnx_path(self.model), threads=self.threads)
        session = self._network
        numbers = np.asarray(session.run({session.inputs[0]: chips})[session.outputs[0]])
        assert self._described is not None
        return self._described.finished(numbers)

    def _closer(self, picture: Any, video: Video, rows: Rows, points: Points) -> tuple[Points, Points]:
        """The landmarks found in each face turned upright, as they were where none is found; and by
        how many pixels of that look they have moved, ``[k]``."""
        if self._finder is None:
            self._finder = OnnxSession(zoo.onnx_path("yunet"), threads=self.threads)
        session, places = self._finder, align.template(LOOK, SHARE)
        ways = [align.upright(face, video, places) for face in points]
        seen = np.stack([align.cut_out(picture, video, way, LOOK, rows) for way in ways])
        found = decode(session.run({session.inputs[0]: seen}), LOOK, SURE, nms=0.3, most=4)
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
