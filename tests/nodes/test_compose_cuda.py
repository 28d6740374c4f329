"""compose/cuda without a GPU: kernels that do on the host, slowly, what those of cuda.cu do there."""

from __future__ import annotations

import ctypes
import sys
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dualface.graph.errors import DeviceError
from dualface.graph.job import Job
from dualface.graph.node import Context, Device, Event
from dualface.graph.types import Frames, Layout, Shots, Tile, Video
from dualface.nodes.compose import cuda, mending
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.cpu import ComposeCpu
from dualface.nodes.compose.cuda import ComposeCuda
from dualface.nodes.compose.repairs import TileError

PAIR = Layout(96, 54, (Tile("left", 0, 0, 48, 54), Tile("right", 48, 0, 48, 54)))
VIDEO = Video(160, 120, Fraction(1, 30), Fraction(30))
CROPS = np.array([(10, 8, 58, 62), (70, 30, 142, 111)], np.float32)
NAN = np.full(4, np.nan, np.float32)


class There(np.ndarray):
    """An array as CuPy's: its memory has an address, and copies are asked for."""

    data = property(lambda self: SimpleNamespace(ptr=self.ctypes.data))  # type: ignore[assignment]

    def get(self, stream: Any = None, out: Any = None, blocking: bool = True) -> Any:
        if out is None:
            return np.array(self)
        out[:] = self
        return out

    def set(self, values: Any) -> None:
        self[:] = values


class CUDADriverError(RuntimeError):
    """As CuPy's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA_ERROR {status}")
        self.status = status


class Kernels:
    """What stands in for the compiled sources. ``fails`` are launches of ``compose`` that raise, by number;
    ``spoils`` tiles, by number of the launch and of the crop, that come out black."""

    def __init__(self) -> None:
        self.fails: dict[int, int] = {}
        self.spoils: set[tuple[int, int]] = set()
        self.launches = 0

    def kernel(self, file: Path, name: str, gpu: int) -> Any:
        return getattr(self, name)

    def blacken(self, grid: Any, block: Any, args: Any) -> None:
        (p,) = args
        out = memory(p["out"], grid[2] * int(p["out_step"])).reshape(grid[2], -1)
        out[:] = 128
        out[:, : int(p["out_rows"]) * int(p["out_pitch"])] = p["black"]

    def compose(self, grid: Any, block: Any, args: Any) -> None:
        p, tiles, given, first = args
        self.launches += 1
        if self.launches in self.fails:
            raise CUDADriverError(self.fails[self.launches])
        for z in range(grid[2]):
            n, t = divmod(int(first) + z, int(p["tiles"]))
            (luma, chroma), (source, colours) = outs(p, n), sources(p, n)
            x, y, w, h = tiles[t].tolist()
            target = luma[y : y + h, x : x + w], chroma[y // 2 : (y + h) // 2, x // 2 : (x + w) // 2]
            x0, y0, x1, y1 = given["at"][z].tolist()
            if np.isnan(x0) or (self.launches, z) in self.spoils:
                target[0][:], target[1][:] = p["black"], 128
                continue
            for plane, whole, scale in ((target[0], source, 1), (target[1], colours, 2)):
                rows = (y0 + (np.arange(plane.shape[0]) + 0.5) / plane.shape[0] * (y1 - y0)) / scale
                columns = (x0 + (np.arange(plane.shape[1]) + 0.5) / plane.shape[1] * (x1 - x0)) / scale
                inside = (
                    a.astype(int).clip(0, m - 1)
                    for a, m in zip((rows, columns), whole.shape[:2], strict=True)
                )
                plane[:] = whole[np.ix_(*inside)]

    def judge(self, grid: Any, block: Any, args: Any) -> None:
        p, tiles, given, first, state = args
        for z in range(grid[0]):
            n, t = divmod(int(first) + z, int(p["tiles"]))
            x, y, w, h = tiles[t].tolist()
            x0, y0, x1, y1 = crop = given["at"][z].tolist()
            if np.isnan(crop[0]):
                state[n, t] = 2 if crop[1] == 1 else 1
                continue
            at = (np.arange(16) + 0.5) / 16
            here = outs(p, n)[0][np.ix_((y + at * h).astype(int), (x + at * w).astype(int))].astype(int)
            places = (
                (y0 + at * (y1 - y0)).clip(0, int(p["source_height"]) - 1).astype(int),
                (x0 + at * (x1 - x0)).clip(0, int(p["source_width"]) - 1).astype(int),
            )
            there = sources(p, n)[0][np.ix_(*places)].astype(int)
            busy = (np.abs(there - there[0, 0]) > 8).sum() >= 8
            state[n, t] = 3 if (here == here[0, 0]).all() and busy else 0

    def mend(self, grid: Any, block: Any, args: Any) -> None:
        p, tiles, state, kept, count = args
        rows, width = int(p["out_rows"]), int(p["out_pitch"])
        for t in range(grid[1]):
            x, y, w, h = tiles[t].tolist()
            last = None
            halves = kept[:rows], kept[rows:].reshape(rows // 2, width // 2, 2)
            for n in range(int(count)):
                if state[n, t] == 0:
                    last = n
                elif state[n, t] in (2, 3):
                    good = halves if last is None else outs(p, last)
                    for plane, was, s in zip(outs(p, n), good, (1, 2), strict=True):
                        where = slice(y // s, (y + h) // s), slice(x // s, (x + w) // s)
                        plane[where] = was[where]
            if last is not None:
                for plane, was, s in zip(halves, outs(p, last), (1, 2), strict=True):
                    where = slice(y // s, (y + h) // s), slice(x // s, (x + w) // s)
                    plane[where] = was[where]


def memory(address: Any, size: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(address)))


def split(picture: np.ndarray, rows: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    return picture[: rows * width].reshape(rows, width), picture[rows * width :].reshape(
        rows // 2, width // 2, 2
    )


def outs(p: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    step, rows, width = int(p["out_step"]), int(p["out_rows"]), int(p["out_pitch"])
    return split(memory(int(p["out"]) + n * step, rows * width * 3 // 2), rows, width)


def sources(p: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    step, rows, width = int(p["source_step"]), int(p["source_rows"]), int(p["source_pitch"])
    return split(memory(int(p["source"]) + n * step, rows * width * 3 // 2), rows, width)


class Pool:
    """Buffers with old pixels in them."""

    total_mb = 0.0

    def __init__(self, device: Any, height: int, width: int, batch: int, count: int) -> None:
        self.shape = height * 3 // 2, width

    def take(self, n: int) -> There:
        return np.full((n, *self.shape), 77, np.uint8).view(There)

    def close(self) -> None: ...


class Opened:
    def __init__(self, kernels: Kernels, monkeypatch: pytest.MonkeyPatch, on_error: Any = "last") -> None:
        stream = SimpleNamespace(synchronize=lambda: None)
        event = SimpleNamespace(record=lambda s: None, synchronize=lambda: None, done=True)
        fake = SimpleNamespace(
            asarray=lambda a: np.array(a).view(There),
            zeros=lambda *a: np.zeros(*a).view(There),
            full=lambda *a: np.full(*a).view(There),
            cuda=SimpleNamespace(alloc_pinned_memory=bytearray, Event=lambda **kw: event),
        )
        monkeypatch.setitem(sys.modules, "cupy", fake)
        for module in (cuda, mending):
            monkeypatch.setattr(module, "kernel", kernels.kernel)
            monkeypatch.setattr(module, "on", lambda device: nullcontext(stream))
        monkeypatch.setattr(mending, "stream_of", lambda device: stream)
        monkeypatch.setattr(cuda, "DevicePool", Pool)
        self.events: list[Event] = []
        self.told: dict[str, Any] = {}
        self.node = ComposeCuda(ComposeConfig(PAIR, on_error=on_error))
        job = Job("x", "x", Path("y"), VIDEO, 1, 0.0, "h264", "yuv420p")
        self.node.open(Context(job, "compose", 4, 1, self.events.append, lambda: False, lambda p: p,
                               lambda n, v: None, self.told.__setitem__, Device(0, 1)))  # fmt: skip

    def run(self, data: np.ndarray, crops: np.ndarray, first: int = 0) -> np.ndarray:
        made = []
        for n in range(0, len(data), 4):
            some = slice(n, n + 4)
            frames: Frames[Any, Any] = Frames(
                data[some].copy().view(There), np.arange(len(data))[some], VIDEO, first + n
            )
            blank = np.zeros(crops[some].shape[:2], bool)
            made.append(
                np.array(self.node.process(frames, Shots(("left", "right"), crops[some], blank)).data)
            )
        return np.concatenate(made)


def film(frames: int) -> np.ndarray:
    y, x = np.mgrid[:180, :160]
    return np.stack([(40 * np.sin(x / 9 + t) + 40 * np.cos(y / 7 - t) + 128) for t in range(frames)]).astype(
        np.uint8
    )


def crops_for(frames: int, *bad: tuple[int, int, Any]) -> np.ndarray:
    made = np.tile(CROPS, (frames, 1, 1))
    for n, t, crop in bad:
        made[n, t] = crop
    return made


@pytest.fixture
def kernels() -> Kernels:
    return Kernels()


def halves(pictures: np.ndarray, n: int, t: int) -> np.ndarray:
    return pictures[n][:, 48 * t : 48 * t + 48]  # chroma's columns are as luma's


def test_bad_crops_show_the_last_good_picture(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    data = film(10)
    clean = Opened(kernels, monkeypatch).run(data, crops_for(10))
    node = Opened(kernels, monkeypatch)
    found = node.run(
        data, crops_for(10, (3, 0, NAN), (4, 0, NAN), (5, 0, (5, 5, 5, 9)), (8, 1, CROPS[1] + 900))
    )
    for n in range(10):
        assert (halves(found, n, 0) == halves(clean, 2 if n in (3, 4, 5) else n, 0)).all(), n
        assert (halves(found, n, 1) == halves(clean, 7 if n == 8 else n, 1)).all(), n
    assert node.told["tiles_repaired"]["by_reason"] == {"missing": 2, "empty": 1, "outside": 1}
    assert [(e.kind, e.frame) for e in node.events] == [("recovery", 3)]
    list(node.node.finish())
    assert "4 tiles were repaired" in node.events[-1].message


def test_the_wide_shot_before_there_is_a_good_picture(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Opened(kernels, monkeypatch)
    found = node.run(film(2), crops_for(2, (0, 0, NAN)))
    assert (found[0, :8, :48] == 16).all()
    assert (found[0, 44:54, :48] == 16).all()
    assert len(np.unique(found[0, 8:44, :48])) > 20
    assert node.told["tiles_repaired"]["by_action"] == {"wide": 1}


@pytest.mark.parametrize(("on_error", "action"), [("last", "last"), ("wide", "wide"), ("blank", "blank")])
def test_a_launch_that_fails_costs_no_frame(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch, on_error: str, action: str
) -> None:
    data, node = film(8), Opened(kernels, monkeypatch, on_error)
    kernels.fails[2] = 701  # out of resources for a launch
    found = node.run(data, crops_for(8))
    assert node.told["tiles_repaired"] == {"total": 8, "by_reason": {"error": 8}, "by_action": {action: 8}}
    if on_error == "last":
        assert (found[4:] == found[3]).all()
    else:
        assert (found[4:, :8, :48] == 16).all()
    assert not (found == 77).all(axis=(1, 2)).any()


def test_an_error_that_ends_the_context_is_the_devices(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels.fails[1] = 700  # illegal address
    with pytest.raises(DeviceError, match=r"the GPU gave up \(CUDA_ERROR 700\)"):
        Opened(kernels, monkeypatch).run(film(1), crops_for(1))


def test_a_tile_that_comes_out_black_is_mended_and_told_later(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = film(8)
    clean = Opened(kernels, monkeypatch).run(data, crops_for(8))
    kernels.launches, kernels.spoils = 0, {(2, 0), (2, 2), (1, 3)}  # frames 4, 5 left, frame 1 right
    node = Opened(kernels, monkeypatch)
    found = node.run(data, crops_for(8))
    list(node.node.finish())
    for n, t, was in ((4, 0, 3), (5, 0, 3), (1, 1, 0), (6, 0, 6), (2, 1, 2)):
        assert (halves(found, n, t) == halves(clean, was, t)).all(), n
    assert node.told["tiles_repaired"]["by_reason"] == {"flat": 3}
    assert node.events[0].frame == 1


def test_fail_ends_the_job(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TileError, match="tile 'right' of frame 6"):
        Opened(kernels, monkeypatch, "fail").run(film(4), crops_for(4, (2, 1, NAN)), first=4)
    kernels.launches, kernels.spoils = 0, {(1, 0)}
    with pytest.raises(TileError, match="tile 'left' of frame 0: it came out empty"):
        Opened(kernels, monkeypatch, "fail").run(film(8), crops_for(8))


def test_restored_it_goes_on_bit_for_bit(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    data = film(8)
    crops = crops_for(8, (3, 0, NAN), (4, 0, NAN), (4, 1, NAN), (5, 0, NAN))
    whole = Opened(kernels, monkeypatch)
    wanted = whole.run(data, crops)
    before, after = (Opened(kernels, monkeypatch) for _ in range(2))
    head = before.run(data[:4], crops[:4])
    kept = {name: np.array(array) for name, array in before.node.snapshot().items()}
    before.node.close()
    after.node.restore(kept)
    assert (np.concatenate([head, after.run(data[4:], crops[4:], first=4)]) == wanted).all()
    assert after.told == whole.told


def test_each_kind_takes_over_from_the_other(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the last good tiles: until there is another, the whole picture."""
    assert ComposeCpu.takes_over == {ComposeCuda.kind}
    assert ComposeCuda.takes_over == {ComposeCpu.kind}
    ours = Opened(kernels, monkeypatch)
    ours.run(film(4), crops_for(4, (2, 1, NAN)))
    told: dict[str, Any] = {}
    theirs = ComposeCpu(ours.node.config)
    job = Job("x", "x", Path("y"), VIDEO, 1, 0.0, "h264", "yuv420p")
    theirs.open(Context(job, "compose", 4, 1, lambda e: None, lambda: False, lambda p: p, lambda n, v: None,
                        told.__setitem__))  # fmt: skip
    theirs.restore(ours.node.snapshot())
    assert told == ours.told
    blank = np.zeros((4, 2), bool)
    shots = Shots(("left", "right"), crops_for(4, (0, 0, NAN)), blank)
    assert len(theirs.process(Frames(film(4), np.arange(4, 8), VIDEO, 4), shots)) == 4
    assert told["tiles_repaired"]["by_action"] == {"last": 1, "wide": 1}
    again = Opened(kernels, monkeypatch)
    again.node.restore(theirs.snapshot())
    again.run(film(4), crops_for(4, (0, 0, NAN)), first=8)
    assert again.told["tiles_repaired"]["by_action"] == {"last": 1, "wide": 2}


def test_a_black_scene_is_no_error(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Opened(kernels, monkeypatch)
    node.run(np.full((4, 180, 160), 16, np.uint8), crops_for(4))
    list(node.node.finish())
    assert not node.told
