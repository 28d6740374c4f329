"""The ports that the kinds of each role share.

A kind may leave out an input that its role has (the plan then drops that edge) and may add
outputs; it must give every output named here. Pixel format and memory are each kind's own.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

from dualface.graph.types import Cuts, F, Faces, Frames, M, People, Shots, Source, Tracks


class Decoded(NamedTuple, Generic[F, M]):
    frames: Frames[F, M]
    source: Source


class Detected(NamedTuple):
    faces: Faces
    cuts: Cuts


def decode() -> Decoded[F, M]: ...  # type: ignore[empty-body]


def detect(frames: Frames[F, M]) -> Detected: ...  # type: ignore[empty-body]


def track(faces: Faces, cuts: Cuts) -> Tracks: ...  # type: ignore[empty-body]


def reid(frames: Frames[F, M], tracks: Tracks, cuts: Cuts) -> People: ...  # type: ignore[empty-body]


def camera(people: People, cuts: Cuts) -> Shots: ...  # type: ignore[empty-body]


def compose(frames: Frames[F, M], shots: Shots) -> Frames[F, M]: ...  # type: ignore[empty-body]


def encode(frames: Frames[F, M], source: Source) -> None: ...
