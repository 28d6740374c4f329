"""Leases: what one run holds, no other run on this machine can take.

A lease is an OS lock on a file, one file a unit: ``gpu0-encode-2.lock`` is the third encode session
of GPU 0. Who has to wait holds the lock on a file too, whose name says when it came and what it
wants: ``turn-7.gpu0-encode=2.lock``. The system frees the locks of a process that dies.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.locks import LockFolder

VRAM_UNIT_MB = 256  # VRAM is leased in pieces of this size, one lock file each
PER_GPU = {
    "cuda_streams": "stream",
    "decode_sessions": "decode",
    "encode_sessions": "encode",
}
TURN = re.compile(r"turn-(\d+)\.([^.]*)\.lock")
GATE = "gate.lock"


class LeaseStopped(Exception):
    """``stop`` was set while waiting for a lease; nothing is held."""


def limits(hardware: Hardware) -> dict[str, int]:
    """How many units of each lease the machine has.

    The CPU is not leased: the system shares cores between runs by itself, which it cannot do
    with sessions and VRAM. A machine without a GPU has no leases.
    """
    units: dict[str, int] = {}
    for gpu in hardware.gpus:
        for key, word in PER_GPU.items():
            units[f"gpu{gpu.index}-{word}"] = getattr(hardware, key)
        limit = min(hardware.vram_limit_mb or gpu.vram_mb, gpu.vram_mb)
        units[f"gpu{gpu.index}-vram"] = limit // VRAM_UNIT_MB
    return units


class Leases:
    """The leases kept in ``folder``, with ``limits`` units of each name.

    ``shared`` makes it a folder for all users of the machine. ``gpus`` are the machine's own numbers
    of those that are 0, 1, ... to this process, as each may see them otherwise. Raises `RequestError`
    where ``folder`` cannot hold lock files (only if there is anything to lease).
    """

    def __init__(
        self,
        folder: Path,
        limits: Mapping[str, int],
        *,
        shared: bool = False,
        poll: float = 0.1,
        gpus: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.shared = shared
        self._places = {f"gpu{index}": f"gpu{place}" for index, place in enumerate(gpus)}
        self.limits = self._of_machine(limits)
        self.poll = poll  # seconds between two tries
        if any(self.limits.values()):
            with self._gate(threading.Event()):
                pass

    @classmethod
    def of_machine(
        cls,
        limits: Mapping[str, int],
        shared: Path,
        own: Path,
        note: Callable[[str], None],
        gpus: Sequence[int] = (),
    ) -> Leases:
        """Those kept in ``shared``, a folder for all users. Where that cannot be used safely,
        ``note`` is told so in a sentence, and they are kept in this user's ``own``."""
        try:
            return cls(shared, limits, shared=True, gpus=gpus)
        except RequestError as error:
            why = str(error.problems[0].message).rstrip(".")
            note(f"Leases hold only among your own runs, not those of other users: {shared}: {why}.")
            return cls(own, limits, gpus=gpus)

    def _of_machine(self, units: Mapping[str, int]) -> dict[str, int]:
        """``units`` by the names that all processes of the machine use."""
        parts = ((name.partition("-"), count) for name, count in units.items())
        return {f"{self._places.get(gpu, gpu)}{dash}{word}": count for (gpu, dash, word), count in parts}

    @contextlib.contextmanager
    def hold(
        self,
        wanted: Mapping[str, int],
        *,
        waiting: Callable[[str], None] | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[None]:
        """Hold ``wanted`` units of each name, all or none, until the block ends.

        Waits while others hold them; ``waiting`` is then called once with a sentence. Raises
        `LeaseStopped` once ``stop`` is set, and `RequestError` where more is wanted than there is.

        First come, first served: what those who came earlier wait for is left to them. Nobody
        waits while holding: a try takes everything without blocking, or nothing, so that two
        processes cannot deadlock; tries go one at a time behind the lock of the gate.
        """
        wanted = self._of_machine(wanted)
        self._check(wanted)
        if not any(wanted.values()):
            yield
            return
        stop = stop or threading.Event()
        told = False
        turn: str | None = None
        with contextlib.ExitStack() as in_line:
            while True:
                with self._gate(stop):
                    taken = self._try(wanted, turn)
                    if isinstance(taken, str) and turn is None:
                        turn = self._line_up(wanted, in_line)
                if isinstance(taken, contextlib.ExitStack):
                    break
                if waiting and not told:
                    told = True
                    waiting(f"Waiting for {taken}: another job or run on this machine holds it.")
                if stop.wait(self.poll):
                    raise LeaseStopped(f"stopped while waiting for {taken}")
        with taken:
            yield

    def _check(self, wanted: Mapping[str, int]) -> None:
        problems = [
            Problem(
                "lease-too-large",
                name,
                f"{count} of '{name}' are wanted at once, but the machine has {self.limits.get(name, 0)}.",
                "Choose a hw layer that fits this machine (action=hw shows it).",
            )
            for name, count in sorted(wanted.items())
            if count > self.limits.get(name, 0)
        ]
        if problems:
            raise RequestError(problems)

    def _try(self, wanted: Mapping[str, int], turn: str | None) -> contextlib.ExitStack | str:
        """What was taken, to be closed by the caller, or the name that is short."""
        earlier = self._wanted_before(turn)
        with contextlib.ExitStack() as taken, contextlib.ExitStack() as left:
            for name, count in sorted(wanted.items()):
                missing = count + earlier[name]
                for unit in range(self.limits.get(name, 0)):
                    if not missing:
                        break
                    with self._kept():
                        file = self._locks.take(f"{name}-{unit}.lock")
                    if file is not None:
                        # The first ones found are for those who came earlier.
                        (left if missing > count else taken).callback(os.close, file)
                        missing -= 1
                if missing:
                    return name
            return taken.pop_all()

    def _wanted_before(self, turn: str | None) -> Counter[str]:
        """The units that those want who wait, and came before ``turn`` (``None``: who come now)."""
        units: Counter[str] = Counter()
        for name, number, wanted in self._turns():
            if turn is None or number < _number(turn):
                with self._kept():
                    if self._locks.held(name):  # by somebody alive
                        units.update(wanted)
        return units

    def _line_up(self, wanted: Mapping[str, int], in_line: contextlib.ExitStack) -> str:
        """Take the next turn, until ``in_line`` is closed."""
        number = 1 + max((number for _, number, _ in self._turns()), default=0)
        wants = ",".join(f"{name}={count}" for name, count in sorted(wanted.items()) if count)
        turn = f"turn-{number}.{wants}.lock"
        with self._kept():
            file = self._locks.take(turn)
        if file is not None:
            in_line.callback(os.close, file)
            in_line.callback(self._locks.remove, turn)
        return turn

    def _turns(self) -> Iterator[tuple[str, int, dict[str, int]]]:
        with self._kept():
            names = self._locks.names()
        for name in names:
            if match := TURN.fullmatch(name):
                pairs = (pair.partition("=") for pair in match[2].split(","))
                yield name, int(match[1]), {key: int(count) for key, _, count in pairs if count.isdecimal()}

    @contextlib.contextmanager
    def _gate(self, stop: threading.Event) -> Iterator[None]:
        while True:
            with self._kept():
                file = self._locks.take(GATE)
            if file is not None:
                break
            if stop.wait(0.01):
                raise LeaseStopped("stopped while others were looking for a lease")
        try:
            yield
        finally:
            os.close(file)

    @functools.cached_property
    def _locks(self) -> LockFolder:
        with self._kept():
            return LockFolder(self.folder, shared=self.shared)

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RequestError(
                [
                    Problem(
                        "lease-folder",
                        str(self.folder),
                        f"lock files cannot be kept in this folder ({type(error).__name__}: {error}).",
                        "Make it writable or remove it; where it is your own, DUALFACE_HOME names another.",
                    )
                ]
            ) from error


def _number(turn: str) -> int:
    match = TURN.fullmatch(turn)
    assert match is not None
    return int(match[1])
