"""The process of `isolated`: probes and decodes what it is told to, by the same code as without it."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.job import Limits
from dualface.graph.node import Context, Event
from dualface.graph.types import Video
from dualface.nodes.buffers import FramePool, Pixels
from dualface.nodes.decode.plain import arrays_from, job_from, plain_arrays, plain_job, plain_video
from dualface.nodes.decode.probe import UNDECODABLE, probe, video_of
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.decode.wire import receive, send


def main(handle: int, memory_mb: int) -> None:
    """Answer what comes over the socket ``handle`` until its other end is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _bound(memory_mb)
    line = socket.socket(fileno=handle)
    server = _Server()
    with contextlib.suppress(EOFError, OSError):
        while True:
            asked, buffer = receive(line)
            send(line, server.answer(asked, buffer))
    os._exit(0)  # threads of a codec may be in the middle of something


def _end_with_parent() -> None:
    """Standard input ends when the parent does, also while a codec does not come back."""
    with contextlib.suppress(OSError):
        os.read(0, 1)
    os._exit(0)


def _bound(memory_mb: int) -> None:
    """No more memory than ``memory_mb`` beyond what is in use, and no picture of it on the disk."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    in_use = 0
    with contextlib.suppress(OSError):
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = in_use + (memory_mb << 20)
    with contextlib.suppress(ValueError, OSError):  # there may be a lower bound already
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class _Decode(PyavDecode):
    """The node, with the first picture decoded in advance, and writing into ``buffer``."""

    buffer: Pixels

    def look(self) -> Video:
        """What the pictures are. Raises `InputError` where there is none."""
        if self.total:  # it goes on where another broke off
            return self.video
        self.ahead = next(self.frames, None)
        if self.ahead is None:
            raise InputError(f"{self.name}: {UNDECODABLE}")
        assert self.reader is not None
        return video_of(self.reader.stream, self.ahead)

    def _settle(self, video: Video) -> None:
        super()._settle(video)
        self.pool = _Target(self, self.pool)


class _Target(FramePool):
    """A pool of the one buffer that is to be written next."""

    def __init__(self, node: _Decode, usual: FramePool) -> None:
        super().__init__(usual.height, usual.width, usual.batch)
        self._node = weakref.proxy(node)

    def take(self, n: int) -> Pixels:
        buffer: Pixels = self._node.buffer[: n * self.rows * self.width]
        return buffer.reshape(n, self.rows, self.width)


class _Server:
    """Does what a message says by its ``do``."""

    def __init__(self) -> None:
        self.node: _Decode | None = None
        self._name = ""
        self.buffers: dict[int, Pixels] = {}
        self.events: list[tuple[str, str, int | None]] = []
        self.counts: list[tuple[str, float]] = []

    def answer(self, asked: dict[str, Any], handle: int | None) -> dict[str, Any]:
        """What is to be said to ``asked``; ``told`` is a sentence where it went wrong."""
        told, said = "", {}
        try:
            said = getattr(self, asked["do"])(asked, handle)
        except InputError as error:
            told = str(error)
        except MemoryError:
            told = f"{asked.get('path') or self._name}: decoding it needs too much memory"
        events, counts = self.events, self.counts
        self.events, self.counts = [], []
        return {**said, "events": events, "counts": counts, "told": told}

    def probe(self, asked: dict[str, Any], _: int | None) -> dict[str, Any]:
        path, protocols, limits = asked["path"], tuple(asked["protocols"]), Limits(**asked["limits"])
        output = Path(asked["output"])
        job = probe(
            path, output=output, name=asked["name"], index=asked["index"], protocols=protocols, limits=limits
        )
        return {"job": plain_job(job)}

    def open(self, asked: dict[str, Any], _: int | None) -> dict[str, Any]:
        job = job_from(asked["job"])
        self._name = job.input
        self.node = _Decode(PyavConfig())
        self.node.open(
            Context(
                job=job,
                name="",
                batch=asked["batch"],
                threads=asked["threads"],
                emit=self._emit,
                stopping=lambda: False,
                write_as=lambda path: path,
                count=lambda name, value: self.counts.append((name, value)),
                report=lambda name, value: None,
            )
        )
        return {}

    def look(self, asked: dict[str, Any], _: int | None) -> dict[str, Any]:
        assert self.node is not None
        return {"video": plain_video(self.node.look())}

    def snapshot(self, asked: dict[str, Any], _: int | None) -> dict[str, Any]:
        assert self.node is not None
        return {"arrays": plain_arrays(self.node.snapshot())}

    def restore(self, asked: dict[str, Any], _: int | None) -> dict[str, Any]:
        assert self.node is not None
        self.node.restore(arrays_from(asked["arrays"]))
        assert self.node.reader is not None
        return {"total": self.node.total, "known": self.node.reader.known}

    def next(self, asked: dict[str, Any], handle: int | None) -> dict[str, Any]:
        node, number = self.node, asked["buffer"]
        assert node is not None
        if handle is not None:
            size = os.fstat(handle).st_size
            self.buffers[number] = np.frombuffer(mmap.mmap(handle, size), np.uint8)
            os.close(handle)
        node.buffer = self.buffers[number]
        given = node.process()
        pts = [] if given is None else given.frames.pts.tolist()
        assert node.reader is not None
        return {"pts": pts, "read": node.reader.count}

    def _emit(self, event: Event) -> None:
        self.events.append((event.kind, event.message, event.frame))
