"""dlib's own file format: read back what was written, and say in one sentence what is damaged."""

from __future__ import annotations

import contextlib

import dlib_file
import numpy as np
import pytest

from dualface.dlib_dat import Affine, Conv, Dense, Input, layers

SMALL = ((32, False), (64, True))


def test_every_array_is_read_back() -> None:
    data, (*arrays, matrix) = dlib_file.network(blocks=SMALL)
    given, *trunk, last = layers(data)
    assert given == Input(dlib_file.MEAN, (150, 150))
    assert len(trunk) == 2 * len(arrays)
    for (weights, bias, gain, more, stride, padding), conv, affine in zip(
        arrays, trunk[::2], trunk[1::2], strict=True
    ):
        assert isinstance(conv, Conv)
        assert isinstance(affine, Affine)
        assert (conv.stride, conv.padding) == ((stride, stride), (padding, padding))
        for found, expected in ((conv.weights, weights), (conv.bias, bias), (affine.gain, gain)):
            np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(affine.bias, more)
    assert isinstance(last, Dense)
    np.testing.assert_array_equal(last.weights, matrix)


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    data, _ = dlib_file.network(blocks=((32, False),), numbers=4)
    end = len(data) - len(dlib_file.TAIL)
    for length in (*range(0, 200), *range(200, end, 997), end - 1):
        with pytest.raises(ValueError, match=r"^it is ") as caught:
            layers(data[:length])
        assert "\n" not in str(caught.value)


def test_damage_is_a_sentence_or_another_number_but_nothing_worse() -> None:
    good, _ = dlib_file.network(blocks=((32, False),), numbers=4)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        data[random.integers(len(data) if random.random() < 0.2 else 300)] = random.integers(256)
        with contextlib.suppress(ValueError):
            layers(bytes(data))
            continue
        refused += 1
    assert refused > 20


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (dlib_file.integer(2), dlib_file.integer(3), "there is no tensor at byte"),
        (dlib_file.integer(2), b"\x7f", "there is no number at byte"),
    ],
)
def test_what_is_wrong_in_a_tensor_is_named(old: bytes, new: bytes, says: str) -> None:
    data, _ = dlib_file.network(blocks=((32, False),), numbers=4)
    at = data.index(b"con_4") + 5
    assert data[at:].startswith(old)
    with pytest.raises(ValueError, match=says):
        layers(data[:at] + new + data[at + len(old) :])


def test_other_files_are_refused() -> None:
    for data in (b"", b"PK\x03\x04", bytes(5000)):
        with pytest.raises(ValueError, match=r"^it is (not a network of dlib's|damaged)"):
            layers(data)
