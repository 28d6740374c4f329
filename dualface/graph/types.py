"""What flows along an edge: the types a port can have, and the values themselves.

A port's type is a value class plus, for pixels, the pixel format and the memory they are in.
The markers below are written in the annotations of ``Node.process``::

    def process(self, frames: Frames[NV12, Cpu]) -> Faces: ...

Arrays are numpy unless a value says otherwise; coordinates are source pixels in display
orientation, ``x0, y0, x1, y1`` with the far edge exclusive. ``n`` is the number of frames in a
batch, ``k`` the number of faces in all of them together.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Memory(enum.Enum):
    """Where a value's bytes are."""

    CPU = "cpu"
    CUDA = "cuda"


class MemoryMark:
    """Base of the marks that name a memory in an annotation."""

    memory: ClassVar[Memory]


class Cpu(MemoryMark):
    """The host's memory; ``Frames.data`` is a numpy array."""

    memory = Memory.CPU


class Cuda(MemoryMark):
    """A GPU's memory; ``Frames.data`` offers ``__cuda_array_interface__``."""

    memory = Memory.CUDA


class PixelFormat:
    """Base of the marks that name a pixel layout; subclass it to bring another one.

    ``bytes_per_pixel`` counts every plane, so that ``width * height * bytes_per_pixel`` is the
    size of a frame.
    """

    name: ClassVar[str]
    dtype: ClassVar[str]
    bytes_per_pixel: ClassVar[float]

    @classmethod
    def shape(cls, width: int, height: int) -> tuple[int, ...] | None:
        """The shape of one frame of that visible size, which every batch is then held to;
        ``None`` leaves it to the nodes."""
        return None


class NV12(PixelFormat):
    """8-bit 4:2:0: a luma plane, then interleaved chroma; ``[n, H*3/2, W]`` uint8."""

    name, dtype, bytes_per_pixel = "nv12", "uint8", 1.5

    @classmethod
    def shape(cls, width: int, height: int) -> tuple[int, ...]:
        return (height + 1) // 2 * 3, (width + 1) // 2 * 2


class P010(PixelFormat):
    """10-bit 4:2:0 in the high bits of 16; ``[n, H*3/2, W]`` uint16."""

    name, dtype, bytes_per_pixel = "p010", "uint16", 3.0

    @classmethod
    def shape(cls, width: int, height: int) -> tuple[int, ...]:
        return NV12.shape(width, height)


F = TypeVar("F", bound=PixelFormat)
M = TypeVar("M", bound=MemoryMark)


@dataclass(frozen=True, slots=True)
class Color:
    """How sample values map to light, in FFmpeg's words; ``None`` where the source is silent."""

    range: str | None = None  # "tv" or "pc"
    matrix: str | None = None  # "bt709", "smpte170m", "bt2020nc", ...
    transfer: str | None = None  # "bt709", "smpte2084", "arib-std-b67", ...
    primaries: str | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """What stays the same over all frames of a stream.

    ``width`` and ``height`` are the visible size as stored, before ``rotation``; the planes may
    be one sample larger where that size is odd. ``rotation`` is the clockwise turn in degrees
    (0, 90, 180 or 270) that shows the picture upright.
    """

    width: int
    height: int
    time_base: Fraction
    frame_rate: Fraction | None = None
    rotation: int = 0
    pixel_aspect: Fraction = Fraction(1)
    color: Color = field(default_factory=Color)

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height after rotation, in stored (not yet square) pixels."""
        if self.rotation in (90, 270):
            return self.height, self.width
        return self.width, self.height

    @property
    def display_aspect(self) -> Fraction:
        """Pixel aspect ratio after rotation."""
        return 1 / self.pixel_aspect if self.rotation in (90, 270) else self.pixel_aspect


@dataclass(frozen=True, slots=True, eq=False)
class Frames(Generic[F, M]):
    """Consecutive pictures of one job.

    ``data`` is ``[n, H*3/2, W]`` in the layout of ``F`` and the memory of ``M``, with H and W
    even. ``pts`` has the ``n`` presentation times in ``video.time_base``; ``first`` is the
    index of the first frame within the job.
    """

    data: Any
    pts: Ints
    video: Video
    first: int = 0

    def __len__(self) -> int:
        return len(self.pts)

    def seconds(self) -> npt.NDArray[np.float64]:
        """Presentation times in seconds, ``[n]``."""
        return np.asarray(self.pts * float(self.video.time_base), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Scene changes on the time line: ``flags[i]`` is true where frame ``i`` is the first of a
    new scene (never the first frame of the job), ``seconds[i]`` is when it is shown; both
    ``[n]``."""

    flags: Bools
    seconds: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.flags)


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Detections, frame after frame.

    ``counts`` ``[n]`` faces in each frame; ``boxes`` ``[k, 4]``; ``scores`` ``[k]`` in 0..1;
    ``landmarks`` ``[k, 5, 2]`` (the person's right eye, left eye, nose, right and left corner of
    the mouth; somebody upright who looks at the camera has the right eye on the picture's left),
    NaN where the detector has none. ``looked`` ``[n]`` is false
    for frames that the detector skipped, whose count is then 0 whatever the picture shows.
    """

    counts: Ints
    boxes: Floats
    scores: Floats
    landmarks: Floats
    looked: Bools

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Detections linked over time: the arrays of `Faces` (boxes smoothed or predicted by the
    tracker), and for each face the ``ids`` ``[k]`` of its track. ``scores`` are 0 where a box
    is only predicted."""

    counts: Ints
    boxes: Floats
    scores: Floats
    landmarks: Floats
    ids: Ints

    def __len__(self) -> int:
        return len(self.counts)


NO_SIDE = -1


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Tracks with a person each.

    As `Tracks`, plus ``persons`` ``[k]`` (small numbers from 0, stable over the whole job) and
    ``sides`` ``[k]``: the index of the tile this face belongs in, or `NO_SIDE`. At most one
    face a frame has a given side.
    """

    counts: Ints
    boxes: Floats
    scores: Floats
    landmarks: Floats
    ids: Ints
    persons: Ints
    sides: Ints

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """What the camera shows: ``crops`` ``[n, tiles, 4]`` and ``blank`` ``[n, tiles]`` (true:
    the tile stays empty). ``tiles`` names the tiles in order."""

    tiles: tuple[str, ...]
    crops: Floats
    blank: Bools

    def __len__(self) -> int:
        return len(self.crops)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What an encoder carries over from the input beside the pictures.

    ``media`` describes the streams, tags and chapters that can be copied (the same object in
    every batch of a job); ``packets`` are the undecoded packets that the demuxer met while it
    read this batch.
    """

    media: Any
    packets: tuple[Any, ...] = ()


def spans(counts: Ints) -> Iterator[slice]:
    """The slice of the ``k`` axis that belongs to each frame.

    >>> list(spans(np.array([2, 0, 1])))
    [slice(0, 2, None), slice(2, 2, None), slice(2, 3, None)]
    """
    start = 0
    for count in counts:
        yield slice(start, start + int(count))
        start += int(count)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture within the output: its name and place in output pixels (all even)."""

    name: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The output picture: its size and its tiles, in order."""

    width: int
    height: int
    tiles: tuple[Tile, ...]
