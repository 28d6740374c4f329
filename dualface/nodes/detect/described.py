"""A user's own face detector as its descriptor describes it (models/README.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualface import zoo
from dualface.graph.types import Video
from dualface.nodes.descriptors import PictureFile, number, picture_file, said, section
from dualface.nodes.detect.small import STEP, Size, SmallPlan, bgr_rows, plan_small
from dualface.nodes.detect.yolo_heads import HEADS
from dualface.zoo import ModelError

NODE = "detect/yolo"
KEYS = ("head", "size", "channels", "scale", "fill")


@dataclass(frozen=True, slots=True)
class Described:
    """The ``detector`` of a descriptor: the head's kind, the size (width, height) of the picture
    it is shown, its channels (``rgb`` or ``bgr``) from 0 to ``white``, and what is beside the
    picture."""

    name: str
    head: str
    size: Size
    channels: str
    white: float
    fill: float

    def rows(self, video: Video) -> npt.NDArray[np.float64]:
        """Weights of Y, U, V and 1 for each channel, ``[3, 4]``."""
        rows = bgr_rows(video.color, video.height) * (self.white / 255)
        return rows[::-1] if self.channels == "rgb" else rows


def described(name: str) -> Described:
    """What the descriptor of the model called ``name`` says. Raises `ModelError`."""
    values, where = section(zoo.find(name), "detector", KEYS, NODE)
    head, size = str(values.get("head")), zoo.size_of(values.get("size"))
    if head not in HEADS:
        raise ModelError(f"{where}.head is {said(values, 'head')}; it is {' or '.join(HEADS)}")
    if size is None or any(side % STEP or not side for side in size):
        raise ModelError(
            f"{where}.size is {said(values, 'size')}; it is width x height in multiples of {STEP}, "
            "such as 640x640"
        )
    channels = values.get("channels", "rgb")
    if channels not in ("rgb", "bgr"):
        raise ModelError(f"{where}.channels is {channels}; it is rgb or bgr")
    scale, fill = number(values, "scale", "1/255"), number(values, "fill", "114")
    if scale is None or scale <= 0:
        raise ModelError(f"{where}.scale is {said(values, 'scale')}; it is a number above 0, such as 1/255")
    if fill is None or not 0 <= fill <= 255:
        raise ModelError(f"{where}.fill is {said(values, 'fill')}; it is a grey level from 0 to 255")
    return Described(name, head, size, channels, 255 * scale, fill * scale)


def opened(model: Described) -> PictureFile:
    """The verified file of ``model``. Raises `ModelError` where it is not what is described."""
    return picture_file(model.name, model.size, NODE, "detector")


def plan_of(file: PictureFile, model: Described, video: Video) -> SmallPlan:
    """The small picture to show: all of its size where the sides are fixed."""
    return plan_small(video, model.size, whole=not file.free)
