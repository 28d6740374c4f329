"""A portrait read for enrolment: the picture, and the one face in it."""

from __future__ import annotations

import os
import stat
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
from dualface.nodes.decode.source import ffmpeg_name
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.yunet import Yunet

FORMATS = (  # where a file has which bytes, and FFmpeg's reader for it
    (0, b"\xff\xd8\xff", "jpeg_pipe"), (0, b"\x89PNG\r\n", "png_pipe"), (8, b"WEBP", "webp_pipe"),
    (0, b"BM", "bmp_pipe"), (0, b"II*\0", "tiff_pipe"), (0, b"MM\0*", "tiff_pipe"), (0, b"GIF8", "gif"),
    (4, b"jP  ", "j2k_pipe"), (4, b"ftyp", "mov"),
)  # fmt: skip
LONGEST = 256 << 20  # bytes of a photo
MOST = 128_000_000  # pixels of a photo: some telephones take 108 million; they fill half a gigabyte
STREAMS = 64  # parts of a photo, such as the tiles of an HEIF
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
    form = _format(path)
    # Tiles are a stream each; the limit is to hold in all of them, also while FFmpeg probes.
    limit: Any = {"max_pixels": str(MOST)}  # (PyAV's types say text)
    reach = {"protocol_whitelist": "file", "max_streams": str(STREAMS)}
    try:
        with av.open(
            ffmpeg_name(path), format=form, container_options=reach, stream_options=[limit] * STREAMS
        ) as file:
            file.streams.video[0].codec_context.options = limit
            frame = next(file.decode(video=0))
            turn = -frame.rotation % 360 // 90 * 90  # (a picture asked for side data outlives its file)
            rgb = frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or "it has no picture"
        # FFmpeg's for a picture beyond the limit, too.
        if isinstance(error, av.error.ArgumentError | av.error.InvalidDataError):
            reason = f"it is damaged, or has more than {MOST // 10**6} megapixels"
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


def _format(path: str) -> str:
    """FFmpeg's reader for the photo ``path``, by its first bytes: left to itself, FFmpeg goes by the name,
    and takes a list of other files for a picture."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"{path} is a folder; name one photo in it")
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"the photo {path} is no file; name a picture")
        if found.st_size > LONGEST:
            raise InputError(f"the photo {path} has more than {LONGEST >> 20} MiB; take a smaller one")
        with open(path, "rb") as file:
            head = file.read(12)
    except (FileNotFoundError, ValueError):  # (no name holds a NUL)
        raise InputError(f"there is no photo {path}") from None
    except OSError as error:
        raise InputError(f"the photo {path} cannot be read: {error.strerror}") from None
    for at, mark, form in FORMATS:
        if head[at:].startswith(mark):
            return form
    raise InputError(f"{path} is no photo that can be read; save it as JPEG or PNG")


def _context(job: Any) -> Context:
    """For nodes that are used on their own: nothing is told or written."""
    return Context(
        job, "portrait", 1, 1, lambda event: None, lambda: False, lambda path: path,
        lambda name, value: None, lambda name, value: None,
    )  # fmt: skip
