"""Faces cut out upright: wherever, however large and however turned they lie in the stored picture."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from dualface.graph.types import Color, Video
from dualface.nodes.detect.small import bgr_rows
from dualface.nodes.reid import align

FULL = Color(range="pc")
GREY = bgr_rows(FULL, 480)


def film(width: int = 640, height: int = 480, **more: Any) -> Video:
    return Video(width, height, Fraction(1, 25), color=FULL, **more)


def ramp(video: Video) -> Any:
    """NV12 whose luma grows to the right and downwards: 0.2 a pixel, from 10."""
    y, x = np.mgrid[: video.height, : video.width] + 0.5
    picture = np.full((video.height * 3 // 2, video.width), 128, np.uint8)
    picture[: video.height] = np.round(10 + 0.2 * x + 0.2 * y)
    return picture


def face(scale: float, degrees: float, x: float, y: float) -> Any:
    """Landmarks of a chip's size times ``scale``, rolled, around (x, y)."""
    turn = np.exp(1j * np.radians(degrees))
    points = (align.POINTS - align.CHIP / 2) @ np.array([1, 1j]) * turn * scale
    return np.column_stack([points.real + x, points.imag + y])


@pytest.mark.parametrize("scale", [0.2, 0.8, 1.0, 1.7])
@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_each_pixel_comes_from_its_place(scale: float, degrees: float) -> None:
    video = film()
    landmarks = face(scale, degrees, 300, 240)
    way = align.upright(landmarks, video, align.template(align.CHIP))
    chip = align.cut_out(ramp(video), video, way, align.CHIP, GREY)
    middles = np.stack(np.meshgrid(*[np.arange(align.CHIP) + 0.5] * 2), -1)
    at = align.apply(way, middles)
    np.testing.assert_allclose(chip[0], 10 + np.clip(at, 0.5, (639.5, 479.5)) @ (0.2, 0.2), atol=0.8)
    np.testing.assert_allclose(align.to_source(align.POINTS, video, way), landmarks, atol=1e-6)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_film_gives_the_same_face(rotation: int) -> None:
    upright = film()
    picture = ramp(upright)
    expected = align.cut_out(
        picture, upright, align.upright(face(0.9, 20, 280, 200), upright, align.template(150)), 150, GREY
    )
    stored = np.rot90(picture[:480], rotation // 90)  # shown upright by a turn clockwise
    video = film(stored.shape[1], stored.shape[0], rotation=rotation)
    turned = np.full((stored.shape[0] * 3 // 2, stored.shape[1]), 128, np.uint8)
    turned[: stored.shape[0]] = stored
    way = align.upright(face(0.9, 20, 280, 200), video, align.template(150))
    np.testing.assert_allclose(align.cut_out(turned, video, way, 150, GREY), expected, atol=0.6)


def test_wide_pixels_do_not_squeeze_a_face() -> None:
    """Half the columns, each twice as wide."""
    whole, narrow = film(), film(320, pixel_aspect=Fraction(2))
    landmarks = face(1.0, 25, 300, 240)
    chips = [
        align.cut_out(ramp(whole), whole, align.upright(landmarks, whole, align.template(150)), 150, GREY),
    ]
    picture = np.full((720, 320), 128, np.uint8)
    picture[:480] = ramp(whole)[:480].reshape(480, 320, 2).mean(-1)
    way = align.upright(landmarks / [2, 1], narrow, align.template(150))
    chips.append(align.cut_out(picture, narrow, way, 150, GREY))
    np.testing.assert_allclose(chips[1], chips[0], atol=1.5)
    np.testing.assert_allclose(align.to_source(align.POINTS, narrow, way), landmarks / [2, 1], atol=1e-6)


def test_colour_stays_where_it_is() -> None:
    """The right half is red: its edge in the chip lies where it lies in the picture."""
    video = film()
    picture = np.full((720, 640), 128, np.uint8)
    picture[480:].reshape(240, 320, 2)[:, 160:, 1] = 228
    way = align.upright(face(1.0, 0, 320, 240), video, align.template(150))
    red = align.cut_out(picture, video, way, 150, GREY)[2]
    middle = (red.min() + red.max()) / 2
    # Between chroma samples 159 and 160, at luma columns 318.5 and 320.5.
    assert np.abs((red > middle).argmax(1) - (319.5 - 245)).max() <= 1


@pytest.mark.parametrize(("x", "y"), [(0, 0), (640, 480), (-500, 240), (5000, -5000)])
@pytest.mark.parametrize("scale", [0.05, 1.0, 6.0])
def test_faces_at_and_beyond_the_edge_are_filled_up(x: float, y: float, scale: float) -> None:
    video = film()
    way = align.upright(face(scale, 40, x, y), video, align.template(150))
    chip = align.cut_out(ramp(video), video, way, 150, GREY)
    assert chip.shape == (3, 150, 150)
    assert chip.dtype == np.float32
    assert 9 <= chip.min() <= chip.max() <= 236


def test_five_equal_points_are_no_crash() -> None:
    video = film()
    way = align.upright(np.full((5, 2), 100.0), video, align.template(150))
    assert np.isfinite(align.cut_out(ramp(video), video, way, 150, GREY)).all()
