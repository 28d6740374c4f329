"""Does a node fit here: its type variables bound, its needs met, its inputs brought to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from dualface.graph.building.candidates import Choice
from dualface.graph.hardware import Hardware
from dualface.graph.node import Needs
from dualface.graph.options import parse
from dualface.graph.ports import Port, PortType
from dualface.graph.registry import Registry
from dualface.graph.types import Memory, MemoryMark, PixelFormat

Meaning = Mapping[str, Any]  # a type variable's name to the format or memory that it stands for


@dataclass(frozen=True, slots=True)
class Step:
    """A transfer or convert node between a producer and a consumer."""

    choice: Choice
    input: str
    fit: Fit

    @property
    def type(self) -> PortType:
        return next(iter(self.fit.outputs.values()))


@dataclass(frozen=True, slots=True)
class Fit:
    """A node in its place: what it takes, its ports' types, and the steps before each input."""

    needs: Needs
    inputs: Mapping[str, PortType]
    outputs: Mapping[str, PortType]
    steps: Mapping[str, tuple[Step, ...]]


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why not: a problem code, a clause (``it needs nvdec, which ...``) and what to do."""

    code: str
    why: str
    hint: str = ""


def fit(
    choice: Choice,
    feeds: Mapping[str, PortType],
    hardware: Hardware,
    registry: Registry,
    *,
    direct: bool = False,
) -> Fit | Unfit:
    """Bind ``choice`` to the types that are wired to it.

    A memory variable takes the producer's memory where the hardware meets the node's needs
    there, else the other one; ``direct`` allows no steps in between.
    """
    ports = choice.kind.ports
    try:
        bound = {str(k): _meaning(v) for k, v in choice.kind.cls.binds(choice.config).items()}
    except Exception as error:
        return Unfit("broken-kind", f"its binds() failed: {error}")
    bound |= {k: v for k, v in _formats(ports.inputs, feeds).items() if k not in bound}
    reasons: list[Unfit] = []
    for memories in _memories(choice, feeds, hardware, bound):
        result = _fit_with(choice, feeds, hardware, registry, {**bound, **memories}, direct)
        if isinstance(result, Fit):
            return result
        reasons.append(result)
    return reasons[0]


def lacking(needs: Needs, memories: set[Memory], hardware: Hardware) -> str:
    """What ``hardware`` does not have of ``needs``, as words; "" where it has all."""
    features = [*needs.features, *(["cuda"] if Memory.CUDA in memories else [])]
    words = [f for f in dict.fromkeys(features) if f not in hardware.features]
    words += [f"the package {p}" for p in needs.packages if p not in hardware.packages]
    for key, count in needs.resources.items():
        have = getattr(hardware, key, 0)
        have = have if isinstance(have, int) else 0
        if have < count:
            words.append(f"{count} of {key} (there are {have})" if have else f"{key.replace('_', ' ')}")
    return ", ".join(words[:-1]) + (" and " if words[1:] else "") + "".join(words[-1:])


def _fit_with(
    choice: Choice,
    feeds: Mapping[str, PortType],
    hardware: Hardware,
    registry: Registry,
    meaning: Meaning,
    direct: bool,
) -> Fit | Unfit:
    inputs = {n: _bind(p.type, meaning) for n, p in choice.kind.ports.inputs.items()}
    outputs = {n: _bind(p.type, meaning) for n, p in choice.kind.ports.outputs.items()}
    for name, type_ in outputs.items():
        if isinstance(type_.format, str) and feeds.keys() >= choice.kind.ports.inputs.keys():
            label = f"output '{name}'" if name else "output"
            return Unfit("broken-kind", f"nothing decides the pixel format of its {label}: binds() must")
    pixels = [t.memory for t in [*inputs.values(), *outputs.values()] if isinstance(t.memory, Memory)]
    try:
        needs = choice.kind.cls.needs(choice.config, pixels[0] if pixels else Memory.CPU)
    except Exception as error:
        return Unfit("broken-kind", f"its needs() failed: {error}")
    if words := lacking(needs, set(pixels), hardware):
        hint = f"Install {needs.packages[0]}, or choose" if words.startswith("the package") else "Choose"
        hint += " other hardware (hw=...) or another kind."
        return Unfit("no-hardware", f"it needs {words}, which hw={hardware.name} does not have", hint)
    steps: dict[str, tuple[Step, ...]] = {}
    for name, have in feeds.items():
        want = inputs.get(name)
        if want is None or not _differ(have, want):
            continue
        if direct:
            return Unfit("type-mismatch", f"it takes {want}, not {have}")
        found = _bring(have, want, hardware, registry)
        if isinstance(found, Unfit):
            return replace(found, why=f"its input '{name}' takes {want}, not {have}, and {found.why}")
        steps[name] = found
    return Fit(needs, inputs, outputs, steps)


def _bring(
    have: PortType, want: PortType, hardware: Hardware, registry: Registry
) -> tuple[Step, ...] | Unfit:
    """The steps that turn ``have`` into ``want``."""
    moves = [("transfer", want.memory)] if have.memory != want.memory and want.memory else []
    changes = [("convert", want.format)] if have.format != want.format and want.format else []
    reasons = []
    # Converting first keeps what is transferred small when going from 16 bits to 8.
    for order in [[*changes, *moves], [*moves, *changes]]:
        steps: list[Step] = []
        at: PortType = have
        for what, goal in order:
            step = _step(what, goal, at, hardware, registry)
            if isinstance(step, Unfit):
                reasons.append(step)
                break
            steps.append(step)
            at = step.type
        else:
            return tuple(steps)
    return reasons[0]


def _step(what: str, goal: Any, have: PortType, hardware: Hardware, registry: Registry) -> Step | Unfit:
    code = "memory-mismatch" if what == "transfer" else "format-mismatch"
    kind = registry.kinds.get(what)
    if kind is None:
        return Unfit(code, f"no node of kind '{what}' is installed")
    if what == "transfer":
        values = {"to": goal.value}
    else:
        values = {"source": _format_name(have.format), "target": _format_name(goal)}
    config, _ = parse(kind.config, values, what)
    if config is None:
        # Only a pixel format of somebody's own is nothing that they know.
        bring = "Wire a node in between that does, or change what one of the two reads or gives."
        return Unfit(code, f"'{what}' makes no {_class_name(goal)} of {_class_name(have.format)}", bring)
    choice = Choice("", kind, config)
    port = next(iter(kind.ports.inputs))
    result = fit(choice, {port: have}, hardware, registry, direct=True)
    if isinstance(result, Unfit):
        return replace(result, why=f"the '{what}' between them cannot be had: {result.why}")
    return Step(choice, port, result)


def _differ(have: PortType, want: PortType) -> bool:
    """Whether pixels must be moved or converted; other differences are type mismatches."""
    if not issubclass(have.value, want.value) or have.memory is None:
        return False
    memory = isinstance(want.memory, Memory) and have.memory != want.memory
    return memory or (not isinstance(want.format, str | None) and have.format != want.format)


def _formats(inputs: Mapping[str, Port], feeds: Mapping[str, PortType]) -> dict[str, Any]:
    """Format variables from the first input that is wired."""
    bound: dict[str, Any] = {}
    for name, port in inputs.items():
        if isinstance(port.type.format, str) and name in feeds:
            bound.setdefault(port.type.format, feeds[name].format)
    return bound


def _memories(
    choice: Choice, feeds: Mapping[str, PortType], hardware: Hardware, bound: Meaning
) -> Iterator[dict[str, Memory]]:
    """Meanings of the memory variables to try, the producers' memories first."""
    best = Memory.CUDA if "cuda" in hardware.features else Memory.CPU
    wishes: dict[str, Memory] = {}
    ports = choice.kind.ports
    for name, port in ports.inputs.items():
        memory = port.type.memory
        if isinstance(memory, str) and memory not in bound and name in feeds:
            fed = feeds[name].memory
            wishes.setdefault(memory, fed if isinstance(fed, Memory) else best)
    for port in [*ports.inputs.values(), *ports.outputs.values()]:
        if isinstance(port.type.memory, str) and port.type.memory not in bound:
            wishes.setdefault(port.type.memory, best)
    both = [[wish, *(m for m in Memory if m is not wish)] for wish in wishes.values()]
    for memories in product(*both):
        yield dict(zip(wishes, memories, strict=True))


def _bind(type_: PortType, meaning: Meaning) -> PortType:
    pixel, memory = type_.format, type_.memory
    return PortType(
        type_.value,
        meaning.get(pixel, pixel) if isinstance(pixel, str) else pixel,
        meaning.get(memory, memory) if isinstance(memory, str) else memory,
    )


def _meaning(mark: type[PixelFormat] | type[MemoryMark]) -> Any:
    return mark.memory if issubclass(mark, MemoryMark) else mark


def _format_name(mark: Any) -> str:
    return str(getattr(mark, "name", _class_name(mark).lower()))


def _class_name(mark: Any) -> str:
    return str(getattr(mark, "__name__", mark))
