"""reid/conditional: people are recognised by their faces, but only when there is doubt about who they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dualface import zoo
from dualface.graph.job import Job
from dualface.graph.node import Context, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuts, Floats, Frames, Layout, M, Memory, People, Tracks, spans
from dualface.nodes.layout import SIDE_BY_SIDE
from dualface.nodes.reid import kept, portrait
from dualface.nodes.reid.answers import Answers
from dualface.nodes.reid.described import described, opened
from dualface.nodes.reid.embed import MODEL, Embedder, Networks
from dualface.nodes.reid.judge import Limits
from dualface.nodes.reid.owed import Owed
from dualface.nodes.reid.told import told
from dualface.nodes.reid.who import Rules, Who

PACKAGES = ("onnxruntime", "cv2")
WEIGHTS = "face_recognition_models"
NETWORKS_MB = 300  # two small ones, for eight faces: a guess, until one has run on a GPU


@dataclass
class ConditionalConfig(NodeConfig):
    """Faces are recognised at risk only, and sides are people's own."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # its tiles are the sides
    left: str | None = None  # a photo of the person who gets the first tile
    right: str | None = None  # a photo of the person who gets the second tile
    sides: Literal["person", "position"] = "person"  # what a side is bound to
    policy: Literal["conditional", "always", "new"] = (
        "conditional"  # recognise at risk, every clean face, or new tracks only
    )
    window: int = 30  # frames of future that an answer waits for, to be right from the first
    every: float = 2.0  # seconds until a face that nobody doubts is checked; up to four times as long later
    model: str = MODEL  # the descriptor of the network that recognises
    score: float = 0.7  # recognise faces at or above this confidence, 0..1
    overlap: float = 0.15  # of which others cover less than this share, 0..1
    height: float = 24.0  # and whose box is at least so many pixels high
    most: int = 8  # people who are told apart
    margin: float = 1.5  # somebody else gets a person's tile after having been seen so many times as much
    reserve: float = 1.0  # seconds that a tile is kept for its person, before it is lent to somebody else
    smallest: float = 0.4  # ignore faces below this share of the largest one's height, 0..1

    def __post_init__(self) -> None:
        for name in ("score", "overlap", "smallest"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        for name in ("window", "height", "reserve"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it is 0 or more")
        if self.every <= 0:
            raise ValueError(f"every is {self.every:g}; it is more than 0 seconds")
        if self.most < 2:
            raise ValueError(f"most is {self.most}; it is at least 2")
        if self.margin < 1:
            raise ValueError(f"margin is {self.margin:g}; it is at least 1")

    @property
    def photos(self) -> dict[int, str]:
        """The enrolled people's photos, by tile."""
        return {tile: photo for tile, photo in enumerate((self.left, self.right)) if photo}


@lru_cache
def _fault(model: str, origin: Path, sha256: str) -> str:
    """What is wrong with a model's weights, or a user's own file; read once, not for each job."""
    try:
        zoo.weights_path(model)
        if zoo.find(model).path is not None:
            opened(described(model))
    except zoo.ModelError as error:
        return str(error)
    return ""


@node("reid/conditional", rank=40)
class Conditional(Node[ConditionalConfig]):
    """Tells people apart by their faces, at next to no cost while nothing is in doubt."""

    def __init__(self, config: ConditionalConfig) -> None:
        super().__init__(config)
        self._embedder: Embedder | None = None
        self._owed = Owed()
        self._seen = 0  # frames
        self._enrolled = not config.photos

    @staticmethod
    def needs(config: ConditionalConfig, memory: Memory) -> Needs:
        packages = (*PACKAGES, WEIGHTS) if config.model == MODEL else PACKAGES
        if memory is Memory.CUDA:
            return Needs(
                engine="cuda", features=("cuda",), packages=(*packages, "torch", "cupy"),
                vram_mb=NETWORKS_MB, threads=0.3,
            )  # fmt: skip
        return Needs(packages=packages, threads=0.3)

    @staticmethod
    def lookahead(config: ConditionalConfig) -> int:
        return config.window

    @staticmethod
    def state(config: ConditionalConfig) -> State:
        return Unbounded()

    @staticmethod
    def check(config: ConditionalConfig, job: Job) -> tuple[str, ...]:
        try:
            described(config.model)
            model = zoo.find(config.model)
        except zoo.ModelError as error:
            return (str(error),)
        # (A package that is not here may be where the job will run; it is among the needs.)
        fault = "" if zoo.left_out(model) else _fault(model.name, model.origin, model.sha256)
        return (fault,) if fault else ()

    def open(self, context: Context) -> None:
        self._context, config = context, self.config
        rules = Rules(config.policy, config.every, config.score, config.overlap, config.height)
        self._who = Who(
            rules, Limits(described(config.model).distance), config.most, enrolled=len(config.photos)
        )
        self._answers = Answers(config, self._who, context.job.video.display_size)

    def process(self, frames: Frames[NV12, M], tracks: Tracks, cuts: Cuts) -> People | None:
        for i, span in enumerate(spans(tracks.counts)):
            self._see(frames, i, tracks, span, cuts)
        self._owed.append((tracks, cuts))
        return self._answer() if self._owed.due(self.config.window) else None

    def finish(self) -> Iterator[People]:
        while self._owed:
            yield self._answer()

    def close(self) -> None:
        if self._embedder is not None:
            self._embedder.close()

    def _see(self, frames: Frames[NV12, M], i: int, tracks: Tracks, span: slice, cuts: Cuts) -> None:
        """Follow the tracks of one frame; its picture is looked at only where a face is wanted."""
        landmarks, scores = tracks.landmarks[span], tracks.scores[span]

        def embed(wanted: list[int]) -> Floats:
            return self._recogniser(frames).embed(frames.data[i], frames.video, landmarks[wanted])

        recognised = self._who.see(
            self._seen, float(cuts.seconds[i]), bool(cuts.flags[i]), tracks.ids[span].tolist(),
            tracks.boxes[span].astype(np.float64), scores, landmarks, embed,
        )  # fmt: skip
        self._seen += 1
        count = self._context.count
        count("faces_seen", int((scores > 0).sum()))
        count("faces_recognised", recognised)
        count("frames_with_reid", int(recognised > 0))
        if not span.stop > span.start:
            count("frames_without_face", 1)

    def _recogniser(self, frames: Frames[NV12, M]) -> Embedder:
        """Opened with the first face, where the pictures are; it gets to know the people in the photos."""
        if self._embedder is None:
            networks: Networks | None = None
            if not isinstance(frames.data, np.ndarray):
                from dualface.nodes.reid.embed_cuda import DeviceNetworks

                assert self._context.device is not None
                networks = DeviceNetworks(self._context.device, self._context.count)
            self._embedder = Embedder(self.config.model, networks=networks)
        if not self._enrolled:
            for person, photo in enumerate(self.config.photos.values()):
                face = self._embedder.embed(*portrait.read(photo))
                self._who.gallery.add(person, [*face], set())
            self._enrolled = True
        return self._embedder

    def _answer(self) -> People:
        tracks, _ = self._owed[0]
        persons, sides = self._answers.give(self._owed)
        self._owed.pop(0)
        for name, value in told(self._who, self._answers).items():
            self._context.report(name, value)
        return People(
            tracks.counts, tracks.boxes, tracks.scores, tracks.landmarks, tracks.ids,
            np.array(persons, np.int64), np.array(sides, np.int64),
        )  # fmt: skip

    def snapshot(self) -> Snapshot:
        made: dict[str, Any] = {f"who.{key}": value for key, value in kept.snapshot(self._who).items()}
        made |= {f"answers.{key}": value for key, value in self._answers.snapshot().items()}
        made |= {f"owed.{key}": value for key, value in self._owed.snapshot().items()}
        made["clock"] = np.array([self._seen, self._enrolled], np.int64)
        return made

    def restore(self, snapshot: Snapshot) -> None:
        kept.restore(self._who, {k[4:]: v for k, v in snapshot.items() if k.startswith("who.")})
        self._answers.restore({k[8:]: v for k, v in snapshot.items() if k.startswith("answers.")})
        self._owed.restore({k[5:]: v for k, v in snapshot.items() if k.startswith("owed.")})
        self._seen, enrolled = snapshot["clock"].tolist()
        self._enrolled = bool(enrolled)
