"""Pictures of a wrong shape, type or time fail the job, with a sentence that names the node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from execute_fakes import Fake, FakeConfig, Log, make_graph, make_job, make_plan, place, run

from dualface.graph.registry import node
from dualface.graph.types import NV12, P010, Cpu, Frames, Video

VIDEO = Video(63, 47, Fraction(1, 30))  # odd: the planes are one sample larger
Pictures = Frames[NV12, Cpu]


def pictures(first: int, count: int) -> Pictures:
    return Frames(np.zeros((count, 72, 64), np.uint8), np.arange(first, first + count), VIDEO, first)


@node("pictures/source")
class Camera(Fake):
    def process(self) -> Pictures | None:
        first, count = self.frame, min(self.context.batch, self.config.frames - self.frame)
        if count <= 0:
            return None
        self.step(count)
        return spoilt(self.name, pictures(first, count))


@node("pictures/filter")
class Filter(Fake):
    """Answers a batch late."""

    @staticmethod
    def lookahead(config: FakeConfig) -> int:
        return 4

    def open(self, context: Any) -> None:
        super().open(context)
        self.kept: list[Pictures] = []

    def process(self, frames: Pictures, other: Pictures | None = None) -> Pictures:
        self.kept.append(other or frames)
        return spoilt(self.name, self.kept.pop(0)) if len(self.kept) > 1 else None  # type: ignore[return-value]

    def finish(self) -> Any:
        yield from (spoilt(self.name, frames) for frames in self.kept)


@node("pictures/sink")
class Screen(Fake):
    def process(self, frames: Pictures) -> None:
        self.config.log.seen[self.job, self.name] += frames.pts.tolist()


spoil: dict[str, Callable[[Pictures], Any]] = {}


def spoilt(name: str, frames: Pictures) -> Pictures:
    return spoil.get(name, lambda frames: frames)(frames)  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def whole() -> Any:
    spoil.clear()
    yield
    spoil.clear()


def result_of(name: str = "", how: Callable[[Pictures], Any] | None = None, log: Log | None = None) -> Any:
    if how:
        spoil[name] = how
    graph = make_graph(
        place("camera", Camera, FakeConfig()),
        place("filter", Filter, FakeConfig(), frames="camera"),
        place("screen", Screen, FakeConfig(log or Log()), frames="filter"),
    )
    (result,) = run(make_plan(graph, [make_job()]))
    return result


def test_what_is_right_passes() -> None:
    log = Log()
    assert result_of(log=log).status == "done"
    assert log.seen["a", "screen"] == list(range(10))


PORT = "its port is Frames[NV12, cpu]"
AT = [
    ("shape", lambda f: replace(f, data=f.data[:, :70]),
     "of shape [4, 70, 64], but 63x47 in Frames[NV12, cpu] is [4, 72, 64], at frame 0"),
    ("turned", lambda f: replace(f, data=f.data.transpose(0, 2, 1)),
     "of shape [4, 64, 72], but 63x47 in Frames[NV12, cpu] is [4, 72, 64], at frame 0"),
    ("count", lambda f: replace(f, data=f.data[1:]), "of shape [3, 72, 64] for 4 frames, at frame 0"),
    ("type", lambda f: replace(f, data=f.data.astype("u2")), f"of uint16, but {PORT}: uint8, at frame 0"),
    ("memory", lambda f: replace(f, data=f.data.tolist()), f"as list, but {PORT}: a numpy array, at frame 0"),
    ("no rise", lambda f: replace(f, pts=np.zeros_like(f.pts)), None),
    ("no whole numbers", lambda f: replace(f, pts=f.pts / 30),
     "whose pts are not an array of one whole number a frame, at frame 0"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["camera", "filter"])
@pytest.mark.parametrize(("how", "told"), [case[1:] for case in AT], ids=[case[0] for case in AT])
def test_what_is_wrong_is_told(name: str, how: Any, told: str | None) -> None:
    if told is None:
        asked = "not the [0, 1, 2, ...] of the frames it was given"
        told = (
            f"with the pts [0, 0, 0, ...], {asked if name == 'filter' else 'which do not rise'}, at frame 0"
        )
    kind = {"camera": "source", "filter": "filter"}[name]
    result = result_of(name, how)
    assert result.status == "failed"
    assert result.error == f"node '{name}' (pictures/{kind}) gave pictures {told}; this is a bug of the node."


def test_times_rise_from_batch_to_batch() -> None:
    result = result_of("camera", lambda frames: replace(frames, pts=frames.pts % 4))
    assert "gave pictures with the pts [0, 1, 2, ...] after 3, which do not rise, at frame 4" in result.error


def test_times_changed_in_place_are_found() -> None:
    def late(frames: Pictures) -> Pictures:
        frames.pts[:] += 1
        return frames

    assert (
        "[1, 2, 3, ...], not the [0, 1, 2, ...] of the frames it was given" in result_of("filter", late).error
    )


def test_any_of_several_inputs_may_give_the_times() -> None:
    spoil["second"] = lambda frames: replace(frames, pts=frames.pts * 3)
    log = Log()
    graph = make_graph(
        place("camera", Camera, FakeConfig()),
        place("second", Camera, FakeConfig()),
        place("filter", Filter, FakeConfig(), frames="camera", other="second"),
        place("screen", Screen, FakeConfig(log), frames="filter"),
    )
    (result,) = run(make_plan(graph, [make_job()]))
    assert result.error == ""
    assert log.seen["a", "screen"] == [3 * n for n in range(10)]


def test_the_shape_of_a_frame() -> None:
    assert NV12.shape(1920, 1080) == P010.shape(1920, 1080) == (1620, 1920)
    assert NV12.shape(63, 47) == (72, 64)
