"""The keys ``recovery`` and ``faults``, checked into their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.faults import Fault, problems_of
from dualface.graph.options import parse
from dualface.graph.recovery import Recovery
from dualface.graph.registry import installed, nearest


def read_recovery(values: Mapping[str, Any]) -> Recovery:
    """``recovery`` as it was composed. Raises `RequestError` with all that is wrong with it."""
    made, problems = parse(Recovery, values, "recovery", "recovery")
    if made is not None:
        problems = [*problems, *_about_nothing(made)]
        made = None if problems else made
    if made is None:
        raise RequestError(problems)
    return made


def _about_nothing(recovery: Recovery) -> Iterator[Problem]:
    """Rules that could never apply, as by a misspelt kind."""
    known = installed()
    names = [*known.kinds, *known.broken]
    for index, rule in enumerate(recovery.rules):
        if not any(rule.about(name) for name in names):
            near = nearest(rule.nodes, {f"{name.partition('/')[0]}/*" for name in names} | set(names))
            hint = f"Did you mean '{near}'?" if near else "action=nodes lists them."
            message = f"no installed node is of the kind '{rule.nodes}'."
            yield Problem("unknown-kind", f"recovery.rules.{index}.nodes", message, hint)


def read_faults(values: Any, graph: Graph) -> tuple[Fault, ...]:
    """``faults`` as they were composed, for ``graph``. Raises `RequestError` with all that is wrong."""
    if not isinstance(values, list) or not all(isinstance(one, Mapping) for one in values):
        hint = "Write +faults=[{node: detect, frame: 40, fault: raise}]."
        raise RequestError([Problem("bad-option", "faults", "it is no list of mappings.", hint)])
    faults: list[Fault] = []
    problems: list[Problem] = []
    for index, one in enumerate(values):
        made, wrong = parse(Fault, one, f"faults[{index}]", "a fault")
        problems += wrong
        faults += [made] if made else []
    problems += [] if problems else problems_of(faults, graph)
    if problems:
        raise RequestError(problems)
    return tuple(faults)
