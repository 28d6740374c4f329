"""A portrait read for enrolment: the picture, and the one face in it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Color, Faces, Floats, Frames, Video
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.yunet import Yunet

LARGEST = 2560  # pixels of the longer side that are kept
SIZE = 640  # pixels of the longer side that are searched; a portrait may show more than a head
SCORE = 0.7
RIVAL = 0.5  # of the largest face's height: a face from there on is another person, not background
LEAST = 40  # pixels of a face's height below which a portrait says too little


class Portrait(NamedTuple):
    """``picture`` ``[H*3/2, W]`` uint8, NV12; ``landmarks`` ``[1, 5, 2]`` in source pixels."""

    picture: Any
    video: Video
    landmarks: Floats


def read(path: str) -> Portrait:
    """The portrait in the picture file ``path``, whichever way up. Raises `InputError` where it cannot be
    read or does not show one face."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; name one photo in it")
    if not Path(path).is_file():
        raise InputError(f"there is no photo {path}")
    data, video = _decoded(path)
    turned = [replace(video, rotation=(video.rotation + turn) % 360) for turn in (0, 90, 180, 270)]
    # Recognition needs a face upright, and the detector is surest of one that is (0.95; 0.88 upside down).
    video, faces = max(((way, _faces(data, way)) for way in turned), key=lambda seen: _sureness(seen[1]))
    heights = faces.boxes[:, 3] - faces.boxes[:, 1]
    if not len(heights) or heights.max() < LEAST:
        few = "no face is found" if not len(heights) else f"the face is only {heights.max():.0f} pixels high"
        raise InputError(f"{few} in the photo {path}; take one that shows one person's face well")
    if (rivals := int((heights >= RIVAL * heights.max()).sum())) > 1:
        raise InputError(f"{rivals} faces are found in the photo {path}; take one that shows one person")
    best = int(np.argmax(heights))
    return Portrait(data, video, faces.landmarks[best : best + 1])


def _faces(data: Any, video: Video) -> Faces:
    job = Job("portrait", "", Path("portrait"), video, 1, 0.0, "", "nv12")
    looking = Yunet(YunetConfig(score=SCORE, size=SIZE, cut=0))
    try:
        looking.open(_context(job))
        return looking.process(Frames(data[None], np.zeros(1, np.int64), video)).faces
    finally:
        looking.close()


def _sureness(faces: Faces) -> float:
    """The score of the tallest face."""
    heights = faces.boxes[:, 3] - faces.boxes[:, 1]
    return float(faces.scores[np.argmax(heights)]) if len(heights) else 0.0


def _decoded(path: str) -> tuple[Any, Video]:
    """The first picture in the file, in NV12."""
    try:
        with av.open(path, options={"protocol_whitelist": "file"}) as file:
            frame = next(file.decode(video=0))
            turn = -frame.rotation % 360 // 90 * 90  # (a picture asked for side data outlives its file)
            rgb = frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it has no picture"
        raise InputError(f"the photo {path} cannot be read: {reason}") from None
    shrink = min(1.0, LARGEST / max(rgb.shape[:2]))
    width, height = (max(2, int(side * shrink) // 2 * 2) for side in rgb.shape[1::-1])
    planes = cv2.cvtColor(
        cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2YUV_I420
    )
    chroma = (
        planes[height:].reshape(2, height // 2, width // 2).transpose(1, 2, 0).reshape(height // 2, width)
    )
    color = Color("tv", "smpte170m")
    return np.vstack([planes[:height], chroma]), Video(
        width, height, Fraction(1, 25), rotation=turn, color=color
    )


def _context(job: Any) -> Context:
    """For nodes that are used on their own: nothing is told or written."""
    return Context(
        job, "portrait", 1, 1, lambda event: None, lambda: False, lambda path: path,
        lambda name, value: None, lambda name, value: None,
    )  # fmt: skip
