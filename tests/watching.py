"""Watches a call for what no config may bring about: code that is run, files outside, the environment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostile_configs import SECRET

RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")
REACHES = ("socket.connect", "socket.getaddrinfo", "socket.bind")
TOUCHES = (
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.rename",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.truncate",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
RESOLVERS = ("oc.env", "oc.decode", "oc.create", "evil")

_now: list[_Seen] = []  # an audit hook cannot be taken away again


class _Seen:
    def __init__(self, allowed: tuple[Path, ...]) -> None:
        self.allowed = tuple(map(os.path.realpath, allowed))
        self.findings: list[str] = []

    def writes(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        real = os.path.realpath(os.fsdecode(path))
        inside = any(real == top or real.startswith(top + os.sep) for top in self.allowed)
        return not inside and real != os.devnull

    def hear(self, event: str, args: Any) -> None:
        if event in RUNS or event in REACHES:
            self.findings.append(f"{event} {args!r:.200}")
        elif event == "import" and str(args[0]).split(".")[0] == "evil":
            self.findings.append(f"import {args[0]}")
        elif event == "exec" and "evil" in Path(str(getattr(args[0], "co_filename", ""))).name:
            self.findings.append(f"exec {args[0]}")
        elif event == "open":
            path, mode, flags = args
            writing = set(mode or "") & set("wax+") if mode else (flags or 0) & WRITING
            if writing and self.writes(path):
                self.findings.append(f"open {path!r} to write")
        elif event in TOUCHES and self.writes(_within(event, args)):
            self.findings.append(f"{event} {args[0]!r}")


def _within(event: str, args: Any) -> Any:
    """The path that an event is about; removing a tree names files by their folder's handle."""
    path, folder = args[0], args[-1]
    if event in ("os.remove", "os.rmdir", "os.mkdir") and isinstance(folder, int) and folder >= 0:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))
    return path


def _hook(event: str, args: Any) -> None:
    if _now:
        seen, _now[:] = _now[0], []  # what it does itself is not to be heard
        try:
            seen.hear(event, args)
        finally:
            _now[:] = [seen]


sys.addaudithook(_hook)


@contextmanager
def watched(*allowed: Path, seconds: int = 60) -> Iterator[list[str]]:
    """Gathers what happens within that should not; only what is in ``allowed`` may be written to. Whatever
    takes longer than ``seconds`` ends by TimeoutError."""
    from omegaconf import OmegaConf
    from omegaconf.basecontainer import BaseContainer

    seen = _Seen(allowed)
    before = dict(BaseContainer._resolvers)

    def spy(name: str) -> None:
        def called(*args: Any) -> str:
            seen.findings.append(f"the resolver {name} was called")
            return os.environ.get(SECRET, "")

        OmegaConf.register_new_resolver(name, called, replace=True)

    def late(*_: Any) -> None:
        raise TimeoutError(f"it takes more than {seconds} seconds")

    for name in RESOLVERS:
        spy(name)
    alarm = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    _now[:] = [seen]
    try:
        yield seen.findings
    finally:
        _now[:] = []
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        for name in RESOLVERS:
            BaseContainer._resolvers.pop(name, None)
        BaseContainer._resolvers.update({k: v for k, v in before.items() if k in RESOLVERS})
