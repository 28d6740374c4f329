"""Decoding in a process of its own, so that what brings a codec down is one job's failure.

The process runs the same node, writes its pictures into memory that both share, and answers one batch at a
time. It is ended with its job, when it answers nothing for too long, and when this process ends. Sound and
subtitles are read here, from the same file by the same reader, never further than the other process came
before: whatever it is about the file that crashes, hangs or eats memory does so there first.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import USUAL_LIMITS, Job, Limits
from dualface.graph.node import Context, Event, Snapshot
from dualface.graph.types import NV12, Cpu, Frames, Source
from dualface.nodes.buffers import FramePool, Pixels
from dualface.nodes.decode.plain import arrays_from, job_from, plain_arrays, plain_job, video_from
from dualface.nodes.decode.reader import Reader
from dualface.nodes.decode.wire import Late, Unwanted, receive, send
from dualface.nodes.roles import Decoded

MEMORY_MB = 8192  # what a process may take beyond its start; 8K HEVC of 10 bits takes about 3000
DECENT = 2.0  # seconds that a process which broke off has to end, so that its code can be told
PATIENCE = 60.0  # seconds for a batch; eight 8K pictures take one or two
END = object()
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from dualface.nodes.decode.isolated_child import main; main(*map(int, sys.argv[2:]))"
)


class Process:
    """A process that opens and decodes files. What goes wrong there is an `InputError` here."""

    def __init__(self, memory_mb: int, patience: float) -> None:
        self.memory_mb, self.patience = memory_mb, patience
        self._line, theirs = socket.socketpair()
        command = [
            sys.executable,
            "-I",
            "-c",
            START,
            json.dumps(sys.path),
            str(theirs.fileno()),
            str(memory_mb),
        ]
        try:
            # Its standard input is open for as long as we live, and tells it when we do not.
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for us
                env={**os.environ, "MALLOC_ARENA_MAX": "2"},  # each reserves 64 MiB of what is allowed
            )
        except BaseException:
            self._line.close()
            raise
        finally:
            theirs.close()

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def ask(
        self, name: str, message: Any, handle: int | None = None, *, wanted: Callable[[], bool] = lambda: True
    ) -> dict[str, Any]:
        """The answer to ``message``, which is about the input ``name``: ``told`` in it is a sentence, or
        empty. The process is gone where this raises: `InputError`, or `Unwanted` once nobody waits."""
        try:
            with contextlib.suppress(OSError):  # what it died of is told below
                send(self._line, message, handle)
            answer, _ = receive(self._line, within=self.patience, wanted=wanted)
            if not isinstance(answer, dict):
                raise ValueError("no answer")
            return answer
        except Late:
            self.close()
            raise InputError(f"{name}: decoding it stands still, for {self.patience:g} s; given up") from None
        except (EOFError, ValueError):
            raise InputError(f"{name}: {self._end()}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it; nothing of it is left."""
        self._line.close()
        if self._child.stdin is not None:
            self._child.stdin.close()
        # It has nothing to lose; and one that was stopped, or holds Python's lock, would not end by itself
        # before this process does.
        self._child.kill()
        self._child.wait()

    def _end(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(DECENT)
        code = self._child.poll()
        self.close()
        if code is not None and code < 0:
            return f"the decoder crashed on it ({signal.strsignal(-code)}); it is damaged, or made to do harm"
        return f"the decoder's process ended on it, with code {code}; it is damaged, or made to do harm"


class Prober:
    """Probes inputs in a process that is made anew after one it did not survive."""

    def __init__(self, memory_mb: int = MEMORY_MB, patience: float = PATIENCE) -> None:
        self._options = memory_mb, patience
        self._process: Process | None = None

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.close()

    def probe(
        self,
        path: str | Path,
        *,
        output: Path,
        name: str,
        index: int = 0,
        protocols: tuple[str, ...] = ("file",),
        limits: Limits = USUAL_LIMITS,
    ) -> Job:
        """As `dualface.nodes.decode.probe.probe`."""
        if self._process is None or not self._process.alive:
            self._process = Process(*self._options)
        asked = {
            "do": "probe",
            "path": str(path),
            "output": str(output),
            "name": name,
            "index": index,
            "protocols": protocols,
            "limits": asdict(limits),
        }
        answer = self._process.ask(str(path), asked)
        if told := answer["told"]:
            raise InputError(told)
        return job_from(answer["job"])


class SharedPool(FramePool):
    """Batches in memory that another process writes; it has no name, so nothing can be left of it."""

    def __init__(self, height: int, width: int, batch: int) -> None:
        super().__init__(height, width, batch)
        self._numbers: dict[int, int] = {}  # by address
        self.fresh: list[int] = []  # the handle of a buffer that the other process does not know yet
        self.made = 0

    def make(self) -> Pixels:
        size = self.batch * self.rows * self.width
        handle = _memory(size)
        buffer = np.frombuffer(mmap.mmap(handle, size), np.uint8)
        self.fresh.append(handle)
        self._numbers[buffer.ctypes.data] = self.made
        self.made += 1
        return buffer

    def number(self, data: Pixels) -> int:
        """Which of the buffers ``data``, as taken, lies in."""
        return self._numbers[data.ctypes.data]


def _memory(size: int) -> int:
    """The handle of so much memory, as a file without a name."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("dualface", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


class Isolated:
    """What decode/pyav does with ``isolate=true``: the same batches, and the same snapshots."""

    def __init__(self, context: Context, memory_mb: int, patience: float) -> None:
        self.context, self.name = context, context.job.input
        self.reader: Reader | None = None
        self.pool: SharedPool | None = None
        self.total = 0
        self.child = Process(memory_mb, patience)
        try:
            self._ask({
                "do": "open",
                "job": plain_job(context.job),
                "batch": context.batch,
                "threads": context.threads,
            })  # fmt: skip
            self._read_on(0)
        except BaseException:
            self.close()
            raise

    def process(self) -> Decoded[NV12, Cpu] | None:
        try:
            return self._process(self.pool or self._begin())
        except Unwanted:
            return None

    def snapshot(self) -> Snapshot:
        return arrays_from(self._ask({"do": "snapshot"})["arrays"]) if self.total else {}

    def restore(self, snapshot: Snapshot) -> None:
        answer = self._ask({"do": "restore", "arrays": plain_arrays(snapshot)})
        self.total = answer["total"]
        self._read_on(answer["known"])

    def close(self) -> None:
        self.child.close()
        self.reader, self._pictures = None, iter(())
        while self.pool is not None and self.pool.fresh:
            os.close(self.pool.fresh.pop())

    def _read_on(self, known: int) -> None:
        """Open the input here too, now that it has survived there; of its first ``known`` packets all
        was given before."""
        self.reader = Reader(self.context.job, known)
        self._pictures = self.reader.read()

    def _begin(self) -> SharedPool:
        """Get ready for the first batch."""
        self.video = video_from(self._ask({"do": "look"})["video"])
        height, width = (side + side % 2 for side in (self.video.height, self.video.width))
        self.pool = SharedPool(height, width, self.context.batch)
        return self.pool

    def _process(self, pool: SharedPool) -> Decoded[NV12, Cpu] | None:
        data = pool.take(self.context.batch)
        handle = pool.fresh.pop() if pool.fresh else None
        try:
            answer = self._ask({"do": "next", "buffer": pool.number(data)}, handle)
        finally:
            if handle is not None:
                os.close(handle)
        pts = np.array(answer["pts"], np.int64)
        assert self.reader is not None
        while self.reader.count < answer["read"] and next(self._pictures, END) is not END:
            pass
        packets = self.reader.take()
        if not len(pts):
            return None
        first, self.total = self.total, self.total + len(pts)
        frames: Frames[NV12, Cpu] = Frames(data[: len(pts)], pts, self.video, first)
        return Decoded(frames, Source(self.reader.media, packets))

    def _ask(self, message: Any, handle: int | None = None) -> dict[str, Any]:
        answer = self.child.ask(self.name, message, handle, wanted=lambda: not self.context.stopping())
        for kind, text, frame in answer["events"]:
            self.context.emit(Event(kind, text, self.context.name, frame))
        for figure, value in answer["counts"]:
            self.context.count(figure, value)
        if told := answer["told"]:
            raise InputError(told)
        return answer
