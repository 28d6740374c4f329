"""One hostile file in a child process, and what came of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_cases import Case

ROOT = Path(__file__).resolve().parent.parent
BOUND_S = 30.0  # for a case; a film that is whole takes a twentieth of a second
BOUND_MB = 2048  # resident, at most; eight pictures of 8192x8192, the largest allowed, are 768
AT_ONCE = 2
APART: dict[str, Any] = {"memory_mb": 2048, "patience": 10.0}  # what a process of its own may take
SMALL = 1 << 21  # pixels of a picture up to which a case is encoded as well


@dataclass(frozen=True)
class Outcome:
    """``word``: done, refused, or what must not be: crash, hang, memory, bug."""

    word: str
    told: str = ""
    seconds: float = 0.0
    memory_mb: float = 0.0

    @property
    def bad(self) -> bool:
        return self.word not in ("done", "refused")

    def __str__(self) -> str:
        return f"{self.word} after {self.seconds:.1f} s, {self.memory_mb:.0f} MiB: {self.told}"


def attempt(name: str, number: int, folder: Path, isolate: bool) -> Outcome:
    """Probe and decode ``name``, and encode it every fourth time, in this process."""
    from dualface.graph.errors import InputError
    from dualface.graph.node import Context
    from dualface.nodes.decode.isolated import Prober
    from dualface.nodes.decode.probe import probe
    from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
    from dualface.nodes.encode.x264 import X264, X264Config

    output = folder / f"{number}.mkv"
    nodes: list[Any] = []
    frames = 0
    try:
        if isolate:
            with Prober(**APART) as prober:
                job = prober.probe(name, output=output, name="x")
        else:
            job = probe(name, output=output, name="x")
        says: list[str] = []
        small = job.video.width * job.video.height <= SMALL

        def context(node: str) -> Context:
            return Context(
                job, node, 8, 2, lambda event: says.append(event.message), lambda: False,
                lambda path: path, lambda *_: None, lambda *_: None,
            )  # fmt: skip

        decode = PyavDecode(PyavConfig(isolate, *APART.values()) if isolate else PyavConfig())
        nodes.append(decode)
        decode.open(context("decode"))
        encode = X264(X264Config(preset="ultrafast")) if number % 4 == 0 and small else None
        if encode is not None and not encode.check(encode.config, job):
            nodes.append(encode)
            encode.open(context("encode"))
        while (given := decode.process()) is not None:
            frames += len(given.frames)
            if len(nodes) > 1:
                nodes[1].process(given.frames, given.source)
        if len(nodes) > 1:
            list(nodes[1].finish())
        strange = [text for text in says if "\n" in text]
        return (
            Outcome("bug", f"not one sentence: {strange[0]!r}")
            if strange
            else Outcome("done", f"{frames} frames")
        )
    except InputError as error:
        text = str(error)
        fine = "\n" not in text.replace(name, "") and 10 < len(text.replace(name, "")) < 400
        return Outcome("refused" if fine else "bug", text)
    except BaseException as error:
        import traceback

        where = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome("bug", f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})")
    finally:
        for node in nodes:
            node.close()
        output.unlink(missing_ok=True)


def trials(every: Sequence[Case], folder: Path, *, isolate: bool) -> Iterator[tuple[Case, Outcome]]:
    """Each case in a fork of this process, a few at a time."""
    import dualface.nodes.decode.isolated
    import dualface.nodes.decode.pyav
    import dualface.nodes.encode.x264  # noqa: F401  (loaded once, for all forks)

    running: dict[int, tuple[Case, int, float, Path | None]] = {}
    waiting = iter(enumerate(every))
    while True:
        while len(running) < AT_ONCE and (following := next(waiting, None)):
            number, case = following
            path = laid(case, number, folder)
            name = case.name if case.make is None else str(path)
            assert name is not None
            ours, theirs = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(ours)
                _child(theirs, name, number, folder, isolate)
            os.close(theirs)
            running[child] = case, ours, time.monotonic(), path
        if not running:
            return
        for child in list(running):
            case, pipe, started, path = running[child]
            done, status, use = os.wait4(child, os.WNOHANG)
            late = time.monotonic() - started > BOUND_S
            if not done and not late:
                continue
            if not done:
                os.kill(child, signal.SIGKILL)
                _, status, use = os.wait4(child, 0)
            del running[child]
            told = os.read(pipe, 65536) if select.select([pipe], [], [], 0)[0] else b""
            os.close(pipe)
            if path is not None:
                path.unlink()
            yield (
                case,
                _judged(told, status, time.monotonic() - started, use.ru_maxrss / 1024, late and not done),
            )
        time.sleep(0.002)


def _judged(told: bytes, status: int, seconds: float, memory: float, late: bool) -> Outcome:
    if late:
        return Outcome("hang", "", seconds, memory)
    if os.WIFSIGNALED(status) or not told:
        number = os.WTERMSIG(status)
        return Outcome("crash", f"{signal.strsignal(number)}", seconds, memory)
    word, text = json.loads(told)
    if memory > BOUND_MB:
        return Outcome("memory", text, seconds, memory)
    return Outcome(word, text, seconds, memory)


def laid(case: Case, number: int, folder: Path) -> Path | None:
    """The case as a file; ``None`` where it is only a name."""
    if case.make is None:
        return None
    suffix = Path(case.name).suffix if case.name else ".mp4"
    path = folder / f"case{number}{suffix}"
    path.write_bytes(case.make())
    return path


def _child(pipe: int, name: str, number: int, folder: Path, isolate: bool) -> None:
    code = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))  # for the machine's sake
        outcome = attempt(name, number, folder, isolate)
        os.write(pipe, json.dumps([outcome.word, outcome.told[:2000]]).encode())
        code = 0
    finally:
        os._exit(code)
