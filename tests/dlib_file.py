"""Files in dlib's format, written by the tests, and what dlib would make of them in plain numpy."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

# The network for faces: channels of each pair of convolutions, and whether it halves the sides.
BLOCKS = (
    *[(32, False)] * 3, (64, True), *[(64, False)] * 3, (128, True),
    *[(128, False)] * 2, (256, True), *[(256, False)] * 2, (256, True),
)  # fmt: skip
MEAN, SIDE, NUMBERS = (122.75, 117.0, 104.25), 150, 128
TAIL = bytes.fromhex("0100") * 12  # more that is not read


def integer(value: int) -> bytes:
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def real(value: float) -> bytes:
    mantissa, exponent = math.frexp(value)
    return integer(int(mantissa * 2**24)) + integer(exponent - 24)


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(values: Any) -> bytes:
    flat = np.asarray(values, np.float32).ravel()
    return b"".join(map(integer, (2, flat.size, 1, 1, 1))) + struct.pack(f"<{flat.size}f", *flat)


def conv(weights: Any, bias: Any, stride: int, padding: int) -> bytes:
    sides = (len(bias), *weights.shape[2:], stride, stride, padding, padding)
    values = tensor(np.concatenate([weights.ravel(), bias]))
    return text("con_4") + values + b"".join(map(integer, sides)) + TAIL


def affine(gain: Any, bias: Any) -> bytes:
    return text("affine_") + tensor(np.concatenate([gain, bias])) + TAIL + text("relu_110") + TAIL


def network(seed: int = 0, blocks: Any = BLOCKS, numbers: int = NUMBERS) -> tuple[bytes, list[Any]]:
    """A file with random weights, and them: (weights, bias, gain, bias, stride, padding) for each
    convolution, then the matrix."""
    random = np.random.default_rng(seed)
    arrays: list[Any] = []

    def layer(out: int, inside: int, size: int, stride: int, padding: int) -> None:
        weights = random.normal(0, 1 / np.sqrt(inside * size * size), (out, inside, size, size))
        more = random.normal(0, 0.1, out), random.uniform(0.5, 1.0, out), random.normal(0, 0.1, out)
        arrays.append((*(a.astype(np.float32) for a in (weights, *more)), stride, padding))

    layer(32, 3, 7, 2, 0)
    inside = 32
    for out, halves in blocks:
        layer(out, inside, 3, *((2, 0) if halves else (1, 1)))
        layer(out, out, 3, 1, 1)
        inside = out
    matrix = random.normal(0, 0.05, (inside, numbers)).astype(np.float32)
    data = text("loss_metric_2") + TAIL + text("input_rgb_image_sized") + b"".join(map(real, MEAN))
    data += integer(SIDE) * 2 + TAIL
    for weights, bias, gain, more, stride, padding in arrays:
        data += conv(weights, bias, stride, padding) + affine(gain, more)
    data += text("fc_2") + integer(numbers) + integer(inside) + tensor(matrix) + TAIL
    return data, [*arrays, matrix]


def answer(arrays: list[Any], faces: Any) -> Any:
    """The network's numbers ``[n, numbers]`` for ``faces`` ``[n, 3, 150, 150]``, in 64 bits."""
    first, *others = arrays[:-1]
    x = (np.asarray(faces, np.float64) - np.array(MEAN)[:, None, None]) / 256
    x = _windows(np.maximum(_conv(x, *first), 0), 3, 2).max((-2, -1))
    for one, two in zip(others[::2], others[1::2], strict=True):
        y = _conv(np.maximum(_conv(x, *one), 0), *two)
        if one[4] == 2:
            x = _windows(x, 2, 2).mean((-2, -1))
        total = np.zeros(np.maximum(x.shape, y.shape))
        for part in (x, y):
            total[tuple(map(slice, part.shape))] += part
        x = np.maximum(total, 0)
    return x.mean((-2, -1)) @ arrays[-1]


def _windows(x: Any, size: int, stride: int) -> Any:
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return seen[:, :, ::stride, ::stride]


def _conv(x: Any, weights: Any, bias: Any, gain: Any, more: Any, stride: int, padding: int) -> Any:
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    seen = _windows(x, weights.shape[2], stride)
    y = np.einsum("nchwij,ocij->nohw", seen, weights.astype(np.float64), optimize=True)
    return (y + bias[:, None, None]) * gain[:, None, None] + more[:, None, None]
