"""compose/cpu with faults put into it: every frame still comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.errors import DeviceError
from dualface.graph.job import Job
from dualface.graph.node import Context, Event
from dualface.graph.types import Frames, Layout, Shots, Tile, Video
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.cpu import ComposeCpu, part
from dualface.nodes.compose.repairs import TileError
from dualface.nodes.compose.resample import Resampler

PAIR = Layout(96, 54, (Tile("left", 0, 0, 48, 54), Tile("right", 48, 0, 48, 54)))
VIDEO = Video(160, 120, Fraction(1, 30), Fraction(30))
CROPS = np.array([(10, 8, 58, 62), (70, 30, 142, 111)], np.float32)
NAN = np.full(4, np.nan, np.float32)


def film(frames: int, video: Video = VIDEO) -> np.ndarray:
    """Pictures with something in every corner, each unlike the next."""
    y, x = np.mgrid[: video.height * 3 // 2, : video.width]
    return np.stack([(40 * np.sin(x / 9 + t) + 40 * np.cos(y / 7 - t) + 128) for t in range(frames)]).astype(
        np.uint8
    )


@dataclass
class Opened:
    """A node at work on a made-up film, and what it told."""

    on_error: Any = "last"
    layout: Layout = PAIR
    video: Video = VIDEO
    events: list[Event] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.node = ComposeCpu(ComposeConfig(self.layout, on_error=self.on_error))
        job = Job("x", "x", Path("y"), self.video, 1, 0.0, "h264", "yuv420p")
        self.node.open(Context(job, "compose", 4, 1, self.events.append, lambda: False, lambda p: p,
                               lambda n, v: None, self.told.__setitem__))  # fmt: skip

    def run(
        self, data: np.ndarray, crops: np.ndarray, blank: np.ndarray | None = None, first: int = 0
    ) -> np.ndarray:
        """All pictures, made in batches of up to four."""
        made = []
        blank = np.zeros(crops.shape[:2], bool) if blank is None else blank
        for n in range(0, len(data), 4):
            some = slice(n, n + 4)
            frames: Frames[Any, Any] = Frames(data[some], np.arange(len(data))[some], self.video, first + n)
            shots = Shots(("left", "right"), crops[some], blank[some])
            made.append(self.node.process(frames, shots).data.copy())
        return np.concatenate(made)

    def tile(self, pictures: np.ndarray, n: int, t: int) -> np.ndarray:
        return np.concatenate([p.ravel() for p in part(pictures[n], self.layout.tiles[t])])


def crops_for(frames: int, **bad: Any) -> np.ndarray:
    made = np.tile(CROPS, (frames, 1, 1))
    for place, crop in bad.items():
        n, t = map(int, place[1:].split("_"))
        made[n, t] = crop
    return made


def test_a_bad_crop_shows_the_last_good_picture_and_is_told_once() -> None:
    node, data = Opened(), film(10)
    clean = Opened().run(data, crops_for(10))
    bad = crops_for(10, f3_0=NAN, f4_0=NAN, f5_0=(5, 5, 5, 9), f8_1=(500, 0, 600, 50))
    found = node.run(data, bad)
    for n in range(10):
        left = 2 if n in (3, 4, 5) else n
        right = 7 if n == 8 else n
        assert (node.tile(found, n, 0) == node.tile(clean, left, 0)).all()
        assert (node.tile(found, n, 1) == node.tile(clean, right, 1)).all()
    assert node.told == {
        "tiles_repaired": {
            "total": 4,
            "by_reason": {"missing": 2, "empty": 1, "outside": 1},
            "by_action": {"last": 4},
        }
    }
    assert [(e.kind, e.frame) for e in node.events] == [("recovery", 3)]
    assert list(node.node.finish()) == []
    assert node.events[-1].kind == "warning"
    assert "4 tiles were repaired from frame 3 on (2 missing, 1 empty, 1 outside)" in node.events[-1].message


def test_without_a_fault_nothing_is_told() -> None:
    node = Opened()
    node.run(film(6), crops_for(6))
    list(node.node.finish())
    assert not node.events
    assert not node.told


@pytest.mark.parametrize("on_error", ["last", "wide"])
def test_the_wide_shot_is_the_whole_picture_within_bars(on_error: str) -> None:
    node, data = Opened(on_error), film(1)
    found = node.run(data, crops_for(1, f0_0=NAN))
    luma, chroma = part(found[0], PAIR.tiles[0])
    assert (luma[:8] == 16).all()
    assert (luma[44:] == 16).all()
    assert (chroma[:4] == 128).all()
    whole = luma[8:44].astype(float)  # 48 x 36, a picture of 160 x 120
    rows, columns = ((np.arange(n) + 0.5) * 10 / 3 for n in (36, 48))
    there = data[0, rows.astype(int)][:, columns.astype(int)]
    assert np.abs(whole - there).mean() < 4
    assert node.told["tiles_repaired"]["by_action"] == {"wide": 1}


def test_blank_is_black_and_what_the_camera_leaves_blank_is_no_fault() -> None:
    node, data = Opened("blank"), film(2)
    blank = np.array([[False, True], [False, False]])
    found = node.run(data, crops_for(2, f0_1=NAN, f1_0=NAN), blank)
    for n, t in ((0, 1), (1, 0)):
        luma, chroma = part(found[n], PAIR.tiles[t])
        assert (luma == 16).all()
        assert (chroma == 128).all()
    assert node.told["tiles_repaired"]["total"] == 1


def test_fail_ends_the_job_in_a_sentence() -> None:
    with pytest.raises(
        TileError, match="tile 'right' of frame 6: its crop is not finite; on_error=last would"
    ):
        Opened("fail").run(film(4), crops_for(4, f2_1=(0, np.nan, 9, 9)), first=4)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, Any], None]], None]:
    """Puts a fault into the resampler: a function of the number of the call and its output."""

    def put(fault: Callable[[int, Any], None]) -> None:
        calls, real = iter(range(10**6)), Resampler.__call__

        def call(self: Resampler, plane: Any, crop: Any, out: Any) -> None:
            real(self, plane, crop, out)
            fault(next(calls), out)

        monkeypatch.setattr(Resampler, "__call__", call)

    return put


def test_a_resampler_that_raises_costs_no_frame(broken: Any) -> None:
    def fault(call: int, out: Any) -> None:
        if call in (4 * 2 + 1, 4 * 5 + 2):  # two calls a tile: frame 2 left, frame 5 right
            raise RuntimeError("swscale gave up")

    data, node = film(8), Opened()
    clean = Opened().run(data, crops_for(8))
    broken(fault)
    found = node.run(data, crops_for(8))
    assert (node.tile(found, 2, 0) == node.tile(clean, 1, 0)).all()
    assert (node.tile(found, 5, 1) == node.tile(clean, 4, 1)).all()
    assert (found[[0, 1, 3, 4, 6, 7]] == clean[[0, 1, 3, 4, 6, 7]]).all()
    assert node.told["tiles_repaired"]["by_reason"] == {"error": 2}
    assert "swscale gave up" in node.events[0].message


def test_a_resampler_that_always_raises_gives_black_tiles(broken: Any) -> None:
    def fault(call: int, out: Any) -> None:
        raise MemoryError

    broken(fault)
    node = Opened()
    found = node.run(film(5), crops_for(5))
    assert (found[:, :54] == 16).all()
    assert node.told["tiles_repaired"]["by_action"] == {"blank": 10}


@pytest.mark.parametrize(
    ("on_error", "raised"),
    [("fail", OSError("no more")), ("last", DeviceError("gone"))],
    ids=["fail", "device"],
)
def test_what_is_not_to_be_repaired_is_raised(broken: Any, on_error: str, raised: Exception) -> None:
    def fault(call: int, out: Any) -> None:
        raise raised

    broken(fault)
    with pytest.raises(type(raised), match=str(raised)):
        Opened(on_error).run(film(1), crops_for(1))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda out: out.fill(0), "flat"),
        (lambda out: out.fill(255), "flat"),
        (lambda out: np.copyto(out, 255 - out), "wrong"),
        (lambda out: np.copyto(out, np.random.default_rng(0).integers(0, 60, out.shape, np.uint8)), "wrong"),
    ],
    ids=["black", "white", "inverted", "noise"],
)  # fmt: skip
@pytest.mark.parametrize("plane", [0, 1], ids=["luma", "chroma"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_blank_or_corrupt_tile_is_found(
    broken: Any, spoil: Any, reason: str, plane: int, rotation: int
) -> None:
    size = (160, 120) if rotation % 180 == 0 else (120, 160)
    video = Video(*size, Fraction(1, 30), Fraction(30), rotation=rotation)
    data = film(6, video)
    clean = Opened(video=video).run(data, crops_for(6))
    node = Opened(video=video)
    broken(lambda call, out: spoil(out) if call == 4 * 3 + plane else None)
    found = node.run(data, crops_for(6))
    assert node.told["tiles_repaired"]["by_reason"] == {reason: 1}
    assert (node.tile(found, 3, 0) == node.tile(clean, 2, 0)).all()
    assert (found[[0, 1, 2, 4, 5]] == clean[[0, 1, 2, 4, 5]]).all()


@pytest.mark.parametrize("level", [0, 16, 90, 255])
def test_a_scene_that_is_black_is_no_error(level: int) -> None:
    node, data = Opened(), np.full((4, 180, 160), level, np.uint8)
    node.run(data, crops_for(4))
    data[:, 60, ::2] = 255  # one fine line
    data[:, 5, 5] = 128
    node.run(data, crops_for(4))
    assert not node.told


def test_fine_stripes_that_average_to_grey_are_no_error() -> None:
    data = np.zeros((4, 180, 160), np.uint8)
    data[:, :, ::2] = 255
    node = Opened()
    node.run(data, np.tile(np.array([(0, 0, 96, 108), (1, 1, 145, 109)], np.float32), (4, 1, 1)))
    assert not node.told


def test_noise_is_no_error() -> None:
    data = np.random.default_rng(3).integers(0, 256, (8, 180, 160), np.uint8)
    node = Opened()
    node.run(data, np.tile(np.array([(0, 0, 160, 120), (10.3, 7.1, 100.9, 101.7)], np.float32), (8, 1, 1)))
    assert not node.told


def test_a_tile_on_another_stays_on_it() -> None:
    layout = Layout(96, 54, (Tile("all", 0, 0, 96, 54), Tile("small", 60, 30, 32, 20)))
    data, node = film(4), Opened(layout=layout)
    clean = Opened(layout=layout).run(data, crops_for(4))
    found = node.run(data, crops_for(4, f2_0=NAN))
    assert (node.tile(found, 2, 1) == node.tile(clean, 2, 1)).all()
    assert (found[2, :30] == clean[1, :30]).all()


places = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 1)), max_size=12)


@settings(max_examples=40, deadline=None)
@given(places, places, st.integers(1, 2))
def test_restored_it_goes_on_bit_for_bit(bad: Any, blank: Any, half: int) -> None:
    data, crops, flags = film(12), crops_for(12), np.zeros((12, 2), bool)
    for n, t in bad:
        crops[n, t] = (NAN, CROPS[0] + 900, CROPS[1] * 0)[(n + t) % 3]
    for n, t in blank:
        flags[n, t] = True
    whole = Opened()
    wanted = whole.run(data, crops, flags)
    cut = 4 * half
    before, after = Opened(), Opened()
    head = before.run(data[:cut], crops[:cut], flags[:cut])
    kept = {name: np.array(array) for name, array in before.node.snapshot().items()}
    assert all(array.dtype != object for array in kept.values())
    before.node.close()
    after.node.restore(kept)
    tail = after.run(data[cut:], crops[cut:], flags[cut:], first=cut)
    assert (np.concatenate([head, tail]) == wanted).all()
    assert after.told == whole.told or not bad
    assert after.node._repairs.total == whole.node._repairs.total


hostile = st.sampled_from(
    [np.nan, np.inf, -np.inf, 0.0, 1e-30, 3e38, -3e38, 2.0, 47.5, 160.0, 161.0, 1e6, -1e6]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(hostile, min_size=8, max_size=8), st.sampled_from([0, 90, 180, 270]))
def test_no_crop_can_stop_it(values: list[float], rotation: int) -> None:
    video = Video(161, 121, Fraction(1, 30), rotation=rotation)
    node = Opened(video=video)
    data = film(2, Video(162, 122, Fraction(1, 30)))
    crops = np.tile(np.array(values, np.float32).reshape(2, 4), (2, 1, 1))
    assert node.run(data, crops).shape == (2, 81, 96)


def test_memory_is_one_batch_or_one_tile() -> None:
    node, data = Opened(), film(8)
    node.run(data[:4], crops_for(4))
    node.run(data[4:], crops_for(4, f0_0=NAN, f1_0=NAN, f2_0=NAN, f3_0=NAN))
    left, right = node.node._kept
    assert left is not None
    assert right is not None
    assert left[0].base is None  # a copy: the batch that it was good in is not held
    assert right[0].base is not None
    node.node.close()
    assert not node.node._kept
