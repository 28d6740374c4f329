"""What is done when a node fails: rules, budgets, and the decision that follows from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Literal

from dualface.graph.failures import Failure

Action = Literal["retry", "reopen", "skip", "resume", "smaller", "next", "cpu", "fresh", "fail"]

IN_PLACE: frozenset[Action] = frozenset({"retry", "reopen", "skip"})  # while the job goes on
RESTARTS: frozenset[Action] = frozenset({"resume", "smaller", "next", "cpu", "fresh"})  # it starts again
CURES_STICKY: frozenset[Action] = frozenset({"fresh", "cpu"})  # what helps where the device's context is lost
AT_ONCE: frozenset[Action] = frozenset({"skip", "smaller", "next", "cpu"})  # something else is tried, so soon

DOES: dict[Action, str] = {
    "retry": "the batch is tried again",
    "reopen": "the node is opened again",
    "skip": "the last good answer is repeated",
    "resume": "the job goes on from its last checkpoint",
    "smaller": "the job goes on with half the batch",
    "next": "the job goes on with the next candidate",
    "cpu": "the job goes on on the CPU",
    "fresh": "the job goes on in a new process",
    "fail": "the job fails",
}


@dataclass(frozen=True)
class Rule:
    """What to try, in this order, when a node of these kinds fails in this way."""

    nodes: str = "*"  # a kind or role; * stands for anything: decode/*, encode, *
    error: Literal["input", "resource", "device", "stall"] = "device"  # what is to blame (a bug always fails)
    actions: tuple[Action, ...] = ("fail",)  # the first that can be done and is not used up

    def __post_init__(self) -> None:
        if not self.actions:
            raise ValueError("actions is empty; write [fail] where nothing is to be tried")
        if len(set(self.actions)) < len(self.actions):
            raise ValueError("actions names one twice; recovery.budgets says how often each is tried")
        if "fail" in self.actions[:-1]:
            raise ValueError("nothing is tried behind fail; put it last")

    def applies(self, kind: str, failure: Failure) -> bool:
        """Whether it is about this failure of a node of this kind."""
        return self.error == failure.blame and self.about(kind)

    def about(self, kind: str) -> bool:
        """Whether it is about nodes of this kind.

        >>> Rule("decode/*").about("decode/pyav"), Rule("decode").about("decode/pyav"), Rule("x").about("y")
        (True, True, False)
        """
        return fnmatchcase(kind, self.nodes) or kind.partition("/")[0] == self.nodes


@dataclass(frozen=True)
class Budgets:
    """How often each is done for one node of one job, and all of them together for one job."""

    retry: int = 2
    reopen: int = 2
    skip: int = 20
    resume: int = 2
    smaller: int = 2
    next: int = 8
    cpu: int = 1
    fresh: int = 2
    job: int = 30  # all of a job's recoveries

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) < 0:
                raise ValueError(f"{one.name} is {getattr(self, one.name)}; it is 0 or more")


@dataclass(frozen=True)
class Backoff:
    """How long to wait before trying the same again: ``first`` seconds, then ``factor`` times as long
    each time, but never longer than ``most``."""

    first: float = 0.5
    factor: float = 2.0
    most: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.most < math.inf:
            raise ValueError("first and most are seconds, first no more than most")
        if not 1 <= self.factor < math.inf:
            raise ValueError("factor is 1 or more")

    def wait(self, before: int) -> float:
        """Seconds to wait after so many waits ``before``.

        >>> [Backoff(1.0, 2, 5.0).wait(n) for n in range(4)]
        [1.0, 2.0, 4.0, 5.0]
        """
        return min(self.most, self.first * self.factor ** min(before, 64))


# What each can mean for a node is in `Rescue`; what cannot be done is passed over.
DEFAULT_RULES = (
    Rule("encode/*", "resource", ("next", "resume", "fail")),
    Rule("decode/*", "resource", ("next", "resume", "fail")),
    Rule("*", "resource", ("retry", "smaller", "next", "resume", "fail")),
    Rule("*", "device", ("retry", "reopen", "next", "resume", "fresh", "cpu", "fail")),
    Rule("*", "stall", ("fresh", "resume", "fail")),
    Rule("*", "input", ("fail",)),
)


@dataclass(frozen=True)
class Recovery:
    """How a run meets failures. The first of the ``rules`` that applies counts; where none does, the
    job fails."""

    segment_seconds: float = 10.0  # of the source between two checkpoints
    stall_seconds: float = 120.0  # without any progress, after which a job counts as stuck
    open_seconds: float = 1800.0  # the same while a node opens, finishes or closes: engines may be built
    budgets: Budgets = field(default_factory=Budgets)
    backoff: Backoff = field(default_factory=Backoff)
    rules: tuple[Rule, ...] = DEFAULT_RULES

    def __post_init__(self) -> None:
        for name in ("segment_seconds", "stall_seconds", "open_seconds"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it is more than 0 seconds")
        if self.backoff.most >= self.stall_seconds:
            raise ValueError(
                f"backoff.most ({self.backoff.most:g}) is no less than stall_seconds "
                f"({self.stall_seconds:g}): a wait would count as a stall; lower it, too"
            )

    def actions(self, kind: str) -> frozenset[Action]:
        """All that some rule would do for a node of this kind."""
        return frozenset(action for rule in self.rules if rule.about(kind) for action in rule.actions)


@dataclass(frozen=True, slots=True)
class Taken:
    """A recovery that was begun: for which node, and what was done."""

    node: str
    action: Action


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a failure of ``node``, after ``wait`` seconds."""

    action: Action
    node: str
    failure: Failure
    wait: float = 0.0

    @property
    def does(self) -> str:
        """What is done, as a clause.

        >>> Decision("resume", "detect", Failure("device", "it broke"), 2.0).does
        'the job goes on from its last checkpoint in 2 s'
        """
        return f"{DOES[self.action]}{self.later}"

    @property
    def later(self) -> str:
        return f" in {self.wait:g} s" if self.wait else ""


def decide(
    recovery: Recovery,
    node: str,
    kind: str,
    failure: Failure,
    history: Sequence[Taken],
    able: Collection[Action],
) -> Decision:
    """What to do about ``failure`` of the node called ``node``, of this ``kind``.

    ``history`` are the job's recoveries so far, ``able`` what could be done now. Every recovery makes
    the history longer and the budgets bound that, so that a job ends.
    """
    budgets = recovery.budgets
    rule = next((rule for rule in recovery.rules if rule.applies(kind, failure)), None)
    if failure.blame == "bug" or rule is None or len(history) >= budgets.job:
        return Decision("fail", node, failure)
    for action in rule.actions:
        if action == "fail":
            break
        if action not in able or (failure.sticky and action not in CURES_STICKY):
            continue
        before = sum(taken.node == node and taken.action == action for taken in history)
        if before < getattr(budgets, action):
            same = sum(taken.node == node and taken.action not in AT_ONCE for taken in history)
            wait = 0.0 if action in AT_ONCE else recovery.backoff.wait(same)
            return Decision(action, node, failure, wait)
    return Decision("fail", node, failure)
