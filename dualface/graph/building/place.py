"""Put one node in its place: choose its kind, bind its types, draw the edges into it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from dualface.graph.building.candidates import Choice, Choices
from dualface.graph.building.fit import Fit, Unfit, fit
from dualface.graph.building.request import Asked, Ref, Request
from dualface.graph.building.wiring import pick_output
from dualface.graph.dag import Edge, GraphNode, Passed
from dualface.graph.errors import Problem
from dualface.graph.hardware import Hardware
from dualface.graph.ports import Port, PortType
from dualface.graph.registry import Registry
from dualface.graph.types import Memory


@dataclass
class Work:
    """What is known so far."""

    request: Request
    hardware: Hardware
    registry: Registry
    problems: list[Problem]
    choices: dict[str, Choices] = field(default_factory=dict)
    placed: dict[str, GraphNode] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    steps: dict[tuple[str, str, str], str] = field(default_factory=dict)

    @property
    def effects(self) -> set[str]:
        """Nodes that are there for what they do; a node we know nothing of may be one."""
        return {n for n, c in self.choices.items() if c.ports is None or not c.ports.outputs}


def place(work: Work, asked: Asked, cyclic: bool) -> None:
    """Choose a node's kind, bind its types, and add it with its edges."""
    found = work.choices[asked.name]
    wires, whole = _wires(work, asked)
    if found.ports is None or not found.choices:
        return
    passed = list(found.passed)
    unfit: list[Unfit] = []
    taken: tuple[Choice, Fit] | None = None
    for choice in found.choices:
        feeds = {port: wires[port][2] for port in choice.kind.ports.inputs if port in wires}
        if taken:
            result = fit(choice, feeds, work.hardware, work.registry)
            usable = isinstance(result, Fit)
            why = f"{taken[0].kind.name} ranks before it" if isinstance(result, Fit) else result.why
            passed.append(Passed(choice.name, choice.kind.name, why, usable))
            continue
        result = fit(choice, feeds, work.hardware, work.registry)
        if isinstance(result, Fit):
            taken = choice, result
        else:
            unfit.append(result)
            passed.append(Passed(choice.name, choice.kind.name, result.why, usable=False))
    whole &= _check_missing(work, asked, (taken[0] if taken else found.choices[0])) and not cyclic
    if taken is None:
        if not found.flawed and (whole or all(one.code == "no-hardware" for one in unfit)):
            work.problems.append(_nothing_fits(asked, passed, unfit))
        return
    choice, result = taken
    if not whole:
        result = replace(result, outputs=_unsure(choice, result))
    node = _node(asked.name, choice, result, work.problems, asked.where)
    if node is None:
        return
    dropped = {port: str(ref) for port, ref in asked.inputs.items() if port not in choice.kind.ports.inputs}
    work.placed[asked.name] = replace(
        node,
        candidate=choice.name,
        passed=tuple(passed),
        dropped=dropped or None,
        ignored=choice.ignored,
    )
    for port, (producer, output, have) in wires.items():
        want = result.inputs.get(port)
        if want is None:
            continue
        if not issubclass(have.value, want.value):
            ref = asked.inputs[port]
            message = f"'{port}' takes {want}, but {ref} is {have}."
            hint = suggest(work, want.value, asked.name)
            where = f"{asked.where}.inputs.{port}"
            work.problems.append(Problem("type-mismatch", where, message, hint))
            continue
        producer, output, type_ = _insert(work, producer, output, have, result, port)
        work.edges.append(Edge(producer, output, asked.name, port, type_))


def _wires(work: Work, asked: Asked) -> tuple[dict[str, tuple[str, str, PortType]], bool]:
    """For each input, the producer's name, output and type; and whether all could be found."""
    wires = {}
    whole = True
    readable = readable_inputs(work, asked)
    for port, ref in asked.inputs.items():
        producer = work.choices.get(ref.node)
        if producer is None or ref.node == asked.name or port not in readable:
            whole = False
            continue
        if producer.ports is None:
            whole = False
            continue
        output = pick_output(asked, port, ref, producer.ports, work.problems)
        placed = work.placed.get(ref.node)
        if output is None or placed is None or not _is_known(placed.outputs.get(output)):
            whole = False
            continue
        wires[port] = (ref.node, output, placed.outputs[output])
    return wires, whole


def readable_inputs(work: Work, asked: Asked) -> dict[str, Port]:
    """The inputs that may be wired to a node: its kinds' and its role's."""
    found = work.choices[asked.name]
    kinds = [choice.kind for choice in found.choices]
    role = asked.role or (kinds[0].role if kinds else "")
    ports = {**work.registry.roles[role].inputs} if role in work.registry.roles else {}
    for kind in kinds:
        ports |= kind.ports.inputs
    return {**ports, **(found.ports.inputs if found.ports else {})}


def _is_known(type_: PortType | None) -> bool:
    return type_ is not None and not isinstance(type_.format, str) and not isinstance(type_.memory, str)


def _unsure(choice: Choice, result: Fit) -> dict[str, PortType]:
    """Output types that hang on inputs which are not sure themselves, with their variables."""
    declared = choice.kind.ports.outputs
    return {n: t if _is_known(declared[n].type) else declared[n].type for n, t in result.outputs.items()}


def _check_missing(work: Work, asked: Asked, choice: Choice) -> bool:
    """Required inputs must be wired; and a node with inputs is no source, so one of them must."""
    ports = choice.kind.ports.inputs
    live = {port for port, ref in asked.inputs.items() if _is_live(work, ref)}
    missing = [port for port in ports.values() if not port.optional and port.name not in live]
    if not missing and ports and not (live & ports.keys()):
        missing = list(ports.values())[:1]
    for port in missing:
        if port.name in asked.inputs:
            off = asked.inputs[port.name].node
            message = f"'{asked.name}' needs '{off}', which is disabled."
            hint = f"Set graph.nodes.{off}.enabled=true, or disable '{asked.name}' too."
            where = f"{asked.where}.inputs.{port.name}"
            work.problems.append(Problem("disabled-node", where, message, hint))
            continue
        message = f"{choice.kind.name} needs an input '{port.name}' ({port.type.value.__name__})."
        hint = suggest(work, port.type.value, asked.name, port.name)
        work.problems.append(Problem("missing-input", f"{asked.where}.inputs.{port.name}", message, hint))
    return not missing


def _is_live(work: Work, ref: Ref) -> bool:
    node = work.request.nodes.get(ref.node)
    return node is None or node.enabled


def suggest(work: Work, value: type, consumer: str, port: str = "") -> str:
    """Outputs of the graph that have this type, as a hint."""
    fits = [
        f"{name}.{output.name}" if output.name else name
        for name, found in work.choices.items()
        if name != consumer and found.ports
        for output in found.ports.outputs.values()
        if issubclass(output.type.value, value)
    ]
    if not fits:
        return f"No node of this graph gives {value.__name__}."
    return f"Write {port}: {fits[0]}." if port else f"{value.__name__} comes from {' or '.join(fits[:3])}."


def _nothing_fits(asked: Asked, passed: list[Passed], unfit: list[Unfit]) -> Problem:
    if not asked.role:
        one = unfit[0]
        kind = passed[-1].kind
        return Problem(one.code, asked.where, f"{kind} cannot be used: {one.why}.", one.hint)
    reasons = "; ".join(f"{p.name} ({p.kind}): {p.why.rstrip('.')}" for p in passed)
    message = f"no candidate for '{asked.role}' fits: {reasons}."
    return Problem(unfit[-1].code, asked.where, message, unfit[-1].hint)


def _node(name: str, choice: Choice, result: Fit, problems: list[Problem], where: str) -> GraphNode | None:
    cls, config = choice.kind.cls, choice.config
    try:
        lookahead, state = cls.lookahead(config), cls.state(config)
        cls.size(config, 1920, 1080)  # the scheduler asks for it, and could not say whose fault it is
    except Exception as error:
        message = f"{choice.kind.name} breaks when asked for its look-ahead, state or size: {error}."
        hint = f"This is a fault of {choice.kind.package}, not of the config."
        problems.append(Problem("broken-kind", where, message, hint))
        return None
    return GraphNode(name, choice.kind, config, result.needs, lookahead, state, result.inputs, result.outputs)


def _insert(
    work: Work, producer: str, output: str, have: PortType, result: Fit, port: str
) -> tuple[str, str, PortType]:
    """Put the steps before an input into the graph, or find them there; where they end."""
    origin, at = (producer, output), (producer, output, have)
    for step in result.steps.get(port, ()):
        goal = step.type
        key = (*origin, str(goal))
        if key not in work.steps:
            memory = goal.memory.value if isinstance(goal.memory, Memory) else str(goal.memory)
            what = memory if step.choice.kind.name == "transfer" else getattr(goal.format, "name", "")
            name = f"{step.choice.kind.name}_{producer}_{what}"
            if name in work.placed or name in work.request.nodes:
                name = f"{step.choice.kind.name}_{producer}_{output or 'out'}_{what}"
            while name in work.placed or name in work.request.nodes:
                name += "_"
            node = _node(name, step.choice, step.fit, work.problems, "graph.nodes")
            if node is None:
                return at
            work.placed[name] = replace(node, inserted=True)
            work.edges.append(Edge(at[0], at[1], name, step.input, at[2]))
            work.steps[key] = name
        name = work.steps[key]
        at = (name, next(iter(step.fit.outputs)), goal)
    return at
