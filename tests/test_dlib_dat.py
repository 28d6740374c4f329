"""dlib's own file format: read back what was written, and say in one sentence what is damaged."""

from __future__ import annotations

import contextlib
import tracemalloc

import dlib_file
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.convert_onnx import apply
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


GOOD, _ = dlib_file.network(blocks=((32, False),), numbers=4)
MARKS = [GOOD.index(name) + len(name) for name in (b"sized", b"con_4", b"affine_", b"fc_2")]
HOSTILE = [
    *map(dlib_file.integer, (0, 1, -1, 255, 4096, 1 << 20, 1 << 26, (1 << 26) + 1, 1 << 60, -(1 << 60))),
    b"\xff" * 9, b"\x08" + b"\xff" * 8, b"\x00", dlib_file.text("con_4"), dlib_file.text("fc_2"), bytes(600),
]  # fmt: skip


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, len(GOOD)), st.builds(int.__add__, st.sampled_from(MARKS), st.integers(0, 40))
            ),
            st.sampled_from(HOSTILE),
            st.integers(0, 10),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_huge_header_fills_no_memory(changes: list[tuple[int, bytes, int]]) -> None:
    data = GOOD
    for at, written, dropped in changes:
        data = data[:at] + written + data[at + dropped :]
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        apply(data, ["dlib_face_resnet"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(data) + (4 << 20)


@pytest.mark.parametrize(
    ("at", "ints", "says"),
    [
        ("sized", 6, "is 4096, which is no size"),  # a picture: 64 MiB for each of 32 channels
        ("con_4", 0, "there is no tensor at byte"),
    ],
)
def test_what_would_take_gigabytes_to_run_is_refused(at: str, ints: int, says: str) -> None:
    place = GOOD.index(at.encode()) + len(at)
    for _ in range(ints):
        place += 1 + (GOOD[place] & 0x0F)
    data = GOOD[:place] + dlib_file.integer(4096) + GOOD[place + 1 + (GOOD[place] & 0x0F) :]
    with pytest.raises(ValueError, match=says):
        layers(data)


def test_a_padding_of_thousands_is_refused() -> None:
    sides = b"".join(map(dlib_file.integer, (32, 7, 7, 2, 2, 0, 0)))
    huge = b"".join(map(dlib_file.integer, (32, 7, 7, 2, 2, 1 << 20, 0)))
    with pytest.raises(ValueError, match="is 1048576, which is no size"):
        layers(GOOD.replace(sides, huge, 1))


def test_a_network_that_leaves_nothing_of_the_picture_is_refused() -> None:
    sides = dlib_file.integer(dlib_file.SIDE) * 2
    with pytest.raises(ValueError, match="leave nothing of the picture"):
        apply(GOOD.replace(sides, dlib_file.integer(5) * 2, 1), ["dlib_face_resnet"])
