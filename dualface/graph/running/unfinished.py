"""What a job has done so far, kept beside its output until that is complete.

``x_dual.mp4`` has ``.x_dual.mp4.unfinished`` for as long as it is being made: a folder for each node that
keeps something, the last checkpoint, and a lock that one process at a time can hold. A killed process
leaves all of it, unlocked; the next run goes on from there, or removes it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from dualface.graph.dag import Graph
from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.locks import lock
from dualface.graph.running.checkpoint import Checkpoint
from dualface.graph.running.names import fitted

CHECKPOINT = "checkpoint.npz"
LOCK = "lock"
WORKSPACE = re.compile(r"(.+)\.(\d+)")  # a node and a try; any other folder is not ours


def folder_of(output: Path) -> Path:
    """Where the unfinished work on ``output`` is kept."""
    output = Path(os.path.realpath(output)) if os.path.islink(output) else output.absolute()
    return output.parent / fitted(output.parent, ".", output.name, ".unfinished")


def writer_of(output: Path) -> int | None:
    """The process that is at work on ``output``, 0 where it did not say; None where there is none."""
    file = _open(folder_of(output) / LOCK)
    if file is None:
        return None
    try:
        if lock(file):
            return None
        said = os.pread(file, 20, 0) if hasattr(os, "pread") else b""
        return int(said) if said.isdigit() else 0
    finally:
        os.close(file)


def kept_of(output: Path, request: str) -> float | None:
    """Of how many seconds of the source the work on ``output`` is kept, if by this ``request``."""
    try:
        found = Checkpoint.unpacked((folder_of(output) / CHECKPOINT).read_bytes())
    except (OSError, ValueError):
        return None
    return found.done if found.request == request else None


def identity(job: Job, graph: Graph, segment_seconds: float) -> str:
    """What makes one request the same as another: the input file as it is, every node's options, and the
    files that these name (a photo, say) as they are."""
    nodes = [[node.name, node.kind.name, node.config] for node in graph.nodes]
    edges = [[edge.producer, edge.output, edge.consumer, edge.input] for edge in graph.edges]
    files = [_looks(value) for node in graph.nodes for value in _texts(node.config) if os.path.isfile(value)]
    told = [input_of(job), nodes, sorted(edges), segment_seconds, files]
    return hashlib.sha256(json.dumps(told, default=_plain, sort_keys=True).encode()).hexdigest()


def input_of(job: Job) -> Mapping[str, Any]:
    """By what an input is known again: its path, size in bytes and time of change in nanoseconds."""
    try:
        about = os.stat(job.input)
    except (OSError, ValueError):  # an address
        return {"input": job.input}
    return {"input": os.path.realpath(job.input), "size": about.st_size, "changed": about.st_mtime_ns}


class Unfinished:
    """The folder of one job. Any thread may call; after `remove` or `release` nothing is written any more."""

    def __init__(self, output: Path) -> None:
        self.folder = folder_of(output)
        self.kept: float | None = None  # the seconds of the source behind the last checkpoint on the disk
        self.workspaces: set[str] = set()  # the nodes that asked for one
        self.refused = ""  # why what was there is not gone on with, as a clause
        self._output = output
        self._lock = threading.RLock()
        self._held: int | None = None
        self._try = 0  # workspaces are called anew in each, so that a node of before finds them no more
        self._over = False

    def take(self, request: str, *, go_on: bool) -> Checkpoint | None:
        """The checkpoint to go on from: the one that is there, if it was made by the same ``request`` and
        ``go_on`` is true. Anything else that is there is removed. Raises `InputError` where another
        process is at work here."""
        if not self.folder.is_dir():
            return None
        with self._lock:
            self._hold()
            if go_on and (found := self._found()) is not None:
                if found.request == request:
                    self._rename()
                    self.kept = found.done
                    return found
                self.refused = "is of another request, or of the input before it changed"
            self._clear()
            return None

    def _found(self) -> Checkpoint | None:
        try:
            return Checkpoint.unpacked((self.folder / CHECKPOINT).read_bytes())
        except ValueError:
            self.refused = "is damaged"
        except OSError:  # broken off before there was one
            pass
        return None

    def sweep(self) -> None:
        """Take away what a run left that was killed when its output was complete. What is not ours to
        take, or is in use, stays."""
        if self.folder.is_dir():
            with self._lock, contextlib.suppress(InputError):
                self._hold()
                self.remove()

    def start_over(self) -> None:
        """Forget what was kept: it cannot be gone on with."""
        with self._lock:
            self.kept = None
            if self._held is not None:
                self._clear()

    def workspace(self, node: str) -> Path:
        """The folder of ``node``, made if it is missing. Raises `InputError`."""
        path = self.folder / f"{node}.{self._try}"
        with self._lock:
            if self._over:
                raise InputError(f"{self._output} is not written: its job is over.")
            self._hold()
            try:
                path.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise InputError(f"{path} cannot be made: {error.strerror}.") from error
            self.workspaces.add(node)
        return path

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the last checkpoint by this one. Raises OSError."""
        data = checkpoint.packed()
        with self._lock:
            if self._over:
                return
            self._hold()
            temporary = self.folder / f"{CHECKPOINT}.new"
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.folder / CHECKPOINT)
            except OSError:
                temporary.unlink(missing_ok=True)  # on a full disk its room is needed
                raise
            self.kept = checkpoint.done

    def release(self) -> None:
        """Leave it for whoever goes on."""
        with self._lock:
            self._over = True
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def remove(self) -> None:
        """Take all of it away, if it is ours."""
        with self._lock:
            if self._held is not None:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.kept = None
            self.release()

    def _hold(self) -> None:
        """Make the folder and lock it."""
        if self._held is not None:
            return
        path = self.folder / LOCK
        while True:
            try:
                if self.folder.is_symlink():  # what it leads to is not ours to clear
                    raise NotADirectoryError(errno.ENOTDIR, "it is a link")
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
            except FileNotFoundError:
                continue  # removed by who had it, between the two
            except OSError as error:
                raise InputError(
                    f"{self.folder} cannot be used for unfinished work: {error.strerror}; remove it, or "
                    "choose another place with output=."
                ) from error
            if not lock(file):
                os.close(file)
                raise InputError(f"{self._output} is being written by another run; wait for it.")
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), os.fstat(file)):
                    os.truncate(file, 0)
                    os.write(file, str(os.getpid()).encode())
                    self._held = file
                    return
            os.close(file)

    def _rename(self) -> None:
        """Call workspaces by the number of this try."""
        folders = [entry for entry in os.scandir(self.folder) if entry.is_dir(follow_symlinks=False)]
        earlier = [(entry, WORKSPACE.fullmatch(entry.name)) for entry in folders]
        ours = [(entry.path, found[1], int(found[2])) for entry, found in earlier if found]
        self._try = max((number for _, _, number in ours), default=0) + 1
        for path, node, _ in ours:
            os.rename(path, self.folder / f"{node}.{self._try}")

    def _clear(self) -> None:
        for entry in list(os.scandir(self.folder)):
            if entry.name == LOCK:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _texts(config: Any) -> list[str]:
    values = [getattr(config, field.name) for field in fields(config)]
    return [value for value in values if isinstance(value, str) and "\0" not in value]


def _looks(path: str) -> list[Any]:
    try:
        about = os.stat(path)
    except OSError:  # gone meanwhile
        return [path]
    return [os.path.realpath(path), about.st_size, about.st_mtime_ns]


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return repr(value)


def _open(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
