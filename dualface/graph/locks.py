"""Lock files in a folder that several users may share.

The lock belongs to the open file, not to the file's existence: a file left by a crash is free, and
the system frees a lock when its holder dies, however it dies. Nothing is ever written to a file or
read from one, so that whatever somebody else puts into a shared folder can at most be in the way.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import time
import weakref
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

EVERYBODY = 0o1777  # all may make files, and remove only their own
PATIENCE = 50  # looks, 20 ms apart, at a shared folder that its maker has not opened to all yet
FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class LockFolder:
    """The lock files in ``path``, which is made if it is missing.

    ``shared`` makes it a folder for all users of the machine. Raises OSError, here and later,
    where files cannot be kept in it, and where a shared one is not what it should be: a link,
    or not open to everybody.
    """

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        self._folder: int | None = None
        self._base = ""
        if sys.platform == "win32":
            path.mkdir(parents=True, exist_ok=True)
            self._base = f"{path}{os.sep}"
            return
        # From here on by its descriptor: nobody can put another folder in its place.
        self._folder = _open_shared(path) if shared else _open_own(path)
        weakref.finalize(self, os.close, self._folder)
        fcntl.flock(self._folder, fcntl.LOCK_SH)  # keeps systemd's cleaner of old files out

    def take(self, name: str) -> int | None:
        """The open file of the lock ``name``, to be closed by the caller, or ``None`` where it is
        held. Each call opens the file anew: threads of one process exclude each other too."""
        while True:
            file = self._open(name)
            if file is None:
                self._make(name)
            elif not lock(file):
                os.close(file)
                return None
            elif self._is(name, file):
                return file
            else:  # somebody removed it between our opening and locking it
                os.close(file)

    def held(self, name: str) -> bool:
        """Whether somebody holds ``name``. A file that nobody holds is removed, if it may be."""
        file = self._open(name)
        if file is None:
            return False
        try:
            if not lock(file):
                return True
            self.remove(name)
            return False
        finally:
            os.close(file)

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._base + name, dir_fd=self._folder)

    def names(self) -> list[str]:
        """The files there are."""
        return os.listdir(self._base if self._folder is None else self._folder)

    def _open(self, name: str) -> int | None:
        try:
            file = os.open(self._base + name, FLAGS, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(f"{name} is not an ordinary file")
        return file

    def _make(self, name: str) -> None:
        # Under its name only once everybody may open it, whatever the umask. Not O_CREAT on a name
        # that may be another user's: Linux refuses that in a folder of everybody's.
        fresh = f"{self._base}{name}.{secrets.token_hex(8)}"
        file = os.open(fresh, FLAGS | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=self._folder)
        try:
            if sys.platform != "win32":
                os.fchmod(file, 0o666)
            with contextlib.suppress(FileExistsError):
                os.link(fresh, self._base + name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:  # a file system without hard links, where nobody else's files are
            os.close(os.open(self._base + name, FLAGS | os.O_CREAT, 0o666, dir_fd=self._folder))
        finally:
            os.close(file)
            os.unlink(fresh, dir_fd=self._folder)

    def _is(self, name: str, file: int) -> bool:
        try:
            there = os.stat(self._base + name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(file))


def lock(file: int) -> bool:
    """Lock an open file, if nobody has; the lock goes when the file is closed."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


if sys.platform != "win32":

    def _open_own(path: Path) -> int:
        path.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def _open_shared(path: Path) -> int:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        for _ in range(PATIENCE):
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            if os.fstat(folder).st_uid == os.geteuid():
                os.fchmod(folder, EVERYBODY)
            if stat.S_IMODE(os.fstat(folder).st_mode) == EVERYBODY:
                return folder
            os.close(folder)
            time.sleep(0.02)  # its maker may be between these two steps
        raise PermissionError("it is not open to all users of this machine")
