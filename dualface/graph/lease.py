"""Leases: what one run holds, no other run that uses the same lock folder can take.

A lease is an OS lock on a file, one file a unit: ``gpu0-encode-2.lock`` is the third encode session
of GPU 0. The lock belongs to the open file, not to the file's existence: a file left by a crash is
free, and the system frees a lock when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware

VRAM_UNIT_MB = 256  # VRAM is leased in pieces of this size, one lock file each
PER_GPU = {
    "cuda_streams": "stream",
    "decode_sessions": "decode",
    "encode_sessions": "encode",
}


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
    """The leases of this machine, kept in ``folder``, with ``limits`` units of each name.

    Raises `RequestError` where ``folder`` cannot hold lock files (only if there is anything to
    lease).
    """

    def __init__(self, folder: Path, limits: Mapping[str, int], *, poll: float = 0.1) -> None:
        self.folder = folder
        self.limits = dict(limits)
        self.poll = poll  # seconds between two tries
        if any(self.limits.values()):
            with self._gate():
                pass

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

        Nobody waits while holding: a try takes names in sorted order without blocking and gives
        everything back if one is short, so two processes cannot deadlock; tries go one at a
        time behind ``gate.lock``, so two that each hold half of what both want cannot keep
        meeting.
        """
        self._check(wanted)
        stop = stop or threading.Event()
        told = False
        while True:
            taken = self._try(wanted)
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

    def _try(self, wanted: Mapping[str, int]) -> contextlib.ExitStack | str:
        """What was taken, to be closed by the caller, or the name that is short."""
        if not any(wanted.values()):
            return contextlib.ExitStack()
        with self._gate(), contextlib.ExitStack() as taken:
            for name, count in sorted(wanted.items()):
                missing = count
                for unit in range(self.limits.get(name, 0)):
                    if not missing:
                        break
                    with contextlib.suppress(Timeout):
                        taken.enter_context(self._lock(f"{name}-{unit}", timeout=0))
                        missing -= 1
                if missing:
                    return name
            return taken.pop_all()

    def _gate(self) -> contextlib.AbstractContextManager[object]:
        return self._lock("gate", timeout=-1)

    def _lock(self, name: str, timeout: float) -> contextlib.AbstractContextManager[object]:
        """The lock of ``name``, taken; raises `Timeout` where it is held by another."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Each holder opens the file for itself: threads of one process exclude each other too.
            lock = FileLock(self.folder / f"{name}.lock", mode=0o666, thread_local=False, is_singleton=False)
            return lock.acquire(timeout=timeout, poll_interval=0.01)
        except Timeout:
            raise
        except (OSError, NotImplementedError) as error:
            raise RequestError(
                [
                    Problem(
                        "lease-folder",
                        str(self.folder),
                        f"lock files cannot be kept in this folder ({type(error).__name__}: {error}).",
                        "Make it writable, or set DUALFACE_HOME to a folder that is.",
                    )
                ]
            ) from error
