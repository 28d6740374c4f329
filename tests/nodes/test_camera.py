"""camera/steady: what the picture needs, measured on paths of heads that are known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.job import Job
from dualface.graph.node import Context, most_owed
from dualface.graph.types import Cuts, People, Video
from dualface.nodes.camera.framing import Framing
from dualface.nodes.camera.path import Limits
from dualface.nodes.camera.path import Path as Track
from dualface.nodes.camera.steady import Steady, SteadyConfig
from dualface.nodes.layout import SIDE_BY_SIDE

BOX = 200.0  # a face's height


def context(video: Video | None = None) -> Context:
    video = video or Video(1920, 1080, Fraction(1, 30))
    job = Job("x", "x.mp4", Path("y.mp4"), video, 0, 0.0, "h264", "yuv420p")
    return Context(job, "camera", 8, 1, lambda e: None, lambda: False, lambda p: p,
                   lambda n, v: None, lambda n, v: None)  # fmt: skip


def people(heads: np.ndarray, size: float = BOX, persons: np.ndarray | None = None) -> People:
    """``heads [n, tiles, 2]``: middles of faces, NaN where there is none; ``persons [n, tiles]``, the
    tiles' own where it is not given."""
    there = np.isfinite(heads[:, :, 0])
    half = np.array([0.4 * size, size / 2])
    middle = heads[there]
    boxes = np.concatenate([middle - half, middle + half], axis=1).astype(np.float32)
    sides = np.nonzero(there)[1]
    k = len(sides)
    who = sides.copy() if persons is None else persons[there]
    return People(there.sum(1), boxes, np.ones(k, np.float32), np.full((k, 5, 2), np.nan, np.float32),
                  sides.copy(), who, sides)  # fmt: skip


def crops(heads: np.ndarray, cut: int | None = None, batch: int = 8, video: Video | None = None,
          size: float = BOX, persons: np.ndarray | None = None,
          **options: Any) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    node = Steady(SteadyConfig(**options))
    node.open(context(video))
    flags = np.arange(len(heads)) == (-1 if cut is None else cut)
    seconds = np.arange(len(heads)) / 30
    shots, owed = [], 0
    for a in range(0, len(heads), batch):
        part = slice(a, a + batch)
        owed += len(heads[part])
        who = None if persons is None else persons[part]
        answer = node.process(people(heads[part], size, who), Cuts(flags[part], seconds[part]))
        if answer is not None:
            shots.append(answer)
            owed -= len(answer)
        assert owed <= most_owed(Steady.lookahead(node.config), batch)
    shots += list(node.finish())
    node.close()
    return np.concatenate([s.crops for s in shots]), np.concatenate([s.blank for s in shots])


def two(n: int, seed: int = 0, noise: float = 4.0) -> np.ndarray:
    """Two people who sit nearly still, seen by a detector that trembles."""
    rng = np.random.default_rng(seed)
    return np.array([[600.0, 450.0], [1350.0, 450.0]]) + rng.normal(0, noise, (n, 2, 2))


def eyes(crop: np.ndarray) -> np.ndarray:
    across, height = (crop[..., 0] + crop[..., 2]) / 2, crop[..., 3] - crop[..., 1]
    return np.stack([across, crop[..., 1] + 0.34 * height], -1)


def test_a_trembling_detection_moves_nothing_and_frames_the_head() -> None:
    crop, blank = crops(two(150))
    assert not blank.any()
    assert np.ptp(crop, axis=0).max() == 0
    height = crop[0, :, 3] - crop[0, :, 1]
    assert np.allclose(height, 3.2 * BOX, rtol=0.03)
    assert np.allclose((crop[0, :, 2] - crop[0, :, 0]) / height, 960 / 1080)
    assert np.abs(eyes(crop)[0] - [[600, 430], [1350, 430]]).max() < 0.03 * height[0]
    assert (crop % 2 == 0).all()  # rests lie on whole chroma pixels


def test_a_walk_is_followed_softly_and_within_the_limits() -> None:
    heads = two(400, noise=3)
    heads[100:250, 0, 0] += np.linspace(0, 150, 150)
    heads[250:, 0, 0] += 150
    crop, _ = crops(heads)
    centre = eyes(crop)[:, 0].astype(float) * 960 / (crop[:, 0, 2] - crop[:, 0, 0])[:, None]
    speed = np.diff(centre, axis=0)
    acceleration = np.linalg.norm(np.diff(speed, axis=0), axis=1)
    assert np.linalg.norm(speed, axis=1).max() * 30 <= 137
    assert acceleration.mean() <= 0.15
    assert np.percentile(acceleration, 95) <= 0.6
    assert abs(eyes(crop)[-1, 0, 0] - 750) < 0.05 * 640
    off = np.abs(eyes(crop)[:, 0, 0] - heads[:, 0, 0]) / 569
    assert np.median(off) <= 0.05
    assert np.percentile(off, 95) <= 0.10


@pytest.mark.parametrize(("top", "raised"), [(140, 0.0), (80, 0.0), (68, 12.0), (50, 25.0), (0, 25.0)])
def test_a_move_ends_with_room_above_the_head_where_that_costs_little(top: float, raised: float) -> None:
    framing = Framing.of(SIDE_BY_SIDE.tiles[0], (1920, 1080), Fraction(1), eyes=0.34, upscale=2.0)
    view = (500.0, 340.0, 1000.0)  # from y = 0 to 1000
    lifted = framing.lift(view, (400.0, top, 600.0, 400.0))
    assert lifted == pytest.approx((500.0, 340.0 - raised, 1000.0))


def test_a_cut_is_a_jump_at_its_frame_and_never_before() -> None:
    heads = two(120)
    heads[60:, :, 0] += 200
    crop, _ = crops(heads, cut=60)
    assert np.ptp(crop[:60], axis=0).max() == 0
    assert np.ptp(crop[60:], axis=0).max() == 0
    assert np.abs(eyes(crop)[60, :, 0] - [800, 1550]).max() < 30


@pytest.mark.parametrize("missing", ["hold", "wide", "other", "blank"])
def test_a_missing_person(missing: str) -> None:
    heads = two(400)
    heads[100:300, 1] = np.nan
    crop, blank = crops(heads, missing=missing)
    before, gone = crop[90, 1], crop[250, 1]
    assert np.array_equal(crop[150, 1], before)  # held for two seconds
    assert blank[250, 1] == (missing == "blank")
    assert not blank[:150].any()
    assert not blank[-1].any()
    if missing == "hold":
        assert np.array_equal(gone, before)
    if missing == "wide":
        assert gone[3] - gone[1] > 1000
        assert np.abs(np.diff(crop[:, 1], axis=0)).max() < 30  # eased there and back
    if missing == "other":
        assert np.abs(eyes(gone) - eyes(crop[250, 0])).max() <= 4
    assert np.abs(eyes(crop[-1, 1]) - [1350, 430]).max() < 30


def test_both_heads_are_equally_large_where_only_one_may_not_grow() -> None:
    crop, _ = crops(two(60, noise=0), size=100.0)
    assert np.allclose(crop[0, 0, 3] - crop[0, 0, 1], 540)  # 2x at most
    assert np.allclose(crop[0, 0, 2:] - crop[0, 0, :2], crop[0, 1, 2:] - crop[0, 1, :2])


def test_with_nobody_the_tiles_show_one_continuous_picture() -> None:
    crop, blank = crops(np.full((40, 2, 2), np.nan), size=100.0)
    assert not blank.any()
    assert np.allclose(crop[:, 0], [0, 0, 960, 1080])
    assert np.allclose(crop[:, 1], [960, 0, 1920, 1080])


def test_a_small_source_is_enlarged_beyond_the_limit_to_frame_heads() -> None:
    heads = np.tile([[200.0, 160.0], [440.0, 160.0]], (60, 1, 1))
    crop, _ = crops(heads, video=Video(640, 360, Fraction(1, 30)), size=40.0)
    assert (crop[0, :, 3] - crop[0, :, 1] < 240).all()
    assert np.abs(eyes(crop)[0, :, 0] - [200, 440]).max() < 10


def test_a_head_that_soon_moves_away_is_whole_from_the_first_frame() -> None:
    heads = np.tile([[600.0, 450.0], [1350.0, 450.0]], (90, 1, 1))
    heads[8:, 0] += [-90, 90]
    crop, _ = crops(heads)
    top = heads[:, 0, 1] - BOX * 0.75
    assert (top >= crop[:, 0, 1] + 0.04 * (crop[:, 0, 3] - crop[:, 0, 1])).all()
    assert (heads[:, 0, 0] - BOX / 2 >= crop[:, 0, 0]).all()
    assert (heads[:, 0, 0] + BOX / 2 <= crop[:, 0, 2]).all()


def test_one_false_detection_moves_nothing() -> None:
    heads = two(200)
    heads[:, 1] = np.nan
    crop, _ = crops(heads)
    heads[100, 1] = [1700, 900]
    assert np.array_equal(crop, crops(heads)[0])


@pytest.mark.parametrize(
    "video",
    [
        Video(480, 270, Fraction(1, 30)),
        Video(1080, 1920, Fraction(1, 30)),
        Video(1920, 1080, Fraction(1, 30), rotation=90),
        Video(720, 576, Fraction(1, 30), pixel_aspect=Fraction(64, 45)),
        Video(1365, 767, Fraction(1, 30)),
        Video(16, 16, Fraction(1, 30)),
    ],
    ids=str,
)
def test_every_shape_of_source_gives_crops_inside_it_with_the_tiles_shape(video: Video) -> None:
    width, height = video.display_size
    rng = np.random.default_rng(1)
    heads = rng.uniform([0, 0], [width, height], (1, 2, 2)) + rng.normal(0, 3, (90, 2, 2)).cumsum(0)
    crop, _ = crops(heads, video=video, size=height / 6)
    assert np.isfinite(crop).all()
    assert (crop[..., :2] >= -1e-3).all()
    assert (crop[..., 2] <= width + 1e-3).all()
    assert (crop[..., 3] <= height + 1e-3).all()
    shape = (crop[..., 2] - crop[..., 0]) / (crop[..., 3] - crop[..., 1]) * float(video.display_aspect)
    assert np.allclose(shape, 960 / 1080, rtol=1e-4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 8), n=st.integers(1, 100), split=st.integers(0, 5))
def test_batch_size_and_resume_change_nothing(seed: int, batch: int, n: int, split: int) -> None:
    rng = np.random.default_rng(seed)
    heads = two(n, seed) + rng.normal(0, 6, (n, 2, 2)).cumsum(0)
    heads[rng.random((n, 2)) < 0.4] = np.nan
    cut = n // 2 or None
    expected, blank = crops(heads, cut=cut, batch=1)
    got, got_blank = crops(heads, cut=cut, batch=batch)
    assert np.isfinite(expected).all()
    assert np.array_equal(expected, got)
    assert np.array_equal(blank, got_blank)
    node, answers = Steady(SteadyConfig()), []
    node.open(context())
    for i, a in enumerate(range(0, n, batch)):
        if i == split:
            taken = node.snapshot()
            node = Steady(SteadyConfig())
            node.open(context())
            node.restore(taken)
        part = slice(a, a + batch)
        flags = np.arange(n)[part] == (cut or -1)
        answer = node.process(people(heads[part]), Cuts(flags, np.arange(n)[part] / 30))
        answers += [answer] if answer is not None else []
    answers += list(node.finish())
    assert np.array_equal(expected, np.concatenate([s.crops for s in answers]))


@pytest.mark.parametrize(
    ("option", "value"),
    [("eyes", 1.5), ("upscale", 0), ("lookahead", -1), ("tightest", 9), ("dead_zone", -1)],
)
def test_a_senseless_option_is_named_with_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        SteadyConfig(**{option: value})


def alone(n: int) -> np.ndarray:
    heads = two(n)
    heads[:, 1] = np.nan
    return heads


def one_picture(crop: np.ndarray) -> bool:
    """Whether the two tiles show all of a 1080p frame."""
    return bool(np.allclose(crop, [[0, 0, 960, 1080], [960, 0, 1920, 1080]]))


def test_somebody_alone_in_a_scene_is_shown_once_in_one_picture() -> None:
    crop, _ = crops(alone(90))
    assert all(one_picture(c) for c in crop)


def test_a_second_person_splits_the_picture_only_after_a_while() -> None:
    heads = two(400)
    heads[:60, 1] = heads[130:200, 1] = np.nan
    crop, _ = crops(heads)
    assert one_picture(crop[80])  # seen from frame 30 on, thanks to the look-ahead
    assert np.abs(eyes(crop)[-1] - [[600, 430], [1350, 430]]).max() < 30
    assert np.abs(np.diff(crop, axis=0)).max() < 30  # eased


def test_two_heads_that_each_tile_would_show_are_one_picture_and_apart_again_later() -> None:
    heads = two(500)
    heads[:, 1, 0] = 800.0  # one face from the other
    assert one_picture(crops(heads)[0][0])
    heads[200:, 1, 0] = 1350.0
    crop, _ = crops(heads)
    assert one_picture(crop[200])
    assert np.abs(eyes(crop)[-1, 1] - [1350, 430]).max() < 30


def test_who_leaves_a_shot_of_two_leaves_their_part_of_the_picture() -> None:
    heads = two(400)
    heads[100:, 1] = np.nan
    crop, _ = crops(heads)
    assert np.allclose(crop[-1, 1], [960, 0, 1920, 1080])
    assert np.array_equal(crop[-1, 0], crop[90, 0])  # the other one is left alone


@pytest.mark.parametrize("size", [(1080, 1920), (1440, 1080), (2560, 1080)], ids=str)
def test_one_picture_of_any_shape_has_the_whole_head_in_it(size: tuple[int, int]) -> None:
    heads = np.full((60, 2, 2), np.nan)
    heads[:, 0] = [size[0] * 0.15 + 60, 200]
    crop, _ = crops(heads, video=Video(*size, Fraction(1, 30)))
    assert np.allclose(crop[:, 0, [1, 3]], crop[:, 1, [1, 3]])
    assert np.allclose(crop[:, 0, 2], crop[:, 1, 0])
    assert (crop[:, 0, 1] <= 200 - 0.7 * BOX).all()
    assert (crop[:, 0, 0] <= heads[:, 0, 0] - BOX / 2).all()


def test_near_the_frames_edge_the_crop_is_tight_enough_to_centre() -> None:
    heads = two(60, noise=0)
    heads[:, 0, 0] = 252
    crop, _ = crops(heads, size=230.0)
    width = crop[0, 0, 2] - crop[0, 0, 0]
    assert abs(eyes(crop)[0, 0, 0] - 252) < 0.015 * width
    assert np.allclose(crop[0, 0, 3] - crop[0, 0, 1], crop[0, 1, 3] - crop[0, 1, 1])  # heads equally large


@pytest.mark.parametrize(
    ("motion", "static", "p95"),
    [
        ("still", 0.95, 0.05),
        ("walk", 0.55, 0.08),
        ("lean", 0.3, 0.08),
        ("turn", 0.5, 0.06),
        ("stand", 0.3, 0.2),
    ],
)
def test_made_motion_is_filmed_within_the_limits(
    motion: str, static: float, p95: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seeds that no setting was chosen by; a person stands up faster than the camera may pan."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "experiments"))
    from camera_motion import figures

    for seed in (20, 21):
        got = figures(motion, seed)
        assert got["fastest_pan_px_s"] <= 137
        assert got["jitter_px"] <= 0.3
        assert got["acceleration_mean"] <= 0.15
        assert got["acceleration_p95"] <= 0.6
        assert got["zoom_per_s"] <= 0.0105
        assert got["whole"] >= (0.96 if motion == "stand" else 0.995)
        assert got["ideal_median"] <= 0.05
        assert got["ideal_p95"] <= p95
        assert got["static"] >= static


def taken_over(gap: int = 0, **who: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two sit; from frame 90 (after a gap) the right tile is somebody's who sits 500 pixels further left."""
    heads, persons = two(200, noise=0), np.tile([0, 1], (200, 1))
    heads[:, :, 0] = [300, 1600]
    heads[90:, 1, 0] -= 500
    heads[90 - gap : 90, 1] = np.nan
    persons[90:, 1] = who.get("person", 2)
    return heads, persons


@pytest.mark.parametrize("gap", [0, 5, 40])
@pytest.mark.parametrize("batch", [1, 8])
def test_somebody_else_in_a_tile_is_cut_to(gap: int, batch: int) -> None:
    heads, persons = taken_over(gap)
    crop, _ = crops(heads, persons=persons, batch=batch)
    assert np.ptp(crop[:90], axis=0).max() == 0  # the camera knows of it beforehand, and waits
    assert np.ptp(crop[90:], axis=0).max() == 0
    assert abs(eyes(crop)[90, 1, 0] - 1100) < 20
    assert np.array_equal(crop[0, 0], crop[-1, 0])


def test_the_same_person_is_never_cut_to() -> None:
    """Walking, or found again under another number where they were lost."""
    heads, persons = taken_over(person=1)
    heads[60:120, 1, 0] = np.linspace(1600, 1100, 60)
    moved = np.abs(np.diff(crops(heads, persons=persons)[0][:, 1, 0]))
    assert moved.max() < 20
    heads, persons = two(200, noise=0), np.tile([0, 1], (200, 1))
    heads[90:100, 1] = np.nan
    persons[100:, 1] = 7
    assert np.ptp(crops(heads, persons=persons)[0], axis=0).max() == 0


def test_a_glimpse_of_somebody_else_moves_nothing() -> None:
    heads, persons = taken_over()
    heads[91:, 1, 0] += 500
    persons[91:, 1] = 1
    assert np.ptp(crops(heads, persons=persons)[0], axis=0).max() == 0


def test_a_move_bent_in_its_middle_keeps_to_the_speed() -> None:
    path = Track(3)
    path.jump((0.0, 0.0, 0.0))
    limits = Limits((100.0, 100.0, 1.0), (400.0,) * 3, 1.0)
    path.glide((100.0, 0.0, 0.0), 0.0, limits)
    path.glide((140.0, 90.0, 0.0), 0.6, limits)
    assert max(np.hypot(*path.at(t)[1][:2]) for t in np.linspace(0.6, 5, 300)) <= 102
    assert np.allclose(path.at(9.0)[0], [140, 90, 0])
