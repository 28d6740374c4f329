"""compose/cuda against a float reference, on noise and on real pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu.nodes import BATCH, Opened, film, noise, still

from dualface.graph.job import Job
from dualface.graph.node import Device
from dualface.graph.types import Frames, Layout, Shots, Tile
from dualface.hw.cuda import on
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.cuda import ComposeCuda
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.layout import SIDE_BY_SIDE

SMALL = Layout(256, 144, (Tile("left", 0, 0, 128, 144), Tile("right", 128, 0, 128, 144)))


def cubic(x: Any) -> Any:
    """Catmull-Rom: Keys' kernel with a = -1/2."""
    x = np.abs(x)
    return np.where(
        x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)
    )


def weights(begin: float, end: float, samples: int, size: int, shift: float) -> Any:
    """``[samples, size]``: what each sample takes of a line whose ends repeat."""
    ratio = (end - begin) / samples
    wide = max(ratio, 1.0)
    made = np.zeros((samples, size))
    for i in range(samples):
        at = begin + (i + 0.5) * ratio - 0.5 + shift
        taps = np.arange(int(np.ceil(at - 2 * wide)), int(np.floor(at + 2 * wide)) + 1)
        w = cubic((taps - at) / wide)
        np.add.at(made[i], taps.clip(0, size - 1), w / w.sum())
    return made


def reference(picture: Any, size: tuple[int, int], crop: Any, tile: Tile) -> tuple[Any, Any]:
    """Luma ``[h, w]`` and chroma ``[h/2, w/2, 2]`` of a tile, in float."""
    width, height = size
    x0, y0, x1, y1 = (float(v) for v in crop)
    luma = picture[:height].astype(float)
    chroma = picture[height:].reshape(height // 2, width // 2, 2).astype(float)
    down, across = weights(y0, y1, tile.height, height, 0), weights(x0, x1, tile.width, width, 0)
    # Left-sited chroma lies a quarter of its pixel left of the middle, before and after.
    shift = 0.25 * (1 - (x1 - x0) / tile.width)
    half_down = weights(y0 / 2, y1 / 2, tile.height // 2, height // 2, 0)
    half_across = weights(x0 / 2, x1 / 2, tile.width // 2, width // 2, shift)
    return down @ luma @ across.T, np.stack(
        [half_down @ chroma[..., c] @ half_across.T for c in (0, 1)], axis=-1
    )


def run(device: Device, job: Job, pictures: Any, crops: Any, layout: Layout, blank: Any = None) -> Any:
    import cupy

    node = Opened(ComposeCuda(ComposeConfig(layout)), job, device)
    with on(device):
        frames = Frames(cupy.asarray(pictures), np.arange(len(pictures)), job.video, 0)
    flags = np.zeros(crops.shape[:2], bool) if blank is None else blank
    made = node.node.process(frames, Shots(tuple(t.name for t in layout.tiles), crops, flags))
    with on(device):
        found = made.data.get()
    node.close()
    return found


def errors(found: Any, pictures: Any, size: tuple[int, int], crops: Any, layout: Layout) -> Any:
    """All differences from the reference, with the reference cut to 0..255 but not rounded."""
    all_errors = []
    for made, picture, tiles in zip(found, pictures, crops, strict=True):
        luma, chroma = made[: layout.height], made[layout.height :].reshape(layout.height // 2, -1, 2)
        for tile, crop in zip(layout.tiles, tiles, strict=True):
            y, c = reference(picture, size, crop, tile)
            mine = luma[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            half = chroma[tile.y // 2 : (tile.y + tile.height) // 2, tile.x // 2 : (tile.x + tile.width) // 2]
            all_errors += [(mine - y.clip(0, 255)).ravel(), (half - c.clip(0, 255)).ravel()]
    return np.abs(np.concatenate(all_errors))


@pytest.mark.parametrize(
    "crop",
    [
        (20.3, 30.7, 84.9, 103.375),  # enlarged
        (8, 8, 136, 152),  # as it is
        (10.5, 3.25, 300.5, 230.75),  # reduced
        (-9, -7, 55, 65),  # beyond the frame
        (250, 120, 378.5, 264.25),
    ],
    ids=str,
)
def test_noise_comes_out_as_the_reference_says(device: Device, crop: tuple[float, ...]) -> None:
    pictures = noise(BATCH, 320, 240)
    other = np.add(crop, (3.7, 1.1, 3.7, 1.1))
    crops = np.array([[crop, other]] * BATCH, np.float32)
    found = run(device, still(320, 240), pictures, crops, SMALL)
    error = errors(found, pictures, (320, 240), crops, SMALL)
    assert error.max() < 0.52  # rounding to whole levels, and float arithmetic
    assert error.mean() < 0.26


def test_real_pictures_come_out_as_the_reference_says(device: Device, footage: Path) -> None:
    job = film(footage / "duo_1080p.mp4")
    node = Opened(PyavDecode(PyavConfig()), job, None)
    pictures = np.array(next(node.batches()).data[:2])
    node.close()
    crops = np.array([[(100.5, 60.25, 900.5, 960.25), (1000, 90, 1700, 877.5)]] * 2, np.float32)
    found = run(device, job, pictures, crops, SIDE_BY_SIDE)
    error = errors(found, pictures, (1920, 1080), crops, SIDE_BY_SIDE)
    assert error.max() < 0.52
    assert error.mean() < 0.26


def test_blank_tiles_gaps_and_more_crops_than_a_launch_takes(device: Device) -> None:
    tiles = tuple(Tile(f"t{i}", 16 * (i % 10), 16 * (i // 10), 14, 14) for i in range(50))
    layout = Layout(160, 80, tiles)
    pictures = noise(3, 160, 120)
    crops = np.array([[(i, i, i + 14, i + 14) for i in range(50)]] * 3, np.float32)
    blank = np.zeros((3, 50), bool)
    blank[1, 7] = blank[2, 49] = True
    found = run(device, still(160, 120), pictures, crops, layout, blank)
    for n, made in enumerate(found):
        for t, tile in enumerate(tiles):
            mine = made[tile.y : tile.y + 14, tile.x : tile.x + 14]
            wanted = 16 if blank[n, t] else pictures[n, t : t + 14, t : t + 14]
            assert (mine == wanted).all(), (n, t)
        assert (made[:80, 14:16] == 16).all()
        assert (made[80:, 14:16] == 128).all()


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_source_shows_what_the_upright_one_shows(device: Device, rotation: int) -> None:
    luma = noise(1, 160, 120)[0, :120]
    grey = np.full((1, 60, 160), 128, np.uint8)
    upright = np.concatenate([luma[None], grey], 1)
    turned = np.rot90(luma, rotation // 90)  # stored so that a clockwise turn shows it upright
    height, width = turned.shape
    stored = np.concatenate([turned[None], np.full((1, height // 2, width), 128, np.uint8)], 1)
    crops = np.array([[(10, 8, 106, 116), (40.5, 4.25, 136.5, 112.25)]], np.float32)
    plain = run(device, still(160, 120), upright, crops, SMALL)
    found = run(device, still(width, height, rotation), np.ascontiguousarray(stored), crops, SMALL)
    assert np.abs(found.astype(int) - plain).max() <= 1


def test_what_the_output_says_of_itself(device: Device) -> None:
    import cupy

    node = Opened(ComposeCuda(ComposeConfig(SMALL)), still(320, 240), device)
    with on(device):
        frames = Frames(cupy.asarray(noise(2, 320, 240)), np.array([5, 9]), still(320, 240).video, 3)
    crops = np.array([[(0, 0, 128, 144)] * 2] * 2, np.float32)
    made = node.node.process(frames, Shots(("left", "right"), crops, np.zeros((2, 2), bool)))
    assert (made.video.width, made.video.height, made.video.pixel_aspect) == (256, 144, Fraction(1))
    assert list(made.pts) == [5, 9]
    assert made.first == 3
    node.close()


def test_bad_crops_show_the_last_good_picture_and_at_first_the_whole_one(device: Device) -> None:
    pictures = noise(BATCH, 320, 240)
    crops = np.array([[(20.3, 30.7, 84.9, 103.375), (8, 8, 136, 152)]] * BATCH, np.float32)
    bad = crops.copy()
    bad[2, 0], bad[3, 0], bad[0, 1] = np.nan, (9, 9, 5, 5), (900, 0, 999, 99)
    clean = run(device, still(320, 240), pictures, crops, SMALL)
    found = run(device, still(320, 240), pictures, bad, SMALL)
    for n in range(BATCH):
        was = 1 if n in (2, 3) else n
        assert (found[n, :, :128] == clean[was, :, :128]).all(), n
        assert n == 0 or (found[n, :, 128:] == clean[n, :, 128:]).all(), n
    assert (found[0, :24, 128:] == 16).all()  # bars: 128 x 96 in the middle of 128 x 144
    assert (found[0, 120:144, 128:] == 16).all()
    assert found[0, 24:120, 128:].std() > 10


def test_pictures_without_a_fault_are_told_to_have_none(device: Device) -> None:
    import cupy

    node = Opened(ComposeCuda(ComposeConfig(SMALL)), still(320, 240), device)
    crops = np.array([[(0, 0, 128, 144)] * 2] * 2, np.float32)
    for pictures in (noise(2, 320, 240), np.full((2, 360, 320), 16, np.uint8)):
        with on(device):
            frames = Frames(cupy.asarray(pictures), np.arange(2), still(320, 240).video, 0)
        node.node.process(frames, Shots(("left", "right"), crops, np.zeros((2, 2), bool)))
    kept = node.node.snapshot()
    assert not kept["repairs"].any()
    node.node.restore(kept)
    assert (node.node.snapshot()["kept"] == kept["kept"]).all()
    node.close()
