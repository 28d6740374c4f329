"""Pictures whose shape changes in mid-film, fitted into that of the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.types import Video
from dualface.nodes.decode.pixels import Pixels, ToNv12, upright
from dualface.nodes.decode.probe import turn_of
from dualface.nodes.packed import fraction, ratio


@dataclass(frozen=True, slots=True)
class Shape:
    """What makes a picture's shape: stored size, turn (clockwise, degrees) and pixel aspect."""

    width: int
    height: int
    rotation: int = 0
    aspect: Fraction = Fraction(1)

    def numbers(self) -> tuple[int, ...]:
        """As whole numbers; `of` takes them back."""
        return self.width, self.height, self.rotation, *ratio(self.aspect)

    @staticmethod
    def of(numbers: Sequence[int]) -> Shape:
        width, height, rotation, wide, high = numbers
        return Shape(width, height, rotation, Fraction(wide, high))

    def __str__(self) -> str:
        turned = f" turned by {self.rotation} degrees" if self.rotation else ""
        return f"{self.width}x{self.height}{turned}" + (
            f" of {self.aspect.numerator}:{self.aspect.denominator} pixels" if self.aspect != 1 else ""
        )


class Shapes:
    """Tells the shape of each picture of ``stream``, of which ``video`` describes the first.

    PyAV does not give a picture's own pixel aspect, only that of what the decoder read last; it is
    that of the picture where the two are at a key picture, and changes nowhere else.
    """

    def __init__(self, video: Video, stream: Any) -> None:
        self.first = self.last = Shape(video.width, video.height, video.rotation, video.pixel_aspect)
        self.watch(stream)
        self._coded = self._codec.sample_aspect_ratio
        self._angle: int | None = None  # of the last picture that was looked at

    def watch(self, stream: Any) -> None:
        """From now on the pictures come from this ``stream``."""
        self._codec = stream.codec_context

    def of(self, frame: Any) -> Shape:
        """The shape of the next picture."""
        aspect, rotation = self.last.aspect, self.last.rotation
        if frame.key_frame:
            coded = self._codec.sample_aspect_ratio
            # The container's word, if any, was about the first.
            aspect = self.first.aspect if coded == self._coded else coded or Fraction(1)
        # PyAV keeps a picture whose side data was asked for until Python next looks for cycles.
        if frame.rotation != self._angle:
            self._angle = frame.rotation
            rotation, _ = turn_of(frame) or (rotation, "")
        if (frame.width, frame.height, rotation, aspect) != (
            self.last.width, self.last.height, self.last.rotation, self.last.aspect,
        ):  # fmt: skip
            self.last = Shape(frame.width, frame.height, rotation, aspect)
        return self.last

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        looked = (0, 0) if self._angle is None else (1, self._angle)
        return {"shape": np.array([*self.last.numbers(), *looked, *ratio(self._coded)], np.int64)}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        *shape, looked, angle, wide, high = snapshot["shape"].tolist()
        self.last = Shape.of(shape)
        self._angle = angle if looked else None
        self._coded = fraction(wide, high)


class Fitted:
    """Writes pictures of ``shape`` as NV12 of ``video``'s size; ``bars`` tells whether they leave room."""

    def __init__(self, shape: Shape, video: Video, threads: int) -> None:
        self._turn = (shape.rotation - video.rotation) % 360
        across = self._turn in (90, 270)
        width, height = (shape.height, shape.width) if across else (shape.width, shape.height)
        wide = (1 / shape.aspect if across else shape.aspect) / video.pixel_aspect * Fraction(width, height)
        self._room = video.width + video.width % 2, video.height + video.height % 2
        self._width, self._height = fit(wide, *self._room)
        self.bars = (self._width, self._height) != self._room
        size = (self._height, self._width) if across else (self._width, self._height)
        self._convert = ToNv12(replace(video, width=size[0], height=size[1]), threads)
        self._scaled = np.empty((size[1] * 3 // 2, size[0]), np.uint8)
        self._black = 0 if video.color.range == "pc" else 16

    def write(self, frame: Any, target: Pixels) -> None:
        """Fill ``target`` ``[H*3/2, W]``."""
        self._convert.write(frame, self._scaled)
        picture = upright(self._scaled, self._turn)
        width, height = self._room
        x, y = ((a - b) // 4 * 2 for a, b in ((width, self._width), (height, self._height)))
        target[:height], target[height:] = self._black, 128
        target[y : y + self._height, x : x + self._width] = picture[: self._height]
        chroma = target[height + y // 2 :][: self._height // 2]
        chroma[:, x : x + self._width] = picture[self._height :]


def fit(aspect: Fraction, width: int, height: int) -> tuple[int, int]:
    """The largest even size of an ``aspect`` (width by height) within an even size. Two bars of less
    than four lines together are none.

    >>> fit(Fraction(16, 9), 640, 480), fit(Fraction(9, 16), 640, 480), fit(Fraction(161, 120), 640, 480)
    ((640, 360), (270, 480), (640, 480))
    """
    return _even(height * aspect, width), _even(width / aspect, height)


def _even(wanted: Fraction, room: int) -> int:
    return room if room - wanted < 4 else max(2, round(wanted / 2) * 2)
