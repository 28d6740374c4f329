"""Nodes with a state, broken off anywhere in made-up scenes: they answer as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cutting import stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualface.conformance.values import same
from dualface.graph.job import Job
from dualface.graph.node import Context, Node
from dualface.graph.types import Cuts, Faces, Floats, Frames, Video
from dualface.nodes.blur import Blur, BlurConfig
from dualface.nodes.camera.steady import Steady, SteadyConfig
from dualface.nodes.reid.conditional import Conditional, ConditionalConfig
from dualface.nodes.reid.off import ReidOff, ReidOffConfig
from dualface.nodes.track.bytetrack import Bytetrack, BytetrackConfig
from dualface.nodes.track.trackers import Trackers, TrackersConfig

VIDEO = Video(640, 360, Fraction(1, 25), Fraction(25))
JOB = Job("x", "x.mp4", Path("y.mp4"), VIDEO, 0, 0.0, "h264", "yuv420p")
Inputs = list[dict[str, Any]]
Make = Callable[[], Node[Any]]
lively = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Scene:
    """People who walk about, hide, leave and come back; scenes change, and not every frame is looked at."""

    seed: int
    people: int
    lengths: Sequence[int]
    cut: float  # chance of a new scene in a frame
    every: int  # n-th frame that is looked at

    def frames(self) -> Iterator[tuple[bool, bool, list[tuple[float, float, float, float]]]]:
        """Whether a scene begins, whether it is looked at, and what is found: x, y, size and score."""
        chance = np.random.default_rng(self.seed)
        at = chance.uniform((40, 60, 30), (560, 260, 90), (self.people, 3))
        speed, there = chance.normal(0, 6, (self.people, 2)), np.ones(self.people, bool)
        for i in range(sum(self.lengths)):
            begins = i > 0 and chance.random() < self.cut
            if begins:
                at = chance.uniform((40, 60, 30), (560, 260, 90), (self.people, 3))
            speed += chance.normal(0, 1, speed.shape)
            at[:, :2] += speed
            at[:, :2] = np.clip(at[:, :2], 0, (600, 300))
            there ^= chance.random(self.people) < 0.05
            looked = begins or i % self.every == 0
            found = [(*row, chance.uniform(0.3, 1)) for row in at[there].tolist()] if looked else []
            yield begins, looked, found

    def faces(self) -> Inputs:
        rows, made, start = list(self.frames()), [], 0
        for length in self.lengths:
            some, index = rows[start : start + length], np.arange(start, start + length)
            found = np.array([face for row in some for face in row[2]], np.float32).reshape(-1, 4)
            low = found[:, :2] - found[:, 2:3] / 2
            boxes = np.concatenate([low, low + found[:, 2:3]], axis=1)
            places = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)], np.float32)
            landmarks = low[:, None] + places * found[:, None, 2:3]
            faces = Faces(
                np.array([len(row[2]) for row in some], np.int64), boxes, found[:, 3], landmarks,
                np.array([row[1] for row in some]),
            )  # fmt: skip
            made.append({"faces": faces, "cuts": Cuts(np.array([row[0] for row in some]), index / 25)})
            start += length
        return made


scenes = st.builds(
    Scene,
    st.integers(0, 1 << 30),
    st.integers(0, 5),
    st.lists(st.integers(1, 8), min_size=2, max_size=30),
    st.sampled_from([0.0, 0.03, 0.3]),
    st.sampled_from([1, 3]),
)
anywhere = st.floats(0, 1)


class Told(dict[str, Any]):
    """What a node reported and counted."""

    def count(self, name: str, value: float) -> None:
        self[name] = self.get(name, 0) + value


def opened(node: Node[Any], told: Told) -> Node[Any]:
    node.open(
        Context(JOB, "x", 8, 1, lambda e: None, lambda: False, lambda p: p, told.count, told.__setitem__)
    )
    return node


def whole(make: Make, inputs: Inputs) -> tuple[list[Any], Told]:
    node = opened(make(), told := Told())
    answers = [answer for batch in inputs if (answer := node.process(**batch)) is not None]
    answers += node.finish()
    node.close()
    return answers, told


def broken(make: Make, inputs: Inputs, at: int) -> tuple[list[Any], Told]:
    """The same, broken off before batch ``at``; what is told goes on too, as in a run."""
    first, told = make(), Told()
    opened(first, told)
    answers = [answer for batch in inputs[:at] if (answer := first.process(**batch)) is not None]
    snapshot = stored(first.snapshot())
    first.close()
    second = opened(make(), told)
    second.restore(snapshot)
    answers += [answer for batch in inputs[at:] if (answer := second.process(**batch)) is not None]
    answers += second.finish()
    second.close()
    return answers, told


def goes_on(make: Make, inputs: Inputs, where: float) -> list[Any]:
    """Hold a node to it; what it answers."""
    answers, told = whole(make, inputs)
    again, told_again = broken(make, inputs, round(where * len(inputs)))
    assert same(tuple(answers), tuple(again))
    assert told == told_again
    return answers


def tracked(scene: Scene) -> Inputs:
    faces = scene.faces()
    tracks, _ = whole(lambda: Bytetrack(BytetrackConfig()), faces)
    return [{"tracks": t, "cuts": batch["cuts"]} for t, batch in zip(tracks, faces, strict=True)]


def pictured(inputs: Inputs, shape: tuple[int, int], video: Video) -> Inputs:
    """With pictures, whose first bytes are their number."""
    made, first = [], 0
    for batch in inputs:
        index = np.arange(first, first + len(batch["cuts"]))
        data = np.random.default_rng(first).integers(0, 255, (len(index), *shape), np.uint8)
        data[:, 0, 0], data[:, 0, 1] = index % 256, index // 256
        made.append({**batch, "frames": Frames(data, index.astype(np.int64), video, first)})
        first += len(index)
    return made


@lively
@given(scenes, anywhere)
def test_bytetrack(scene: Scene, where: float) -> None:
    goes_on(lambda: Bytetrack(BytetrackConfig()), scene.faces(), where)


@lively
@given(scenes, anywhere)
def test_trackers(scene: Scene, where: float) -> None:
    pytest.importorskip("trackers")
    goes_on(lambda: Trackers(TrackersConfig()), scene.faces(), where)


@lively
@given(scenes, anywhere, st.sampled_from([0, 1, 8, 20]))
def test_reid_off(scene: Scene, where: float, window: int) -> None:
    goes_on(lambda: ReidOff(ReidOffConfig(window=window)), tracked(scene), where)


class Made:
    """In place of the embedder: a face is like all others of its part of the picture."""

    def embed(self, picture: Any, video: Video, landmarks: Floats) -> Floats:
        parts = (landmarks[:, 2, 0] // 160).astype(int).tolist()
        frame = int(picture[0, 0]) + 256 * int(picture[0, 1])
        return np.stack([_numbers(part) + _numbers(1000 + frame) / 12 for part in parts])

    def close(self) -> None: ...


def _numbers(seed: int) -> Floats:
    row = np.random.default_rng(seed).normal(0, 1, 32)
    return (0.6 * row / np.linalg.norm(row)).astype(np.float32)


@lively
@given(
    scenes,
    anywhere,
    st.sampled_from([0, 5, 30]),
    st.sampled_from(["conditional", "always", "new"]),
    st.sampled_from(["person", "position"]),
)
def test_reid_conditional(scene: Scene, where: float, window: int, policy: Any, sides: Any) -> None:
    def make() -> Conditional:
        node = Conditional(ConditionalConfig(window=window, policy=policy, sides=sides, every=0.4))
        node._embedder = Made()  # type: ignore[assignment]
        return node

    goes_on(make, pictured(tracked(scene), (6, 4), VIDEO), where)


@lively
@given(scenes, anywhere, st.sampled_from([0, 10, 30]), st.sampled_from(["hold", "wide", "other", "blank"]))
def test_camera(scene: Scene, where: float, lookahead: int, missing: Any) -> None:
    inputs = tracked(scene)
    people, _ = whole(lambda: ReidOff(ReidOffConfig()), inputs)
    seen = [{"people": p, "cuts": batch["cuts"]} for p, batch in zip(people, inputs, strict=True)]
    config = SteadyConfig(lookahead=lookahead, missing=missing, hold_seconds=0.3)
    goes_on(lambda: Steady(config), seen, where)


@lively
@given(scenes, anywhere, st.sampled_from([(0, 0), (4, 10)]))
def test_blur(scene: Scene, where: float, reach: tuple[int, int]) -> None:
    small = Video(64, 36, VIDEO.time_base, VIDEO.frame_rate)
    config = BlurConfig(bridge=reach[0], gap=reach[1])
    goes_on(lambda: Blur(config), pictured(tracked(scene), (54, 64), small), where)
