"""What networks answer to faces on a GPU: which kernel of faces.cu reads it, and what it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualface.nodes.detect.heads import STRIDES
from dualface.nodes.detect.yolo_heads import HEADS, V5, shape_of

SOURCE = Path(__file__).with_name("faces.cu")
VALUES = 15  # of a face: score, box, five landmarks
PICK = np.dtype(
    {
        "names": ["candidates", "most", "least", "overlap", "scratch", "out"],
        "formats": ["i4", "i4", "f4", "f4", "u8", "u8"],
    },
    align=True,
)
CELLS = np.dtype(
    {
        "names": ["cls", "obj", "bbox", "kps", "cells", "across", "stride"],
        "formats": [("u8", (3,))] * 4 + [("i4", (3,))] * 3,
    },
    align=True,
)
NUMBERS = np.dtype(
    {
        "names": ["answer", "by_picture", "by_candidate", "by_number", "times", "landmark"],
        "formats": ["u8", "i8", "i4", "i4", "i4", "i4"],
    },
    align=True,
)


@dataclass(frozen=True)
class Answer:
    """The kernel that reads it, its first argument, and the candidates in each picture."""

    kernel: str
    record: Any
    candidates: int


def cells(outputs: Mapping[str, Any], width: int, height: int) -> Answer:
    """YuNet's twelve arrays of pictures ``width x height``."""
    record = np.zeros((), CELLS)
    for name in ("cls", "obj", "bbox", "kps"):
        record[name] = [outputs[f"{name}_{s}"].data.ptr for s in STRIDES]
    record["across"], record["stride"] = [width // s for s in STRIDES], STRIDES
    record["cells"] = [(width // s) * (height // s) for s in STRIDES]
    return Answer("faces_of_cells", record, int(record["cells"].sum()))


def numbers(outputs: Mapping[str, Any], head: str, name: str) -> Answer:
    """A YOLO network's first output, as `decode_yolo` reads it. Raises `ModelError`, which calls
    the model ``name``, where it is not that of such a ``head``."""
    answer = next(iter(outputs.values()))
    candidates, each = shape_of(answer.shape, head, name)
    record = np.zeros((), NUMBERS)
    record["answer"], record["by_picture"] = answer.data.ptr, candidates * each
    record["by_candidate"], record["by_number"] = (each, 1) if head == V5 else (1, candidates)
    record["times"] = each - 1 if head == V5 else -1
    record["landmark"] = HEADS[head][each]
    return Answer("faces_of_numbers", record, candidates)
