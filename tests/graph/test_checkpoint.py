"""A job that is broken off goes on where a segment began, and ends as if it had never been."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from execute_fakes import make_graph, make_job, make_plan, place, run
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.errors import DeviceError, InputError
from dualface.graph.node import Context, Node, NodeConfig, Unbounded
from dualface.graph.recovery import Backoff, Recovery, Rule
from dualface.graph.registry import node
from dualface.graph.running.checkpoint import Checkpoint, Part, Segments
from dualface.graph.running.outcome import NodeUse
from dualface.graph.running.unfinished import Unfinished, folder_of, identity, writer_of
from dualface.graph.types import NV12, Cpu, Frames, Video

RECOVERY = Recovery(segment_seconds=2.0, rules=(Rule("*", "input", ("fail",)),))
VIDEO = Video(4, 2, Fraction(1, 10), Fraction(10))
Pictures = Frames[NV12, Cpu]


@dataclass
class BreakConfig(NodeConfig):
    frames: int = 95
    lookahead: int = 0
    with_state: bool = True


breaks: dict[str, int] = {}  # nodes and the frames at which they fail, once; not an option of the request


class Breaks(Node[BreakConfig]):
    def open(self, context: Context) -> None:
        self.context = context

    def look(self, first: int, count: int) -> None:
        frame = breaks.get(self.context.name, -1)
        if first <= frame < first + count:
            del breaks[self.context.name]
            raise DeviceError(f"broke at {frame}")


@node("fake/film")
class Film(Breaks):
    def open(self, context: Context) -> None:
        super().open(context)
        self.frame = 0

    def process(self) -> Pictures | None:
        n = min(self.context.batch, self.config.frames - self.frame)
        if n <= 0:
            return None
        self.look(self.frame, n)
        pts = np.arange(self.frame, self.frame + n)
        data = np.broadcast_to((pts % 251).astype(np.uint8)[:, None, None], (n, 3, 4)).copy()
        self.frame += n
        return Frames(data, pts, VIDEO, self.frame - n)

    def snapshot(self) -> dict[str, Any]:
        return {"frame": np.array(self.frame)}

    def restore(self, snapshot: Any) -> None:
        self.frame = int(snapshot["frame"])


@node("fake/adds")
class Adds(Breaks):
    """Each picture becomes the sum of all up to the ``lookahead``th after it."""

    @staticmethod
    def lookahead(config: BreakConfig) -> int:
        return config.lookahead

    @staticmethod
    def state(config: BreakConfig) -> Unbounded:
        return Unbounded()

    def open(self, context: Context) -> None:
        super().open(context)
        self.total, self.frame = 0, 0
        self.held: list[Pictures] = []

    def process(self, frames: Pictures) -> Pictures | None:
        self.look(self.frame, len(frames))
        self.frame += len(frames)
        self.context.count("seen", len(frames))
        self.held.append(frames)
        self.total = (self.total + int(frames.data[:, 0, 0].astype(int).sum())) % 251
        if sum(len(one) for one in self.held[1:]) >= self.config.lookahead:
            return self._answer()
        return None

    def finish(self) -> Iterator[Pictures]:
        while self.held:
            yield self._answer()

    def _answer(self) -> Pictures:
        frames = self.held.pop(0)
        frames.data[...] = (frames.data + self.total).astype(np.uint8)
        return frames

    def snapshot(self) -> dict[str, Any]:
        if not self.config.with_state:
            return {}
        kept = {f"held{i}": one.data.copy() for i, one in enumerate(self.held)}
        times = {f"pts{i}": one.pts for i, one in enumerate(self.held)}
        return {"total": np.array([self.total, self.frame, len(self.held)]), **kept, **times}

    def restore(self, snapshot: Any) -> None:
        self.total, self.frame, count = map(int, snapshot["total"])
        for i in range(count):
            self.held.append(Frames(snapshot[f"held{i}"], snapshot[f"pts{i}"], VIDEO, 0))


@node("fake/writer")
class Writer(Breaks):
    """Keeps a file a segment; puts them together at the end."""

    @staticmethod
    def writes(config: Any, job: Any) -> tuple[Path, ...]:
        return (job.output,)

    def open(self, context: Context) -> None:
        super().open(context)
        self.folder = context.workspace()
        self.segment, self.frame = 0, 0
        self.lines: list[str] = []

    def process(self, frames: Pictures) -> None:
        self.look(self.frame, len(frames))
        self.frame += len(frames)
        pixels = frames.data[:, 0, 0].tolist()
        self.lines += [f"{t} {p} {self.segment}\n" for t, p in zip(frames.pts.tolist(), pixels, strict=True)]

    def snapshot(self) -> dict[str, Any]:
        (self.folder / f"{self.segment}").write_text("".join(self.lines))
        self.lines.clear()
        self.segment += 1
        return {"segment": np.array([self.segment, self.frame])}

    def restore(self, snapshot: Any) -> None:
        self.segment, self.frame = map(int, snapshot["segment"])

    def finish(self) -> Iterator[None]:
        parts = [(self.folder / str(i)).read_text() for i in range(self.segment)]
        path = self.context.write_as(self.context.job.output)
        path.write_text("".join([*parts, *self.lines]))
        return iter(())


def plan(folder: Path, source: BreakConfig, adds: BreakConfig, writer: BreakConfig, **options: Any) -> Any:
    graph = make_graph(
        place("film", Film, source),
        place("adds", Adds, adds, frames="film"),
        place("more", Adds, BreakConfig(lookahead=3), frames="adds"),
        place("writer", Writer, writer, frames="more"),
    )
    return make_plan(graph, [make_job(folder=folder)], **options)


def do(folder: Path, **options: Any) -> Any:
    given = {
        key: options.pop(key, None) or BreakConfig(lookahead=13 if key == "adds" else 0)
        for key in ("film", "adds", "writer")
    }
    made = plan(folder, given["film"], given["adds"], given["writer"], **options.pop("plan", {}))
    (result,) = run(made, recovery=RECOVERY, **options)
    return result


@pytest.fixture(scope="module")
def expected(tmp_path_factory: Any) -> list[str]:
    folder = tmp_path_factory.mktemp("whole")
    assert do(folder).status == "done"
    assert os.listdir(folder) == ["a.out"], "nothing else is left"
    lines = (folder / "a.out").read_text().splitlines()
    # 0.1 s a frame, batches of 4: from the first batch at or after each 2 s.
    assert [line.split()[2] for line in lines[::20]] == ["0", "1", "2", "3", "4"]
    return lines


NODES = ["film", "adds", "writer"]


@pytest.mark.parametrize("name", NODES)
@pytest.mark.parametrize("cuts", [None, [], [2]])
def test_it_goes_on_and_ends_the_same(name: str, cuts: Any, tmp_path: Path, expected: list[str]) -> None:
    breaks[name] = 90
    first = do(tmp_path, plan={"cuts": cuts})
    assert first.status == "failed"
    assert first.kept_seconds >= 2.0, "more than what queues and look-ahead hold has passed"
    assert [folder_of(first.job.output).name] == os.listdir(tmp_path)
    second = do(tmp_path, plan={"cuts": cuts}, resume=True)
    assert second.status == "done"
    assert (tmp_path / "a.out").read_text().splitlines() == expected
    assert os.listdir(tmp_path) == ["a.out"]
    assert any("goes on at" in event.message for event in second.events)
    assert second.frames_in == second.frames_out == 95
    assert second.figures["seen"] == 2 * 95, "what was counted before counts on"


@settings(max_examples=30, deadline=None)
@given(
    at=st.lists(st.tuples(st.sampled_from(NODES), st.integers(0, 94)), max_size=4),
    lookahead=st.integers(0, 25),
)
def test_broken_off_anywhere(
    at: list[tuple[str, int]], lookahead: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, broken = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("broken")
    assert do(whole, adds=BreakConfig(lookahead=lookahead)).status == "done"
    for name, frame in at:
        breaks[name] = frame
        do(broken, adds=BreakConfig(lookahead=lookahead), resume=True, overwrite=True)
    breaks.clear()
    assert do(broken, adds=BreakConfig(lookahead=lookahead), resume=True, overwrite=True).status == "done"
    assert (whole / "a.out").read_text() == (broken / "a.out").read_text()


def broken(folder: Path, **options: Any) -> Any:
    breaks["film"] = 90
    return do(folder, **options)


@pytest.fixture(autouse=True)
def unbroken() -> Iterator[None]:
    yield
    breaks.clear()


def test_without_resume_it_starts_over_and_leaves_nothing(tmp_path: Path, expected: list[str]) -> None:
    broken(tmp_path)
    result = do(tmp_path)
    assert not any("goes on" in event.message for event in result.events)
    assert os.listdir(tmp_path) == ["a.out"]


def test_another_request_is_not_gone_on_with(tmp_path: Path) -> None:
    broken(tmp_path)
    result = do(tmp_path, resume=True, adds=BreakConfig(lookahead=5))
    assert result.status == "done"
    assert any("is of another request" in event.message for event in result.events)
    assert not any("goes on" in event.message for event in result.events)
    assert len((tmp_path / "a.out").read_text().splitlines()) == 95


def test_a_file_that_an_option_names_is_part_of_the_request(tmp_path: Path) -> None:
    @dataclass
    class Photo(BreakConfig):
        photo: str | None = None

    photo = tmp_path / "photo"
    photo.write_text("Anna")
    made = plan(tmp_path, BreakConfig(), Photo(photo=str(photo)), BreakConfig())
    job, graph = made.assignments[0].job, made.pipelines[0].graph
    before = identity(job, graph, 2.0)
    assert identity(job, graph, 2.0) == before
    photo.write_text("Berta")
    assert identity(job, graph, 2.0) != before


@pytest.mark.parametrize("how", ["cut", "other", "empty"])
def test_a_damaged_checkpoint_is_not_gone_on_with(how: str, tmp_path: Path, expected: list[str]) -> None:
    result = broken(tmp_path)
    path = folder_of(result.job.output) / "checkpoint.npz"
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "other": b"PK\x03\x04nonsense", "empty": b""}[how])
    result = do(tmp_path, resume=True)
    assert result.status == "done"
    assert any("is damaged; it starts from the beginning" in event.message for event in result.events)
    assert (tmp_path / "a.out").read_text().splitlines() == expected


def test_frames_and_seconds_are_those_of_all_tries_of_a_run(tmp_path: Path) -> None:
    rules = (Rule("*", "device", ("resume", "fail")),)
    recovery = Recovery(segment_seconds=2.0, rules=rules, backoff=Backoff(first=0.2, most=0.2))
    breaks["adds"] = 50
    made = plan(tmp_path, BreakConfig(), BreakConfig(lookahead=13), BreakConfig())
    (result,) = run(made, recovery=recovery)
    assert (result.status, result.frames_out, result.frames_before) == ("done", 95, 0)
    assert result.seconds > 0.2, "the wait is in it"


def test_what_somebody_put_beside_the_workspaces_does_not_matter(tmp_path: Path, expected: list[str]) -> None:
    result = broken(tmp_path)
    (folder_of(result.job.output) / "notes.old").mkdir()
    (folder_of(result.job.output) / "notes").write_text("")
    result = do(tmp_path, resume=True)
    assert result.status == "done", result.error
    assert result.frames_before > 0
    assert (tmp_path / "a.out").read_text().splitlines() == expected
    assert os.listdir(tmp_path) == ["a.out"]


def test_a_workspace_that_lost_a_file_starts_over(tmp_path: Path, expected: list[str]) -> None:
    class Missing(Writer):
        def restore(self, snapshot: Any) -> None:
            raise InputError("a segment is missing")

    result = broken(tmp_path)
    made = plan(tmp_path, BreakConfig(), BreakConfig(lookahead=13), BreakConfig())
    object.__setattr__(made.pipelines[0].graph.by_name["writer"].kind, "cls", Missing)
    try:
        (result,) = run(made, recovery=RECOVERY, resume=True)
    finally:
        object.__setattr__(made.pipelines[0].graph.by_name["writer"].kind, "cls", Writer)
    assert result.status == "done", result.error
    assert any("a segment is missing" in e.message and e.kind == "recovery" for e in result.events)
    assert (tmp_path / "a.out").read_text().splitlines() == expected


def test_a_node_that_keeps_no_state_makes_no_checkpoint(tmp_path: Path) -> None:
    result = broken(tmp_path, adds=BreakConfig(with_state=False))
    assert result.kept_seconds is None
    assert os.listdir(tmp_path) == []


def test_one_process_at_a_time(tmp_path: Path) -> None:
    output = tmp_path / "a.out"
    other = Unfinished(output)
    other.workspace("writer")
    assert writer_of(output) == os.getpid()
    result = do(tmp_path)
    assert result.status == "failed"
    assert "being written by another run" in result.error
    assert other.workspace("writer").is_dir(), "it is the other's"
    other.remove()
    assert writer_of(output) is None
    assert do(tmp_path).status == "done"
    with pytest.raises(InputError, match="is over"):
        other.workspace("writer")


def test_a_file_in_the_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    folder_of(tmp_path / "a.out").write_text("")
    result = do(tmp_path)
    assert result.status == "failed"
    assert "cannot be used for unfinished work" in result.error


def test_a_checkpoint_that_does_not_fit_takes_no_room(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the system has no limit of a file's size to set")
    mine = Unfinished(tmp_path / "a.out")
    mine.save(Checkpoint("r", 4, 1, 2.0, 0.0, {}))
    large = {"adds": Part(NodeUse("adds", "fake/adds"), {"sum": np.zeros(1 << 16, np.uint8)})}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            mine.save(Checkpoint("r", 8, 2, 4.0, 0.0, large))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(mine.folder)) == ["checkpoint.npz", "lock"]
    mine.release()
    kept = Unfinished(tmp_path / "a.out").take("r", go_on=True)
    assert kept is not None
    assert kept.frame == 4


def test_long_names(tmp_path: Path) -> None:
    assert len(os.fsencode(folder_of(tmp_path / ("가" * 84 + ".mp4")).name)) <= 255
    assert folder_of(tmp_path / ("가" * 84 + ".mp4")) != folder_of(tmp_path / ("가" * 84 + ".mkv"))


def test_a_checkpoint_is_plain_arrays() -> None:
    use = NodeUse("one", "a/b", 7, 0.5, 0.25, {"n": 1.0}, {"m": [1]})
    part = Part(use, {"x": np.arange(3)}, ((4, 2, (np.array([4, 5]),)),), {"": 3}, 4)
    data = Checkpoint("r", 8, 2, 20.5, 0.5, {"one": part}, ({"kind": "notice", "message": "m"},)).packed()
    again = Checkpoint.unpacked(data)
    assert again.parts["one"].snapshot["x"].tolist() == [0, 1, 2]
    assert again.parts["one"].use == use
    assert (again.parts["one"].last, again.parts["one"].longest) == ({"": 3}, 4)
    assert again.parts["one"].owed[0][2][0].tolist() == [4, 5]
    assert json.dumps(again.events) == json.dumps([{"kind": "notice", "message": "m"}])
    with pytest.raises(ValueError, match="pickle"):
        Checkpoint("r", 8, 2, 0, 0, {"one": Part(use, {"x": np.array([object()])})}).packed()
    for cut in range(0, len(data), 97):
        with pytest.raises(ValueError, match=r"damaged|version|pickle|zip|file"):
            Checkpoint.unpacked(data[:cut])


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.1, 20))
def test_segments_begin_in_order_and_once(times: list[float], length: float) -> None:
    segments = Segments(length)
    begun = [n for t in sorted(times) if (n := segments.begins(t))]
    assert begun == sorted(set(begun))
