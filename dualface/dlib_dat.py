"""Networks as dlib writes them (``.dat``): the arrays of each layer with weights.

The file is a stream without an index. Integers are a control byte (0x80: negative; low 4 bits:
how many bytes follow) and a little-endian magnitude, floats a mantissa and a binary exponent,
texts a length and bytes, tensors the number 2, four sides and raw float32. A layer begins with
its name; what lies between two layers with weights (activations, sums, sides of views) is short
and is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

GAP = 512  # bytes at most between two layers with weights
LARGEST = 1 << 26  # numbers in a tensor; the largest network for faces has 6 million in all
PICTURE = 1024  # pixels of a side that a network may be made for; those for faces take 150
STEP = 16  # pixels at most of a stride, of a padding


@dataclass(frozen=True, slots=True)
class Input:
    """Pictures of ``size`` (width, height), RGB 0..255, of which ``mean`` is taken away."""

    mean: tuple[float, float, float]
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution: ``weights`` ``[out, in, height, width]``, ``bias`` ``[out]``; ``stride`` and
    ``padding`` are (down, across)."""

    weights: Array
    bias: Array
    stride: tuple[int, int]
    padding: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Affine:
    """A factor ``gain`` and a sum ``bias`` for each channel, ``[channels]`` each."""

    gain: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Dense:
    """A matrix product: ``weights`` ``[in, out]``."""

    weights: Array


Layer = Input | Conv | Affine | Dense


def layers(data: bytes) -> list[Layer]:
    """The input and the layers with weights, from input to output.

    Raises ValueError with one sentence where ``data`` is no such file or is damaged.
    """
    reader = _Reader(data)
    found: list[Layer] = []
    while (name := reader.next_name()) is not None:
        found.append(READERS[name](reader, found))
    if not found or not isinstance(found[0], Input) or not isinstance(found[-1], Dense):
        raise ValueError("it is not a network of dlib's that turns a face into numbers, or is cut off")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def next_name(self) -> str | None:
        """Go behind the next name of a layer that is known; None at the end."""
        near = self.data[self.at : self.at + GAP]
        places = {name: near.find(bytes([1, len(name)]) + name.encode()) for name in READERS}
        found = {name: place for name, place in places.items() if place >= 0}
        if not found:
            if len(self.data) - self.at > GAP:
                raise ValueError(f"it is damaged: no layer begins within {GAP} bytes of byte {self.at}")
            return None
        name = min(found, key=lambda name: found[name])
        self.at += found[name] + 2 + len(name)
        return name

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise ValueError(f"it is cut off: byte {self.at + count} of {len(self.data)} is needed")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        at, control = self.at, self.take(1)[0]
        size = control & 0x0F
        if control & 0x70 or size > 8:
            raise ValueError(f"it is damaged: there is no number at byte {at}")
        value = int.from_bytes(self.take(size), "little")
        return -value if control & 0x80 else value

    def side(self, most: int = LARGEST) -> int:
        """A whole number from 0 to ``most``."""
        at, value = self.at, self.integer()
        if not 0 <= value <= most:
            raise ValueError(f"it is damaged: at byte {at} is {value}, which is no size")
        return value

    def real(self) -> float:
        at, mantissa, exponent = self.at, self.integer(), self.integer()
        if abs(exponent) > 1000:  # 32000 and more stand for infinities and what is no number
            raise ValueError(f"it is damaged: there is no finite number at byte {at}")
        return math.ldexp(mantissa, exponent)

    def tensor(self) -> Array:
        at = self.at
        version, shape = self.integer(), [self.side() for _ in range(4)]
        if version != 2 or math.prod(shape) > LARGEST:
            raise ValueError(f"it is damaged: there is no tensor at byte {at}")
        values = np.frombuffer(self.take(4 * math.prod(shape)), "<f4").astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"it is damaged: the tensor at byte {at} has values that are no numbers")
        return values.reshape(shape)


def _input(reader: _Reader, before: list[Layer]) -> Input:
    red, green, blue = (reader.real() for _ in range(3))
    height, width = reader.side(PICTURE), reader.side(PICTURE)
    return Input((red, green, blue), (width, height))


def _conv(reader: _Reader, before: list[Layer]) -> Conv:
    at, values = reader.at, reader.tensor().reshape(-1)
    out, height, width = (reader.side() for _ in range(3))
    down, across, above, beside = (reader.side(STEP) for _ in range(4))
    body = len(values) - out
    if min(out, height, width, down, across) < 1 or body < 1 or body % (out * height * width):
        raise ValueError(
            f"it is damaged: the convolution at byte {at} does not fit its {len(values)} weights"
        )
    weights = values[:body].reshape(out, -1, height, width)
    return Conv(weights, values[body:], (down, across), (above, beside))


def _affine(reader: _Reader, before: list[Layer]) -> Affine:
    at, values = reader.at, reader.tensor().reshape(-1)
    channels = len(before[-1].bias) if before and isinstance(before[-1], Conv) else 0
    if not channels or len(values) != 2 * channels:
        raise ValueError(f"it is damaged: the factors at byte {at} do not fit the layer before")
    return Affine(values[:channels], values[channels:])


def _dense(reader: _Reader, before: list[Layer]) -> Dense:
    at, out, inside = reader.at, reader.side(), reader.side()
    values = reader.tensor()
    if not out or values.size != out * inside:
        raise ValueError(f"it is damaged: the matrix at byte {at} is not {inside} x {out}, or has a bias")
    return Dense(values.reshape(inside, out))


READERS: Mapping[str, Callable[[_Reader, list[Layer]], Layer]] = {
    "input_rgb_image_sized": _input,
    "con_4": _conv,
    "affine_": _affine,
    "fc_2": _dense,
}
