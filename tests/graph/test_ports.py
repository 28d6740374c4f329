"""Ports are what the annotations of process say."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple

import pytest

from dualface.graph.ports import PortError, PortType, read_ports
from dualface.graph.types import NV12, Cpu, Cuda, F, Faces, Frames, M, Memory


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


@pytest.mark.parametrize(
    ("process", "said"),
    [
        (untyped, "'faces' has no type annotation"),
        (unnamed, "'faces' cannot be a port"),
        (unanswered, "no return annotation"),
        (two_types, "not one type"),
        (no_mark, "neither a pixel format nor a memory"),
    ],
)
def test_what_is_no_port_is_told_by_name(process: Any, said: str) -> None:
    with pytest.raises(PortError, match=said):
        read_ports(process)
