"""Every installed kind keeps the contract; and the suite sees those who do not."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yolo_net

from dualface import zoo
from dualface.conformance import Batch, breaches, check_node
from dualface.conformance.running import Run
from dualface.graph.job import Job
from dualface.graph.node import Bounded, Context, Needs, Node, NodeConfig, Unbounded
from dualface.graph.registry import installed
from dualface.graph.types import NV12, Cpu, Cuts, F, Faces, Frames, Memory, Shots, Video

KINDS = installed().kinds


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 frames of moving grey, 322x242, with a tone."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=30, width=322, height=242, pix_fmt="yuv420p")
        audio = file.add_stream("aac", rate=44100, layout="mono")
        for i in range(21):
            picture = np.full((242, 322, 3), 40 + 5 * i, np.uint8)
            picture[50:100, 4 * i : 4 * i + 60] = 230
            file.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        tone = (0.2 * np.sin(np.arange(30 * 1024) / 10)).astype(np.float32)
        for i in range(30):
            sound = av.AudioFrame.from_ndarray(tone[None, i * 1024 : (i + 1) * 1024], "fltp", "mono")
            sound.sample_rate, sound.pts, sound.time_base = 44100, i * 1024, Fraction(1, 44100)
            file.mux(audio.encode(sound))
        file.mux(video.encode(None))
        file.mux(audio.encode(None))
    return path


@pytest.fixture
def job(clip: Path, tmp_path: Path) -> Job:
    from dualface.nodes.decode.probe import probe

    return probe(clip, output=tmp_path / "out.mp4", name="clip")


@pytest.mark.parametrize("name", sorted(k for k in KINDS if KINDS[k].package == "dualface"))
def test_installed_kinds_keep_the_contract(
    name: str, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    if name == "track/trackers":
        pytest.importorskip("trackers", reason="the extra 'trackers' is not installed")
    feeds: list[list[Batch]] | None = None
    if kind.role == "encode":
        decode = KINDS["decode/pyav"]
        config: Any = decode.config()
        batches = Run(decode, config, job).all([])
        feeds = [[{"frames": b.frames, "source": b.source} for b in batches]]
    if kind.role in ("decode", "encode"):
        check_node(kind, job=job, feeds=feeds)
    else:
        if name == "detect/yolo":  # it runs a network of the user's own
            monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
            yolo_net.describe(tmp_path, yolo_net.network(size=(256, 256)), size="256x256")
        if name == "reid/conditional" and zoo.left_out(zoo.find("dlib-face")):
            pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
        check_node(kind, _options(kind.config))


def _options(config: type[NodeConfig]) -> dict[str, Any]:
    """The options that have no sensible default: the picture's layout, a model of the user's own."""
    tiles = [
        {"name": n, "x": x, "y": 0, "width": 160, "height": 180} for n, x in (("left", 0), ("right", 160))
    ]
    fields = getattr(config, "__dataclass_fields__", {})
    given = {"layout": {"width": 320, "height": 180, "tiles": tiles}, "model": "red"}
    return {name: value for name, value in given.items() if name in fields and not getattr(config, name, "")}


def test_both_directions_of_convert() -> None:
    check_node(KINDS["convert"], {"source": "nv12", "target": "p010"})


def test_ten_bits_come_back_as_they_were() -> None:
    from dualface.nodes.convert import to_8_bit, to_10_bit

    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(to_8_bit(to_10_bit(every)), every)


@dataclass
class Bare(NodeConfig):
    gain: int = 1


@dataclass
class Plain(NodeConfig):
    gain: int = 1  # how much


class Good(Node[Plain]):
    """Gives back what it gets."""

    kind = "test/good"

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        return frames


class Undocumented(Node[Bare]):
    kind = "test/undocumented"

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        return frames


class Writes(Good):
    """Writes into its input."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        frames.data[0, 0, 0] ^= 1
        return frames


class Swallows(Good):
    """Answers nothing."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu] | None:
        return None


class Late(Good):
    """Answers one batch late, and does not say so."""

    def open(self, context: Any) -> None:
        self.held: list[Any] = []

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu] | None:
        self.held.append(frames)
        return self.held.pop(0) if len(self.held) > 1 else None

    def finish(self) -> Iterator[Any]:
        yield from self.held


class Twice(Good):
    """Answers once more in the end."""

    def finish(self) -> Iterator[Any]:
        yield self.last

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        self.last = frames
        return frames


class Short(Good):
    """Drops a frame."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        return Frames(frames.data[1:], frames.pts[1:], frames.video, frames.first)


class Moody(Good):
    """Says that it has no state, and counts."""

    count = 0

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        self.count += 1
        return Frames(frames.data // np.uint8(self.count), frames.pts, frames.video, frames.first)


class Random(Good):
    """Answers as it likes."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        noise = np.random.default_rng().integers(0, 255, frames.data.shape, np.uint8)
        return Frames(noise, frames.pts, frames.video, frames.first)


class Forgets(Moody):
    """Counts, and does not save the count."""

    @staticmethod
    def state(config: Any) -> Unbounded:
        return Unbounded()


class Remembers(Moody):
    """Counts for ever, and claims to forget soon."""

    @staticmethod
    def state(config: Any) -> Bounded:
        return Bounded(4)


class Counts(Forgets):
    """Counts, and saves the count."""

    def open(self, context: Any) -> None:
        self.counted = np.zeros(1, np.int64)

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        self.counted += 1
        data = frames.data // np.uint8(self.counted[0])
        return Frames(data, frames.pts, frames.video, frames.first)

    def snapshot(self) -> Any:
        return {"counted": self.counted.copy()}

    def restore(self, snapshot: Any) -> None:
        self.counted = snapshot["counted"].copy()


class Aliases(Counts):
    """Hands out the array that it counts in."""

    def snapshot(self) -> Any:
        return {"counted": self.counted}


class Scribbles(Counts):
    """Counts on in the array that it is given."""

    def restore(self, snapshot: Any) -> None:
        self.counted = snapshot["counted"]


class Disturbs(Counts):
    """Begins anew when its state is kept."""

    def snapshot(self) -> Any:
        kept, self.counted = self.counted, np.zeros(1, np.int64)
        return {"counted": kept}


class Blank(Counts):
    """Saves nothing, but says that it does."""

    def snapshot(self) -> Any:
        return {}

    def restore(self, snapshot: Any) -> None: ...


class Pickles(Counts):
    """Saves what no plain array can hold."""

    def snapshot(self) -> Any:
        return {"counted": np.array([{"counted": 1}])}


class Lists(Counts):
    """Saves a list."""

    def snapshot(self) -> Any:
        return [self.counted]


class Ahead(Good):
    """Answers one batch late, says so, and keeps what it owes."""

    @staticmethod
    def lookahead(config: Any) -> int:
        return 1

    @staticmethod
    def state(config: Any) -> Bounded:
        return Bounded(1)

    def open(self, context: Any) -> None:
        self.held: list[Any] = []

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu] | None:
        self.held.append(frames)
        return self.held.pop(0) if len(self.held) > 1 else None

    def finish(self) -> Iterator[Any]:
        while self.held:
            yield self.held.pop(0)

    def snapshot(self) -> Any:
        kept = {f"data{i}": frames.data for i, frames in enumerate(self.held)}
        kept |= {f"pts{i}": frames.pts for i, frames in enumerate(self.held)}
        kept["first"] = np.array([frames.first for frames in self.held], np.int64)
        video = self.held[0].video if self.held else None
        kept["size"] = np.array([video.width, video.height, video.rotation] if video else [0, 0, 0])
        return kept

    def restore(self, snapshot: Any) -> None:
        width, height, rotation = snapshot["size"].tolist()
        video = Video(width, height, Fraction(1, 30), Fraction(30), rotation)
        self.held = [
            Frames(snapshot[f"data{i}"], snapshot[f"pts{i}"], video, first)
            for i, first in enumerate(snapshot["first"].tolist())
        ]


class Owes(Ahead):
    """The same, but the pictures that wait are not in its snapshot."""

    def snapshot(self) -> Any:
        return {**super().snapshot(), "first": np.zeros(0, np.int64)}


class Sources(Node[Plain]):
    """Gives ten batches of faces."""

    kind = "test/sources"

    @staticmethod
    def state(config: Any) -> Unbounded:
        return Unbounded()

    def open(self, context: Any) -> None:
        self.left = 10

    def process(self) -> Cuts | None:
        self.left -= 1
        return Cuts(np.zeros(1, bool), np.full(1, 10.0 - self.left)) if self.left >= 0 else None

    def snapshot(self) -> Any:
        return {"left": np.array(self.left)}

    def restore(self, snapshot: Any) -> None:
        self.left = int(snapshot["left"])


class Restarts(Sources):
    """The same, always from the first on."""

    def restore(self, snapshot: Any) -> None: ...


class Records(Node[Plain]):
    """Writes down how bright pictures are."""

    kind = "test/records"

    @staticmethod
    def writes(config: Any, job: Job) -> tuple[Path, ...]:
        return (job.output.with_suffix(".txt"),)

    def open(self, context: Context) -> None:
        self.context, self.kept = context, context.workspace() / "kept.txt"
        self.file = self.kept.open("a+")

    def process(self, frames: Frames[NV12, Cpu]) -> None:
        self.file.write(f"{frames.data.mean()}\n")

    def finish(self) -> Iterator[Any]:
        self.file.close()
        (path,) = self.writes(self.config, self.context.job)
        self.context.write_as(path).write_text(self.kept.read_text())
        return iter(())

    def close(self) -> None:
        if hasattr(self, "file"):
            self.file.close()

    def snapshot(self) -> Any:
        self.file.flush()
        return {"size": np.array(self.kept.stat().st_size)}

    def restore(self, snapshot: Any) -> None:
        self.file.truncate(int(snapshot["size"]))


class Repeats(Records):
    """Keeps also what was written after its state was kept."""

    def restore(self, snapshot: Any) -> None: ...


class Leaks(Good):
    """Cannot be closed unless it was opened."""

    def open(self, context: Any) -> None:
        self.thing = object()

    def close(self) -> None:
        del self.thing


class Empty(Node[Plain]):
    """Shots without area."""

    kind = "test/empty"

    def process(self, frames: Frames[NV12, Cpu]) -> Shots:
        n = len(frames)
        return Shots(("one",), np.zeros((n, 1, 4), np.float32), np.zeros((n, 1), np.bool_))


class Undecided(Node[Plain]):
    """Gives pictures in a format that nothing decides."""

    kind = "test/undecided"

    def process(self, faces: Faces) -> Frames[F, Cpu]:
        raise NotImplementedError


class Unasked(Good):
    """Forgets that what is asked before a run is static."""

    def needs(self, config: Any, memory: Memory) -> Any: ...


class Fickle(Good):
    """Needs something else each time."""

    asked = 0

    @staticmethod
    def needs(config: Any, memory: Memory) -> Any:
        Fickle.asked += 1
        return Needs(vram_mb=Fickle.asked)


class Greedy(Good):
    """Asks for no number of cores."""

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=float("nan"))


class Exits(Good):
    """Leaves for good."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        raise SystemExit(3)


class Interrupts(Good):
    """Acts as if somebody had pressed Ctrl-C."""

    def open(self, context: Any) -> None:
        raise KeyboardInterrupt


class Hangs(Good):
    """Never comes back while the tests run."""

    kind = "test/hangs"
    until = threading.Event()

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        self.until.wait()
        raise RuntimeError("the tests are over")


class Pressed(Hangs):
    """Somebody presses Ctrl-C while it hangs."""

    def process(self, frames: Frames[NV12, Cpu]) -> Frames[NV12, Cpu]:
        signal.raise_signal(signal.SIGINT)
        return super().process(frames)


def test_a_node_that_hangs_is_told_once(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(Hangs.until.set)
    assert list(breaches(Hangs, seconds=0.2)) == [
        "two faces and a cut: process() did not come back within 0.2 s"
    ]
    with pytest.raises(KeyboardInterrupt):
        check_node(Pressed)


@pytest.mark.parametrize("threads", [float("nan"), float("inf"), -1])
def test_needs_are_finite(threads: float) -> None:
    with pytest.raises(ValueError, match=r"Needs has threads=.*; it is a finite number, 0 or more"):
        Needs(threads=threads)


@pytest.mark.parametrize("cls", [Good, Counts, Ahead, Sources, Records])
def test_a_good_node_passes(cls: type[Node[Any]]) -> None:
    check_node(cls)


@pytest.mark.parametrize(
    ("cls", "said"),
    [
        (Undocumented, "the option 'gain' has no comment"),
        (Writes, "it changes its input 'frames'"),
        (Swallows, "were never answered"),
        (Late, "frames are unanswered, but its look-ahead is 0"),
        (Twice, "more answers than batches"),
        (Short, "has 3 frames for a batch of 4"),
        (Moody, "it calls itself stateless"),
        (Random, "the same inputs give other answers"),
        (Forgets, "it has a state but no snapshot() of it"),
        (Blank, "go on as before after restore(snapshot()) after 1 of 5 batches; its snapshot is empty"),
        (Owes, "it does not go on as before after restore(snapshot()) after 1 of 5 batches"),
        (Repeats, "what it writes is something else after restore(snapshot()) after 2 of 5 batches"),
        (Restarts, "it does not go on as before after restore(snapshot()) after 2 batches"),
        (Aliases, "it goes on writing into snapshot()['counted'] after that was given"),
        (Scribbles, "it writes into the arrays that restore() is given"),
        (Disturbs, "its answers are others when snapshot() is called on the way"),
        (Pickles, "snapshot()['counted'] is no plain array"),
        (Lists, "snapshot() gives a list, not arrays by their names"),
        (Remembers, "it remembers more than the 4 frames"),
        (Leaks, "close() raises AttributeError when open() failed"),
        (Empty, "crops are not finite, or have no area"),
        (Undecided, "nothing decides the pixel format of its output: binds() must"),
        (Greedy, "what is asked before a run: it raises ValueError: Needs has threads=nan"),
        (Exits, "two faces and a cut: it raises SystemExit: 3"),
        (Interrupts, "a single frame: it raises KeyboardInterrupt"),
        (Unasked, "what is asked before a run: it raises TypeError: Unasked.needs() missing 1 required"),
        (Fickle, "needs() gives something else each time"),
    ],
)
def test_breaches_are_seen(cls: type[Node[Any]], said: str) -> None:
    assert any(said in breach for breach in breaches(cls)), list(breaches(cls))
    with pytest.raises(AssertionError, match="breaks the contract"):
        check_node(cls)


@dataclass(frozen=True, eq=False)
class Loudness:
    """A value type of one's own."""

    levels: Any

    def __len__(self) -> int:
        return len(self.levels)


class Listens(Node[Plain]):
    """A source of a value of its own, in batches that are not full."""

    kind = "test/listens"
    given = 0

    def process(self) -> Loudness | None:
        self.given += 1
        return Loudness(np.full(3, self.given)) if self.given < 4 else None

    def snapshot(self) -> Any:
        return {"given": np.array(self.given)}

    def restore(self, snapshot: Any) -> None:
        self.given = int(snapshot["given"])


class Shouts(Listens):
    """Gives more frames than it was asked for."""

    def process(self) -> Loudness | None:
        self.given += 1
        return Loudness(np.zeros(9)) if self.given < 4 else None


class Endless(Listens):
    """Never ends."""

    def process(self) -> Loudness | None:
        return Loudness(np.zeros(3))


class Brightens(Node[Plain]):
    """Reads a value of its own package beside pictures, and perhaps another."""

    kind = "test/brightens"

    def process(self, frames: Frames[NV12, Cpu], loud: Loudness, more: Loudness | None) -> Loudness:
        assert len(frames) == len(loud)
        return Loudness(loud.levels + (0 if more is None else more.levels))


class Deafens(Brightens):
    """Writes into the value."""

    def process(self, frames: Frames[NV12, Cpu], loud: Loudness, more: Loudness | None) -> Loudness:
        loud.levels[:] = 0
        return loud


class NeedsCuts(Good):
    """Has an optional input, and falls over without it."""

    def process(self, frames: Frames[NV12, Cpu], cuts: Cuts | None) -> Frames[NV12, Cpu]:
        assert cuts is not None
        return frames


FEED = [{"loud": Loudness(np.arange(float(n)))} for n in (4, 4, 1)]


def test_value_types_of_ones_own() -> None:
    check_node(Listens)
    check_node(Brightens, feeds=[FEED, [{**batch, "more": batch["loud"]} for batch in FEED]])
    assert any("gives a batch of 9 frames" in breach for breach in breaches(Shouts))
    assert any("does not end" in breach for breach in breaches(Endless))
    feed = [{"loud": Loudness(np.arange(3.0))}]
    assert any("changes its input 'loud'" in breach for breach in breaches(Deafens, feeds=[feed]))


def test_optional_inputs_are_left_out_once() -> None:
    (breach,) = breaches(NeedsCuts)
    assert breach.startswith("without its optional inputs: it raises AssertionError")


@pytest.mark.parametrize(
    ("feeds", "said"),
    [
        (None, r"'loud' is of the type Loudness, .* feeds=\[\[{'loud': Loudness\(...\)}\]\]"),
        ([[{"lout": 1}]], "names 'lout', which is no input; they are frames, loud, more"),
        ([[{"loud": object()}]], "leaves 'frames' out, and nothing in it has a len"),
    ],
)
def test_what_feeds_must_hold(feeds: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        check_node(Brightens, feeds=feeds)
