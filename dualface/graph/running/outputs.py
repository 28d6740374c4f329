"""Files appear under their final names complete, or not at all.

A node writes to a temporary name in the same folder (renaming then stays within one file system),
which is hidden, says what it is, and keeps the suffix by which muxers choose a format:
``x_dual.mp4`` is ``.x_dual.partial-1234.mp4`` while process 1234 works on it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from dualface.graph.errors import InputError
from dualface.graph.running.names import fitted
from dualface.graph.running.publish import earlier_name, place, publish, remove

LONG_SUFFIX = 24  # bytes; what is longer is no suffix but a name with a dot in it

FULL = {errno.ENOSPC, errno.EDQUOT}
DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}

PATIENCE = 0.3  # seconds that giving up waits for files which are just taking their final names

CLOCKS = 2.0  # seconds that the times of processes and files may disagree

_live: set[Outputs] = set()  # those with temporary files, for a process that must end now


def discard_all() -> None:
    """Remove all temporary files of this process; nothing takes its final name after that."""
    for outputs in list(_live):
        outputs.discard(PATIENCE)


def writer_of(path: Path) -> int | None:
    """The other process that is at work on ``path``, if there is one."""
    path = _real(path)
    with contextlib.suppress(OSError):
        for temporary, process in _partials(path.parent, *_mark(path)):
            if process != os.getpid() and _is_at(process, temporary):
                return process
    return None


def remove_partials(folder: Path, process: int) -> None:
    """Remove what ``process``, which is dead, left unfinished in ``folder``."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if re.match(rf"\..*\.partial-{process}(?!\d)", name):
                with contextlib.suppress(OSError):
                    (folder / name).unlink()


def recover(path: Path) -> str:
    """Put right what a run left that was killed while it replaced ``path``: the file of before gets
    its name back where nothing has that, and goes where something has. A sentence that says so, or
    "" where there was nothing to do."""
    path = _real(path)
    head, tail = _mark(path)
    done = ""
    with contextlib.suppress(OSError):
        for earlier in _leftovers(path.parent, earlier_name(head), tail):
            try:
                place(earlier, path)
                done = "the earlier one is back"
            except FileExistsError:
                remove(earlier)
                done = done or "what it left beside it is removed"
    return f"{path}: a run was killed while it replaced this file; {done}." if done else ""


class Outputs:
    """The files of one job, by the names they will have, which must be free unless ``overwrite``
    is true: free when a node asks, and still when the job is done.

    Any thread may call. The first `commit` or `discard` settles it: later calls change nothing,
    so that a thread which wakes up after its job was given up cannot publish a file.
    """

    def __init__(self, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._temporary: dict[Path, Path] = {}
        self._owner: dict[Path, str] = {}
        self._settled = False
        self._lock = threading.RLock()  # a signal's handler may come while its own thread holds it
        self.published: tuple[Path, ...] = ()

    def write_as(self, path: Path, owner: str = "") -> Path:
        """The temporary name to write instead of ``path``; ``owner`` is the node that asks.

        Makes the folder, and removes what a killed run left of the same output. Raises
        `InputError` where ``path`` cannot become a file or another node already writes it.
        """
        path = _real(path)
        if self._owner.setdefault(path, owner) != owner:
            raise InputError(
                f"{path} would be written by two nodes, '{self._owner[path]}' and '{owner}'; "
                f"set graph.nodes.{owner}.enabled=false, or take one of them out of the graph."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_free(path, self._overwrite)
            head, tail = _mark(path)
            for leftover in _leftovers(path.parent, head, tail):
                remove(leftover)
            temporary = path.parent / f"{head}{os.getpid()}{tail}"
            # Now rather than after a minute's work: may a file be made here at all?
            temporary.open("wb").close()
            temporary.unlink()
        except OSError as error:
            raise InputError(self.sentence(error) or _cannot(path, error)) from error
        with self._lock:
            if self._settled:
                raise InputError(f"{path} is not written: its job is over.")
            self._temporary[path] = temporary
            _live.add(self)
        return temporary

    def owners(self) -> set[str]:
        """The nodes that asked for names."""
        with self._lock:
            return set(self._owner.values())

    def before_commit(self, tell: Callable[[Mapping[Path, Path]], None]) -> None:
        """Call ``tell`` with the temporary files by their final names, if there are any."""
        with self._lock:
            if self._temporary and all(temporary.exists() for temporary in self._temporary.values()):
                try:
                    tell(self._temporary)
                except OSError as error:
                    raise InputError(self._why_not(error)) from error

    def commit(self) -> tuple[Path, ...]:
        """Give all files their final names; raises `InputError` and leaves everything as it was
        if one cannot have it."""
        with self._lock:
            if self._settled:
                raise InputError("The job was given up before its files were ready.")
            for path, temporary in self._temporary.items():
                if not temporary.exists():
                    raise InputError(f"{path} was not written: its temporary file is not there.")
            try:
                for path in self._temporary:
                    _check_free(path, self._overwrite)
                publish(self._temporary, overwrite=self._overwrite)
                self.published = tuple(self._temporary)
            except OSError as error:
                raise InputError(self._why_not(error)) from error
            finally:
                self.discard()
            return self.published

    def discard(self, patience: float = -1) -> None:
        """Remove what is still temporary, unless another thread has been giving files their names
        for ``patience`` seconds (-1: however long it takes)."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            self._settled = True
            for temporary in self._temporary.values():
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            self._temporary.clear()
            _live.discard(self)
        finally:
            self._lock.release()

    def final_names(self, text: str) -> str:
        """``text`` with temporary names replaced by the ones people know."""
        for path, temporary in self._temporary.items():
            text = text.replace(str(temporary), str(path)).replace(temporary.name, path.name)
        return text

    def sentence(self, error: BaseException | None) -> str:
        """What to do, if ``error`` or what caused it is a full disk or an output that may not be
        written; else ""."""
        while error is not None:
            code = getattr(error, "errno", None)
            if code in FULL:
                where = next((str(path.parent) for path in self._owner), "the output folder")
                return (
                    f"The disk that holds {where} is full: free some space, or choose another folder "
                    "with output=."
                )
            name = str(getattr(error, "filename", None) or "")
            if code in DENIED:
                for path, temporary in self._temporary.items():
                    if name == str(temporary):
                        return _cannot(path, error)
            error = error.__cause__
        return ""

    def _why_not(self, error: OSError) -> str:
        """The sentence for a file that could not take its final name."""
        told = self.sentence(error)
        if told:
            return told
        names = {str(name) for name in (error.filename, error.filename2) if name}
        mine = [p for p, temporary in self._temporary.items() if {str(p), str(temporary)} & names]
        path = next(iter(mine or self._temporary))
        return _exists(path) if isinstance(error, FileExistsError) else _cannot(path, error)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path)) if os.path.islink(path) else path.absolute()


def _exists(path: Path) -> str:
    return f"{path} exists already; say overwrite=true to replace it."


def _cannot(path: Path, error: BaseException) -> str:
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    code = getattr(error, "errno", None)
    if code == errno.ENAMETOOLONG:
        return f"{path} cannot be written: the name is too long; choose a shorter one with output=."
    if code in (errno.ENOTDIR, errno.EEXIST):
        reason = f"{path.parent} is not a folder"
    return f"{path} cannot be written: {reason}; choose another place with output=."


def _check_free(path: Path, overwrite: bool) -> None:
    """Raise unless ``path`` is free or a file that may be replaced (renaming onto a device such
    as /dev/null would replace the device)."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; name a file with output=.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not an ordinary file; name one with output=.")
    if not overwrite:
        raise InputError(_exists(path))


def _mark(path: Path) -> tuple[str, str]:
    """What stands before and after the process id in the temporary name."""
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= LONG_SUFFIX else ""
    stem = path.name[: len(path.name) - len(suffix)] if suffix else path.name
    return fitted(path.parent, ".", stem, ".partial-", len(os.fsencode(suffix)) + 10), suffix


def _leftovers(folder: Path, head: str, tail: str) -> list[Path]:
    """The files with such names whose processes are gone."""
    return [path for path, process in _partials(folder, head, tail) if not psutil.pid_exists(process)]


def _partials(folder: Path, head: str, tail: str) -> list[tuple[Path, int]]:
    """The temporary files of one output, and the processes they are named after."""
    pattern = re.compile(re.escape(head) + r"(\d+)" + re.escape(tail))
    matches = ((name, pattern.fullmatch(name)) for name in os.listdir(folder))
    return [(folder / name, int(match[1])) for name, match in matches if match]


def _is_at(process: int, temporary: Path) -> bool:
    """Whether ``process`` lives and can have written ``temporary``: numbers are given again."""
    try:
        found = psutil.Process(process)
        began = found.create_time()
        return bool(found.status() != psutil.STATUS_ZOMBIE and began <= temporary.stat().st_mtime + CLOCKS)
    except (psutil.Error, OSError):
        return False
