"""compose/cpu against a slow float reference, and against what eyes would notice."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Color, Frames, Layout, Shots, Tile, Video
from dualface.nodes.compose.cpu import ComposeConfig, ComposeCpu, stored
from dualface.nodes.compose.resample import NEAR, Resampler, align

ONE = Layout(96, 108, (Tile("one", 0, 0, 96, 108),))


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    a, b, c = np.random.default_rng(seed).uniform(0.05, 0.2, 3)
    return np.round(128 + 55 * np.sin(a * x + b * y) + 45 * np.cos(c * x - a * y)).astype(np.uint8)


def bilinear(plane: np.ndarray, box: tuple[float, ...], size: tuple[int, int]) -> np.ndarray:
    width, height = size
    x = box[0] + (np.arange(width) + 0.5) * (box[2] - box[0]) / width - 0.5
    y = box[1] + (np.arange(height) + 0.5) * (box[3] - box[1]) / height - 0.5
    x, y = x.clip(0, plane.shape[1] - 1), y.clip(0, plane.shape[0] - 1)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, plane.shape[1] - 1), np.minimum(y0 + 1, plane.shape[0] - 1)
    fx, fy = x - x0, (y - y0)[:, None]
    rows = plane.astype(float)
    top = rows[y0][:, x0] * (1 - fx) + rows[y0][:, x1] * fx
    low = rows[y1][:, x0] * (1 - fx) + rows[y1][:, x1] * fx
    return top * (1 - fy) + low * fy


def run(video: Video, crops: list[tuple[float, ...]], layout: Layout = ONE, blank: bool = False,
        data: np.ndarray | None = None) -> Frames:  # fmt: skip
    node = ComposeCpu(ComposeConfig(layout))
    job = Job("x", "x", Path("y"), video, 1, 0.0, "h264", "yuv420p")
    node.open(Context(job, "compose", 4, 1, lambda e: None, lambda: False, lambda p: p,
                      lambda n, v: None, lambda n, v: None))  # fmt: skip
    height, width = video.height + video.height % 2, video.width + video.width % 2
    if data is None:
        data = np.concatenate([smooth(height, width), smooth(height // 2, width, 1)])
    shots = Shots(tuple(t.name for t in layout.tiles), np.array([crops], np.float32),
                  np.full((1, len(crops)), blank))  # fmt: skip
    return node.process(Frames(data[None], np.array([7]), video, 3), shots)


@pytest.mark.parametrize(
    "box",
    [(20, 30, 68, 84), (20.3, 30.7, 68.9, 85.375), (0, 0, 96, 108), (3.25, 5.5, 173.25, 196.75),
     (0, 10, 160, 190), (-6, -4, 58, 68)],
    ids=str,
)  # fmt: skip
def test_a_crop_at_any_place_and_zoom_matches_the_reference(box: tuple[float, ...]) -> None:
    plane, out = smooth(200, 200), np.zeros((108, 96), np.uint8)
    Resampler()(plane, box, out)  # type: ignore[arg-type]
    error = out - bilinear(plane, box, (96, 108))
    assert np.abs(error).mean() < 1.0
    assert np.abs(error).max() < 6
    assert abs(error.mean()) < 0.3


def test_tenths_of_a_pixel_move_the_picture_by_tenths() -> None:
    plane, pictures = smooth(200, 200), []
    for step in range(31):
        out = np.zeros((96, 96), np.uint8)
        Resampler()(plane, (40 + step / 10, 5, 88 + step / 10, 53), out)
        pictures.append(out.astype(float))
    moved = []
    for one, two in pairwise(pictures):
        slope = np.gradient((one + two) / 2, axis=1)
        moved.append(((two - one) * slope).sum() / (slope**2).sum() / 2)  # enlarged twice
    assert np.allclose(moved, 0.1, atol=0.04)


@given(st.floats(-50, 2000), st.floats(16, 2000), st.integers(2, 1920))
def test_whole_pixels_around_a_crop_put_it_where_it_belongs(begin: float, length: float, size: int) -> None:
    end = begin + length
    span = align(begin, end, size)
    if span is None:
        return
    # How far the tile's two ends lie from where they should, in pixels of the tile.
    pixels = (span.last - span.first) / span.size
    for edge, wanted in ((span.before, begin), (span.before + size, end)):
        assert abs(span.first + edge * pixels - wanted) * size / length <= 2.5 * NEAR
    assert span.first <= begin + NEAR * length / size
    assert end - NEAR * length / size <= span.last
    assert 0 <= span.before <= span.size - size


def test_fine_detail_is_averaged_away_when_it_is_reduced() -> None:
    plane = np.tile(np.array([0, 255], np.uint8), (240, 120))
    for box in ((0, 0, 240, 240), (0.5, 0.5, 239.0, 239.0)):
        out = np.zeros((60, 60), np.uint8)
        Resampler()(plane, box, out)  # type: ignore[arg-type]
        assert np.abs(out[4:-4, 4:-4].astype(float) - 127.5).max() < 20


def test_what_the_output_says_of_itself() -> None:
    video = Video(200, 200, Fraction(1, 30), Fraction(30), 90, Fraction(4, 3), Color("pc", "bt709"))
    made = run(video, [(0, 0, 48, 54)])
    assert made.data.shape == (1, 162, 96)
    assert (made.video.width, made.video.height, made.video.rotation) == (96, 108, 0)
    assert made.video.pixel_aspect == 1
    assert made.video.color == video.color
    assert made.first == 3
    assert list(made.pts) == [7]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_turned_source_shows_what_the_upright_one_shows(rotation: int) -> None:
    upright = np.concatenate([smooth(120, 100), smooth(60, 100, 1)])
    turns = rotation // 90  # stored + clockwise turn = upright, so stored is turned the other way
    luma = np.rot90(upright[:120], turns)
    chroma = np.rot90(upright[120:].reshape(60, 50, 2), turns)
    data = np.concatenate([luma, chroma.reshape(luma.shape[0] // 2, luma.shape[1])])
    video = Video(luma.shape[1], luma.shape[0], Fraction(1, 30), rotation=rotation)
    box = (10.0, 14.0, 58.0, 68.0)
    want = run(Video(100, 120, Fraction(1, 30)), [box], data=upright).data[0].astype(int)
    got = run(video, [box], data=np.ascontiguousarray(data)).data[0].astype(int)
    assert np.abs(want - got)[:108].max() <= 2
    assert np.abs(want - got)[108:].mean() < 2.5  # chroma's siting turns with the picture
    assert stored(np.array([0, 0, 100, 120], np.float32), video) == (0, 0, video.width, video.height)


@pytest.mark.parametrize(("colour", "black"), [("tv", 16), (None, 16), ("pc", 0)])
def test_blank_tiles_and_gaps_are_black(colour: str | None, black: int) -> None:
    layout = Layout(100, 108, (Tile("one", 4, 0, 96, 108),))
    video = Video(200, 200, Fraction(1, 30), color=Color(colour))
    gap = run(video, [(0, 0, 96, 108)], layout).data[0]
    assert (gap[:108, :4] == black).all()
    assert (gap[108:, :4] == 128).all()
    empty = run(video, [(0, 0, 96, 108)], layout, blank=True).data[0]
    assert (empty[:108] == black).all()
    assert (empty[108:] == 128).all()


def test_an_odd_sized_source_never_shows_its_padding() -> None:
    data = np.full((150, 100), 50, np.uint8)
    data[:100, 99] = data[99] = 255
    made = run(Video(99, 99, Fraction(1, 30)), [(3.0, 0.0, 99.0, 99.0)], data=data).data[0]
    assert np.abs(made[:108].astype(int) - 50).max() <= 1


def test_a_tile_outside_the_output_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves the output of 96x108"):
        ComposeConfig(Layout(96, 108, (Tile("one", 2, 0, 96, 108),)))
    with pytest.raises(ValueError, match="odd or negative"):
        ComposeConfig(Layout(96, 108, (Tile("one", 1, 0, 90, 108),)))
