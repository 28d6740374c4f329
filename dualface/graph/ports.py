"""Ports, read from the annotations of a node's ``process``."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dualface.graph.types import Frames, Memory, MemoryMark, PixelFormat


@dataclass(frozen=True, slots=True)
class PortType:
    """A value class and, where it holds pixels, their format and memory.

    ``format`` and ``memory`` are ``None`` for values without pixels, and the name of a type
    variable (``"~M"``) where the node takes any: one variable has one meaning in one node.
    """

    value: type
    format: type[PixelFormat] | str | None = None
    memory: Memory | str | None = None

    def __str__(self) -> str:
        if self.format is None and self.memory is None:
            return self.value.__name__
        pixel = self.format if isinstance(self.format, str) else getattr(self.format, "__name__", "?")
        memory = self.memory.value if isinstance(self.memory, Memory) else str(self.memory)
        return f"{self.value.__name__}[{pixel}, {memory}]"


@dataclass(frozen=True, slots=True)
class Port:
    """A named, typed input or output. The only output of a node is called ``""``."""

    name: str
    type: PortType
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of a node kind (or those that a role promises), by name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


class PortError(TypeError):
    """The annotations of a ``process`` method cannot be read as ports."""


def read_ports(process: Any) -> Ports:
    """The ports of a ``process`` function: parameters in, return annotation out.

    Several outputs are a NamedTuple; ``X | None`` marks an optional input; a return annotation
    of ``None`` means a node that only has an effect. Raises `PortError` with the parameter's
    name where an annotation is missing or is not a type.
    """
    hints = _hints(process, process.__qualname__)
    inputs: dict[str, Port] = {}
    for name, parameter in inspect.signature(process).parameters.items():
        if name == "self":
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise PortError(f"{process.__qualname__}: '{name}' cannot be a port; ports are named parameters")
        if name not in hints:
            raise PortError(f"{process.__qualname__}: parameter '{name}' has no type annotation")
        where = f"{process.__qualname__}: '{name}'"
        inner, optional = _strip_optional(hints[name])
        if parameter.default is not parameter.empty and not optional:
            hint = "an option stands in the config, and an input that may be left out is annotated X | None"
            raise PortError(f"{where} has a default, but is no optional input; {hint}")
        inputs[name] = Port(name, _port_type(inner, where), optional)
    if "return" not in hints:
        raise PortError(f"{process.__qualname__} has no return annotation")
    return Ports(inputs, _outputs(hints["return"], process.__qualname__))


def _hints(annotated: Any, name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(annotated)
    except Exception as error:
        raise PortError(f"the annotations of {name} do not resolve: {error}") from error


def _outputs(hint: Any, where: str) -> dict[str, Port]:
    inner, _ = _strip_optional(hint)
    if inner is type(None):
        return {}
    # A generic NamedTuple stands here as Decoded[NV12, Cpu]: its fields speak of its own variables.
    several = typing.get_origin(inner) or inner
    if isinstance(several, type) and issubclass(several, tuple) and hasattr(several, "_fields"):
        meaning = dict(zip(getattr(several, "__parameters__", ()), typing.get_args(inner), strict=False))
        fields = _hints(several, several.__name__)
        return {
            name: Port(name, _port_type(_substitute(fields[name], meaning), f"{where}: '{name}'"))
            for name in several._fields
        }
    return {"": Port("", _port_type(inner, f"{where}: return"))}


def _substitute(hint: Any, meaning: Mapping[Any, Any]) -> Any:
    variables = getattr(hint, "__parameters__", ())
    if not variables or not meaning:
        return hint
    return hint[tuple(meaning.get(variable, variable) for variable in variables)]


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return hint, False


def _port_type(hint: Any, where: str) -> PortType:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    where = f"{where} is annotated with {_written(hint)}"
    if origin is None:
        if hint is Any or hint is type(None) or not isinstance(hint, type):
            raise PortError(f"{where}, which is not a type of value")
        if issubclass(hint, Frames):
            raise PortError(f"{where}; say in which format and memory, as in Frames[NV12, Cpu]")
        return PortType(hint)
    if origin is tuple:
        raise PortError(f"{where}; several outputs are a NamedTuple, which gives each its name")
    if not isinstance(origin, type) or origin is types.UnionType:
        raise PortError(f"{where}, which is not one type")
    pixel: type[PixelFormat] | str | None = None
    memory: Memory | str | None = None
    for arg in args:
        if isinstance(arg, TypeVar) and _stands_for(arg, MemoryMark):
            memory = str(arg)
        elif isinstance(arg, TypeVar) and _stands_for(arg, PixelFormat):
            pixel = str(arg)
        elif isinstance(arg, type) and issubclass(arg, PixelFormat):
            pixel = arg
        elif isinstance(arg, type) and issubclass(arg, MemoryMark):
            memory = arg.memory
        else:
            raise PortError(f"{where}, and {_written(arg)} is neither a pixel format nor a memory")
    return PortType(origin, pixel, memory)


def _written(hint: Any) -> str:
    """A type as in the source: without the modules that its parts come from."""
    plain = typing.get_origin(hint) is None and isinstance(hint, type)
    return hint.__name__ if plain else re.sub(r"(?:\w+\.)+(?=\w)", "", repr(hint))


def _stands_for(variable: TypeVar, mark: type) -> bool:
    bounds = variable.__constraints__ or (variable.__bound__,)
    return all(isinstance(b, type) and issubclass(b, mark) for b in bounds)
