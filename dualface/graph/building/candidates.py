"""The kinds that may fill a node's place: looked up, checked against their role, configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dualface.graph.building.request import Asked, Wanted
from dualface.graph.dag import Excluded, Passed
from dualface.graph.errors import Problem
from dualface.graph.node import NodeConfig
from dualface.graph.options import option_names, parse, unknown_option
from dualface.graph.ports import Ports
from dualface.graph.registry import Kind, Registry, nearest

LAST = 1000  # the rank of a candidate that has none


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind with valid options that may fill a node's place. ``ignored`` are shared options that
    this kind does not have."""

    name: str
    kind: Kind
    config: NodeConfig
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of a node, best first; those that are out before hardware is looked at; and
    the ports to go on checking with where there is no choice. ``flawed``: what the config got
    wrong may have put out the very candidate that fits."""

    choices: tuple[Choice, ...]
    passed: tuple[Passed, ...]
    ports: Ports | None
    flawed: bool = False


def choices(asked: Asked, registry: Registry, exclude: Excluded, problems: list[Problem]) -> Choices:
    """Everything that may be ``asked``'s node. What the config got wrong is added to
    ``problems``; what is wrong with kinds that merely joined in only puts them out."""
    joined = _joined(asked, registry) if asked.role and not asked.closed else ()
    wanted = sorted([*asked.wanted, *joined], key=lambda w: _rank(w, registry))
    _check_role_word(asked, wanted, registry, problems)
    _check_shared(asked, wanted, registry, problems)
    found: list[Choice] = []
    passed: list[Passed] = []
    fresh: list[Problem] = []
    for one in wanted:
        if asked.role and (why := exclude.get((asked.name, one.name))):
            passed.append(Passed(one.name, one.kind, why, usable=False))
            continue
        out = _lookup(one, asked, registry)
        config = None
        shared: dict[str, Any] = {}
        if isinstance(out, Kind):
            names = option_names(out.config)
            shared = {k: v for k, v in asked.shared.items() if k in names}
            config, wrong = parse(out.config, {**shared, **one.options}, one.where, out.name)
            # A shared option's place is the node, not the candidate.
            alone = parse(out.config, shared, asked.where, out.name)[1] if wrong else []
            blamed = {p.message: p for p in alone}
            wrong = [blamed.get(p.message) or _replace(p, one, asked) for p in wrong]
        else:
            wrong = [out]
        if config is not None and isinstance(out, Kind):
            ignored = tuple(str(key) for key in asked.shared if key not in shared)
            found.append(Choice(one.name, out, config, ignored))
        elif asked.role and _is_its_own_fault(wrong[0], one in joined, bool(asked.wanted)):
            passed.append(Passed(one.name, one.kind, " ".join(p.message for p in wrong), usable=False))
        else:
            fresh += wrong
    problems += dict.fromkeys(fresh)
    if asked.role and not found and not fresh and (wanted or asked.role in registry.roles):
        reasons = "; ".join(f"{p.kind}: {p.why.rstrip('.')}" for p in passed)
        message = f"no candidate for '{asked.role}' can be used: {reasons or 'none is installed'}."
        hint = "action=nodes lists the kinds there are."
        problems.append(Problem("no-candidate", asked.where, message, hint))
    return Choices(tuple(found), tuple(passed), _ports(asked, found, registry), bool(fresh))


def _is_its_own_fault(problem: Problem, joined: bool, others: bool) -> bool:
    """Whether a candidate is merely put out, because the config is not to blame: it did not ask
    for one that joined in, and where it lists ``others`` it speaks to those."""
    codes = ("role-misfit", "missing-option", *(("bad-option",) if others else ()))
    return problem.code == "broken-kind" or (joined and problem.code in codes)


def _joined(asked: Asked, registry: Registry) -> tuple[Wanted, ...]:
    """Ranked kinds of the role that no listed candidate names."""
    listed = {w.kind for w in asked.wanted}
    taken = {w.name for w in asked.wanted}
    joined = []
    for kind in registry.kinds.values():
        if kind.role == asked.role and kind.rank is not None and kind.name not in listed:
            short = kind.name.partition("/")[2] or kind.name
            name = kind.name if short in taken else short
            joined.append(Wanted(name, kind.name, {}, asked.where, kind.rank))
    return tuple(sorted(joined, key=lambda w: w.kind))


def _rank(wanted: Wanted, registry: Registry) -> int:
    if wanted.rank is not None:
        return wanted.rank
    kind = registry.kinds.get(wanted.kind)
    return LAST if kind is None or kind.rank is None else kind.rank


def _check_role_word(asked: Asked, wanted: list[Wanted], registry: Registry, problems: list[Problem]) -> None:
    if not asked.role or asked.role in registry.roles or wanted:
        return
    roles = {*registry.roles, *(kind.role for kind in registry.kinds.values())}
    near = nearest(asked.role, sorted(roles))
    hint = f"Did you mean '{near}'?" if near else "action=nodes lists the roles there are."
    problems.append(
        Problem("unknown-role", f"{asked.where}.auto", f"no role is called '{asked.role}'.", hint)
    )


def _check_shared(asked: Asked, wanted: list[Wanted], registry: Registry, problems: list[Problem]) -> None:
    """An option that all candidates share must be one that at least one of them has."""
    kinds = [registry.kinds[w.kind] for w in wanted if w.kind in registry.kinds]
    names = dict.fromkeys(name for kind in kinds for name in option_names(kind.config))
    for key in asked.shared:
        if key not in names and kinds:
            owner = f"no candidate for '{asked.role}'"
            problem = unknown_option(str(key), list(names), f"{asked.where}.{key}", owner)
            message = f"{owner} has an option '{key}'."
            problems.append(Problem(problem.code, problem.where, message, problem.hint))


def _lookup(wanted: Wanted, asked: Asked, registry: Registry) -> Kind | Problem:
    """The registered kind, or what is wrong with it."""
    name, place = wanted.kind, f"{wanted.where}.kind"
    if name in registry.broken:
        message = f"'{name}' is installed but cannot be used: {registry.broken[name].rstrip('.')}."
        return Problem("broken-kind", place, message, "Update or remove the package that brings it.")
    if name not in registry.kinds:
        near = registry.nearest(name)
        hint = f"Did you mean '{near}'?" if near else "action=nodes lists the kinds there are."
        return Problem("unknown-kind", place, f"no kind is called '{name}'.", hint)
    kind = registry.kinds[name]
    if asked.role and asked.role in registry.roles and kind.role != asked.role:
        message = f"'{name}' is no candidate for '{asked.role}': its role is '{kind.role}'."
        return Problem("wrong-role", place, message)
    if why := role_misfit(kind, registry.roles.get(kind.role)):
        hint = f"This is a fault of {kind.package}, not of the config."
        return Problem("role-misfit", place, f"'{name}' does not fit its role: {why}.", hint)
    return kind


def role_misfit(kind: Kind, role: Ports | None) -> str:
    """Why ``kind`` cannot stand in for the other kinds of its role; "" where it can."""
    if role is None:
        return ""
    faults = []
    for name, port in role.outputs.items():
        mine = kind.ports.outputs.get(name)
        label = f"output '{name}'" if name else "its only output"
        if mine is None:
            faults.append(f"{label} is missing")
        elif not issubclass(mine.type.value, port.type.value):
            faults.append(f"{label} is {mine.type}, not {port.type}")
    for name, port in kind.ports.inputs.items():
        theirs = role.inputs.get(name)
        if theirs is None and not port.optional:
            faults.append(f"it requires an input '{name}', which the role does not have")
        elif theirs is not None and not issubclass(theirs.type.value, port.type.value):
            faults.append(f"input '{name}' takes {port.type}, not {theirs.type}")
    return ", and ".join(faults)


def _replace(problem: Problem, wanted: Wanted, asked: Asked) -> Problem:
    """``problem`` at the node's own place where a shared option caused it."""
    option = problem.where.removeprefix(wanted.where).lstrip(".").split(".")[0]
    if not asked.role or option in wanted.options or not {option or "*"} <= {"*", *asked.shared}:
        return problem
    if not option and wanted.options:  # said of all options together: both may be at fault
        return problem
    where = problem.where.replace(wanted.where, asked.where, 1)
    return Problem(problem.code, where, problem.message, problem.hint)


def _ports(asked: Asked, found: list[Choice], registry: Registry) -> Ports | None:
    if found:
        return found[0].kind.ports
    role = asked.role or (asked.wanted[0].kind.split("/")[0] if asked.wanted else "")
    if role in registry.roles:
        return registry.roles[role]
    kinds = [registry.kinds[wanted.kind] for wanted in asked.wanted if wanted.kind in registry.kinds]
    return kinds[0].ports if kinds else None
