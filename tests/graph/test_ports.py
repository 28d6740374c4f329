"""Ports are what the annotations of process say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

import pytest

from dualface.graph.ports import PortError, PortType, read_ports
from dualface.graph.types import NV12, Cpu, Cuda, Cuts, F, Faces, Frames, M, Memory

T = TypeVar("T")


class Several(NamedTuple, Generic[F, M]):
    frames: Frames[F, M]
    faces: Faces


def test_inputs_outputs_and_what_may_be_left_out() -> None:
    def process(self: Any, frames: Frames[NV12, Cuda], faces: Faces | None = None) -> Faces: ...

    ports = read_ports(process)
    assert ports.inputs["frames"].type == PortType(Frames, NV12, Memory.CUDA)
    assert (ports.inputs["frames"].optional, ports.inputs["faces"].optional) == (False, True)
    assert [*ports.outputs] == [""]


def test_several_outputs_take_what_the_tuple_is_given() -> None:
    def process(self: Any) -> Several[NV12, Cpu] | None: ...

    assert str(read_ports(process).outputs["frames"].type) == "Frames[NV12, cpu]"


def test_variables_are_kept_by_name() -> None:
    def process(self: Any, frames: Frames[F, M]) -> Frames[F, M]: ...

    ports = read_ports(process)
    assert ports.inputs["frames"].type == ports.outputs[""].type == PortType(Frames, "~F", "~M")


def test_none_is_an_effect() -> None:
    def process(self: Any, faces: Faces) -> None: ...

    assert not read_ports(process).outputs


def untyped(self: Any, faces) -> None: ...  # type: ignore[no-untyped-def]


def unnamed(self: Any, *faces: Faces) -> None: ...


def unanswered(self: Any, faces: Faces):  # type: ignore[no-untyped-def]
    ...


def two_types(self: Any, faces: Faces | Frames[NV12, Cpu]) -> None: ...


def no_mark(self: Any, frames: Frames[NV12, int]) -> None: ...  # type: ignore[type-var]


def bare(self: Any, frames: Frames) -> None: ...  # type: ignore[type-arg]


def anything(self: Any, frames: Any) -> None: ...


def nothing(self: Any, frames: None) -> None: ...


def plain_tuple(self: Any) -> tuple[Faces, Cuts]: ...  # type: ignore[empty-body]


def stream(self: Any, faces: Faces) -> Iterator[Faces]: ...  # type: ignore[empty-body]


def with_a_default(self: Any, faces: Faces, gain: float = 2.0) -> None: ...


def free(self: Any, frames: Frames[NV12, T]) -> None: ...  # type: ignore[type-var]


class Unsure(NamedTuple):
    faces: Faces | None


def unsure(self: Any) -> Unsure: ...  # type: ignore[empty-body]


class Nowhere(NamedTuple):
    faces: Missing  # type: ignore[name-defined]  # noqa: F821


def nowhere(self: Any) -> Nowhere: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("process", "said"),
    [
        (bare, "'frames' is annotated with Frames; say in which format and memory, as in Frames[NV12, Cpu]"),
        (anything, "'frames' is annotated with Any, which is not a type of value"),
        (nothing, "'frames' is annotated with NoneType, which is not a type of value"),
        (plain_tuple, "return is annotated with tuple[Faces, Cuts]; several outputs are a NamedTuple"),
        (stream, "annotated with Iterator[Faces], and Faces is neither a pixel format nor a memory"),
        (with_a_default, "'gain' has a default, but is no optional input; an option stands in the config"),
        (free, "'frames' is annotated with Frames[NV12, ~T], and ~T is neither a pixel format nor a memory"),
        (unsure, "'faces' is annotated with Faces | None, which is not one type"),
        (nowhere, "the annotations of Nowhere do not resolve: name 'Missing' is not defined"),
        (untyped, "'faces' has no type annotation"),
        (unnamed, "'faces' cannot be a port"),
        (unanswered, "no return annotation"),
        (two_types, "not one type"),
        (no_mark, "neither a pixel format nor a memory"),
    ],
)
def test_what_is_no_port_is_told_by_name(process: Any, said: str) -> None:
    with pytest.raises(PortError, match=re.escape(said)):
        read_ports(process)
