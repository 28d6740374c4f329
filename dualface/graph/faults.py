"""Faults on purpose, to see what a run makes of them: ``+faults=[{node: detect, frame: 40}]``."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from dualface.graph.dag import Graph
from dualface.graph.errors import DeviceError, InputError, Problem
from dualface.graph.recovery import Taken
from dualface.graph.registry import nearest
from dualface.graph.types import Frames

Moment = Literal["open", "process", "finish", "close"]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong at a node, at its first call for ``frame`` or a later one."""

    node: str  # the name of a node of the graph
    fault: Literal["raise", "delay", "corrupt", "exhaust", "kill", "hang"] = "raise"  # what happens
    frame: int = 0  # the first frame at which it can happen
    times: int = 1  # how often it happens in a job; 0 is always
    at: Moment = "process"  # in which call of the node
    error: Literal["input", "resource", "device", "bug"] = "device"  # raise: who is to blame
    sticky: bool = False  # raise: the device's context is lost
    seconds: float = 1.0  # delay: how long
    what: str = ""  # corrupt: length, nan, blank, noise or times; exhaust: memory, disk or handles
    job: str = "*"  # the jobs in which it happens, by name; * stands for anything

    def __post_init__(self) -> None:
        if self.frame < 0 or self.times < 0 or not 0 <= self.seconds < 1e6:
            raise ValueError("frame, times and seconds are 0 or more")
        known = {"corrupt": CORRUPTS, "exhaust": EXHAUSTS}.get(self.fault, ("",))
        if self.what not in ("", *known):
            given = f"there is no {self.fault} of '{self.what}'"
            raise ValueError(f"{given}; what is {' or '.join(known)}" if known != ("",) else given)
        if self.fault == "corrupt" and self.at != "process":
            raise ValueError("only what process answers can be corrupt; leave at out")


def problems_of(faults: Iterable[Fault], graph: Graph, where: str = "faults") -> list[Problem]:
    """What is wrong with ``faults`` for ``graph``."""
    told = []
    for index, fault in enumerate(faults):
        place = graph.by_name.get(fault.node)
        if place is None:
            near = nearest(fault.node, graph.by_name)
            hint = f"Did you mean '{near}'?" if near else f"It has {', '.join(graph.by_name)}."
            message = f"graph '{graph.name}' has no node '{fault.node}'."
            told.append(Problem("unknown-node", f"{where}[{index}].node", message, hint))
        elif fault.fault == "corrupt" and not place.outputs:
            message = f"node '{fault.node}' answers nothing that could be corrupt."
            told.append(Problem("bad-option", f"{where}[{index}]", message, "Choose another node or fault."))
    return told


class Injector:
    """The faults of one node in one attempt at a job. ``waiting(seconds)`` waits, true once the job is
    being stopped; ``history`` are the recoveries of the attempts before, each after a fault that was."""

    def __init__(
        self, faults: Sequence[Fault], history: Sequence[Taken], waiting: Callable[[float], bool]
    ) -> None:
        self._faults = faults
        self._left = [
            (fault.times or 1 << 40) - sum(taken.node in (fault.node, "") for taken in history)
            for fault in faults
        ]
        self._waiting = waiting
        self._random = np.random.default_rng(5)

    def before(self, at: Moment, frame: int | None) -> None:
        """What goes wrong instead of a call, or before it."""
        for fault in self._due(at, frame, corrupt=False):
            HAPPENS[fault.fault](fault, self._waiting)

    def after(self, frame: int | None, answer: Any) -> Any:
        """What becomes of the answer to a call of ``process``."""
        if answer is None:
            return answer
        for fault in self._due("process", frame, corrupt=True):
            answer = corrupted(answer, fault.what or "length", self._random)
        return answer

    def _due(self, at: Moment, frame: int | None, corrupt: bool) -> list[Fault]:
        due = []
        for index, fault in enumerate(self._faults):
            reached = at != "process" or (frame is not None and frame >= fault.frame)
            if fault.at == at and reached and (fault.fault == "corrupt") == corrupt and self._left[index] > 0:
                self._left[index] -= 1
                due.append(fault)
        return due


def injector(
    faults: Iterable[Fault], node: str, job: str, history: Sequence[Taken], waiting: Callable[[float], bool]
) -> Injector | None:
    """The one for ``node`` of ``job``; ``None`` where nothing is to go wrong."""
    mine = [fault for fault in faults if fault.node == node and fnmatchcase(job, fault.job)]
    return Injector(mine, history, waiting) if mine else None


def _raise(fault: Fault, waiting: Callable[[float], bool]) -> None:
    if fault.sticky:
        raise DeviceError("injected: CUDA error: an illegal memory access was encountered")
    text = f"injected at node '{fault.node}'"
    raise {
        "input": InputError(text),
        "resource": MemoryError(text),
        "device": DeviceError(text),
        "bug": ValueError(text),
    }[fault.error]


def _delay(fault: Fault, waiting: Callable[[float], bool]) -> None:
    waiting(fault.seconds)


def _exhaust(fault: Fault, waiting: Callable[[float], bool]) -> None:
    if fault.what in ("", "memory"):
        np.empty(1 << 56, np.uint8)  # more than any machine can address
    code = errno.ENOSPC if fault.what == "disk" else errno.EMFILE
    raise OSError(code, os.strerror(code))


def _kill(fault: Fault, waiting: Callable[[float], bool]) -> None:
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


def _hang(fault: Fault, waiting: Callable[[float], bool]) -> None:
    """As a call into a library that never returns: not even where the job is being stopped."""
    while not RELEASED.is_set():
        time.sleep(0.05)


RELEASED = threading.Event()  # set by tests, to have their threads back
HAPPENS: Mapping[str, Callable[[Fault, Callable[[float], bool]], None]] = {
    "raise": _raise,
    "delay": _delay,
    "exhaust": _exhaust,
    "kill": _kill,
    "hang": _hang,
}
CORRUPTS = ("length", "nan", "blank", "noise", "times")
EXHAUSTS = ("memory", "disk", "handles")


def corrupted(answer: Any, what: str, random: np.random.Generator) -> Any:
    """``answer`` of a node, a copy that is wrong: of one frame less (``length``), with boxes and crops
    that are no numbers (``nan``), pictures that are black (``blank``) or noise (``noise``), or times
    that go back (``times``). Values that have nothing of the kind stay as they are.
    """
    names: tuple[str, ...] = getattr(answer, "_fields", ())
    if names:  # several outputs
        return type(answer)(**{name: corrupted(getattr(answer, name), what, random) for name in names})
    if not is_dataclass(answer) or not isinstance(answer, Sized):
        return answer
    arrays = {f.name: getattr(answer, f.name) for f in fields(answer)}
    changed: dict[str, Any] = {}
    if what == "length":
        n = len(answer)
        changed = {k: v[: n - 1] for k, v in arrays.items() if hasattr(v, "shape") and v.shape[:1] == (n,)}
    elif what == "nan":
        changed = {k: np.full_like(v, np.nan) for k, v in arrays.items() if k in ("boxes", "crops")}
    elif isinstance(answer, Frames) and what == "times":
        changed = {"pts": np.array(answer.pts[::-1]) - 1}
    elif isinstance(answer, Frames) and isinstance(answer.data, np.ndarray):
        data, top = answer.data, np.iinfo(answer.data.dtype).max
        noise = random.integers(0, top, data.shape, data.dtype, endpoint=True)
        changed = {"data": noise if what == "noise" else np.zeros_like(data)}
    return replace(answer, **changed) if changed else answer
