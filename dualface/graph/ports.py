"""Ports, read from the annotations of a node's ``process``."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dualface.graph.types import Memory, MemoryMark, PixelFormat


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
    try:
        hints = typing.get_type_hints(process)
    except Exception as error:
        raise PortError(f"the annotations of {process.__qualname__} do not resolve: {error}") from error
    inputs: dict[str, Port] = {}
    for name, parameter in inspect.signature(process).parameters.items():
        if name == "self":
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise PortError(f"{process.__qualname__}: '{name}' cannot be a port; ports are named parameters")
        if name not in hints:
            raise PortError(f"{process.__qualname__}: parameter '{name}' has no type annotation")
        inner, optional = _strip_optional(hints[name])
        inputs[name] = Port(name, _port_type(inner, f"{process.__qualname__}: '{name}'"), optional)
    if "return" not in hints:
        raise PortError(f"{process.__qualname__} has no return annotation")
    return Ports(inputs, _outputs(hints["return"], process.__qualname__))


def _outputs(hint: Any, where: str) -> dict[str, Port]:
    inner, _ = _strip_optional(hint)
    if inner is type(None):
        return {}
    # A generic NamedTuple stands here as Decoded[NV12, Cpu]: its fields speak of its own variables.
    several = typing.get_origin(inner) or inner
    if isinstance(several, type) and issubclass(several, tuple) and hasattr(several, "_fields"):
        meaning = dict(zip(getattr(several, "__parameters__", ()), typing.get_args(inner), strict=False))
        fields = typing.get_type_hints(several)
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
    if origin is None:
        if not isinstance(hint, type):
            raise PortError(f"{where} is annotated with {hint!r}, which is not a type")
        return PortType(hint)
    if not isinstance(origin, type):
        raise PortError(f"{where} is annotated with {hint!r}, which is not one type")
    pixel: type[PixelFormat] | str | None = None
    memory: Memory | str | None = None
    for arg in args:
        if isinstance(arg, TypeVar):
            if _is_memory_variable(arg):
                memory = str(arg)
            else:
                pixel = str(arg)
        elif isinstance(arg, type) and issubclass(arg, PixelFormat):
            pixel = arg
        elif isinstance(arg, type) and issubclass(arg, MemoryMark):
            memory = arg.memory
        else:
            raise PortError(f"{where}: {arg!r} is neither a pixel format nor a memory")
    return PortType(origin, pixel, memory)


def _is_memory_variable(variable: TypeVar) -> bool:
    bounds = variable.__constraints__ or (variable.__bound__,)
    return all(isinstance(b, type) and issubclass(b, MemoryMark) for b in bounds)
