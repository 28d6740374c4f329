"""What is known of an input as plain values and back, for another process to say."""

from __future__ import annotations

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.job import Job, Limits, Stream
from dualface.graph.node import Snapshot
from dualface.graph.types import Color, Video

EXACT = ("time_base", "frame_rate", "pixel_aspect")


def plain_video(video: Video) -> dict[str, Any]:
    """``video`` as values that JSON has."""
    values = asdict(video)
    return values | {key: None if values[key] is None else str(values[key]) for key in EXACT}


def video_from(plain: dict[str, Any]) -> Video:
    """The video that `plain_video` told of. Raises TypeError, ValueError or KeyError for other values."""
    exact = {key: None if plain[key] is None else Fraction(plain[key]) for key in EXACT}
    return Video(**{**plain, **exact, "color": Color(**plain["color"])})


def plain_job(job: Job) -> dict[str, Any]:
    """``job`` as values that JSON has."""
    return {**asdict(job), "output": str(job.output), "video": plain_video(job.video)}


def job_from(plain: dict[str, Any]) -> Job:
    """The job that `plain_job` told of. Raises TypeError, ValueError or KeyError for other values."""
    return Job(
        **{
            **plain,
            "output": Path(plain["output"]),
            "video": video_from(plain["video"]),
            "streams": tuple(Stream(**one) for one in plain["streams"]),
            "protocols": tuple(plain["protocols"]),
            "limits": Limits(**plain["limits"]),
        }
    )


def plain_arrays(arrays: Snapshot) -> dict[str, Any]:
    """Arrays of numbers or words as values that JSON has."""
    return {name: [array.dtype.str, array.shape, array.ravel().tolist()] for name, array in arrays.items()}


def arrays_from(plain: dict[str, Any]) -> Snapshot:
    """The arrays that `plain_arrays` told of. Raises TypeError or ValueError for other values."""
    return {name: np.array(values, kind).reshape(shape) for name, (kind, shape, values) in plain.items()}
