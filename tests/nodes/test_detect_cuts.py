"""Scene changes: found where there are some, and not where the light or the camera changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dualface.nodes.detect.cuts import FLASH, LONG, MEMORY, CutFinder, thumb

Pictures = Sequence[np.ndarray]


def scene(seed: int, width: int = 320, height: int = 180) -> np.ndarray:
    """A room of soft shapes, mid-grey on the whole."""
    coarse = np.random.default_rng(seed).uniform(40, 190, (5, 8)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def cuts(pictures: Pictures, threshold: float = 0.4) -> list[int]:
    finder = CutFinder(threshold)
    return [i for i, picture in enumerate(pictures) if finder.look(thumb(picture))]


def test_a_hard_cut_is_found_at_its_first_frame() -> None:
    assert cuts([scene(1)] * 10 + [scene(2)] * 10 + [scene(3)] * 10) == [10, 20]


def test_the_first_frame_is_never_a_cut() -> None:
    assert cuts([scene(1)] * 3) == []


@pytest.mark.parametrize(("gain", "lift"), [(1.5, 60.0), (1.0, 90.0), (0.5, 0.0), (0.0, 255.0), (0.0, 0.0)])
def test_a_flash_or_a_blackout_is_none(gain: float, lift: float) -> None:
    flash = np.clip(scene(1) * gain + lift, 0, 255).astype(np.uint8)
    assert cuts([scene(1)] * 10 + [flash] * 2 + [scene(1)] * 10) == []


def lit(picture: np.ndarray, x: float, y: float, width: float, light: float) -> np.ndarray:
    """With the light of a camera's flash, strongest at a point."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] / picture.shape[1]
    near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * width**2))
    return np.clip(picture + light * near, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("frames", [1, 2, FLASH])
@pytest.mark.parametrize("seed", range(1, 7))
def test_a_flash_that_lights_a_part_is_none(seed: int, frames: int) -> None:
    before, upper = [scene(seed)] * 10, scene(seed).copy()
    upper[:90] = np.clip(upper[:90] * 2.0 + 40, 0, 255).astype(np.uint8)  # a rolling shutter
    for flash in (lit(scene(seed), 0.5, 0.3, 0.3, 250), lit(scene(seed), 0.2, 0.2, 0.15, 500), upper):
        assert cuts([*before, *[flash] * frames, *before]) == []


def test_a_scene_that_only_adds_light_is_a_cut_a_little_later() -> None:
    dim, bright = (scene(1) * 0.5).astype(np.uint8), (scene(2) * 0.5 + 110).astype(np.uint8)
    assert cuts([dim] * 10 + [bright] * 10) == [10 + FLASH]


def test_a_cut_right_after_a_flash_is_found() -> None:
    flash = lit(scene(1), 0.5, 0.3, 0.3, 250)
    assert cuts([scene(1)] * 10 + [flash] + [scene(2)] * 10) == [11]


def test_what_follows_a_white_flash_is_compared_with_what_was_before() -> None:
    white = np.full_like(scene(1), 255)
    assert cuts([scene(1)] * 10 + [white] * 2 + [scene(2)] * 10) == [12]


def test_a_pan_is_none_however_fast_it_is_once_under_way() -> None:
    wide = scene(4, 2400)
    speeds = np.concatenate([np.zeros(10), np.linspace(0, 40, 20), np.full(10, 40), np.zeros(5)])
    starts = np.cumsum(speeds).astype(int)
    assert cuts([wide[:, x : x + 320] for x in starts]) == []


def test_somebody_who_walks_through_is_none() -> None:
    pictures = []
    for x in range(-80, 320, 8):
        picture = scene(5).copy()
        picture[40:, max(x, 0) : max(x + 80, 0)] = 20
        pictures.append(picture)
    assert cuts(pictures) == []


def test_somebody_who_steps_before_a_bare_wall_is_none() -> None:
    wall = np.tile(np.linspace(150, 172, 320), (180, 1)).astype(np.uint8)
    somebody = wall.copy()
    somebody[60:, :18] = 110
    assert cuts([wall] * 10 + [somebody] * 10) == []


def test_after_a_long_black_a_new_scene_begins() -> None:
    black = np.zeros_like(scene(1))
    assert cuts([scene(1)] * 5 + [black] * (LONG + 3) + [scene(1)] * 5) == [5 + LONG + 3]


def test_warm_enough_it_answers_as_from_the_beginning() -> None:
    rng = np.random.default_rng(7)
    pictures = [
        scene(int(rng.integers(4))) if rng.random() < 0.8 else np.zeros_like(scene(1)) for _ in range(120)
    ]
    whole = cuts(pictures)
    assert whole
    for start in range(0, 80, 7):
        late = [start + i for i in cuts(pictures[start:])]
        settled = start + MEMORY
        assert [i for i in late if i >= settled] == [i for i in whole if i >= settled]


def test_snapshot_and_restore_go_on_as_if_nothing_had_been() -> None:
    pictures = [scene(1)] * 6 + [scene(2)] * 6 + [np.zeros_like(scene(1))] * 3 + [scene(3)] * 5
    for at in range(1, len(pictures)):
        first, second = CutFinder(0.4), CutFinder(0.4)
        for picture in pictures[:at]:
            first.look(thumb(picture))
        second.restore(first.snapshot())
        assert [second.look(thumb(p)) for p in pictures[at:]] == [first.look(thumb(p)) for p in pictures[at:]]


def test_the_cuts_of_real_footage(footage: Path) -> None:
    """20, 82 and 211 were found by eye; fast pans of a camera at 45 and 115 are none."""
    with av.open(str(footage / "cuts_360p.mp4")) as file:
        lumas = [frame.reformat(format="gray").to_ndarray() for frame in file.decode(video=0)]
    assert cuts(lumas) == [20, 82, 211]
