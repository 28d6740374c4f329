"""Lock files that several users share."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualface.graph.lease import Leases, LeaseStopped
from dualface.graph.locks import LockFolder

NOBODY = 65534


@pytest.fixture
def narrow() -> Iterator[None]:
    """A umask that leaves others nothing."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    one, two = LockFolder(tmp_path / "new" / "folder"), LockFolder(tmp_path / "new" / "folder")
    file = one.take("a.lock")
    assert file is not None
    assert two.take("a.lock") is None
    assert two.held("a.lock")
    os.close(file)
    assert not two.held("a.lock")
    assert two.names() == []


def test_a_file_removed_under_its_holder_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened the old file and locks it after it was removed must not hold it beside the new one."""
    folder = LockFolder(tmp_path)
    real = folder._open

    def open_then_lose(name: str) -> int | None:
        file = real(name)
        if file is not None:
            monkeypatch.undo()
            (tmp_path / name).unlink()
        return file

    monkeypatch.setattr(folder, "_open", open_then_lose)
    file = folder.take("a.lock")
    assert file is not None
    assert os.path.samestat(os.fstat(file), (tmp_path / "a.lock").stat())
    os.close(file)


def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    folder = LockFolder(tmp_path)
    file = folder.take("a.lock")
    assert file is not None
    assert folder.take("a.lock") is None
    os.close(file)
    assert folder.names() == ["a.lock"]


@pytest.mark.usefixtures("narrow")
def test_a_shared_folder_is_open_to_all_whatever_the_umask(tmp_path: Path) -> None:
    folder = LockFolder(tmp_path / "shared", shared=True)
    file = folder.take("a.lock")
    assert file is not None
    os.close(file)
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o1777
    assert stat.S_IMODE((tmp_path / "shared" / "a.lock").stat().st_mode) == 0o666


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="link"):
        LockFolder(tmp_path / "link", shared=True)
    folder = LockFolder(tmp_path / "shared", shared=True)
    (tmp_path / "shared" / "a.lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match=r"a\.lock"):
        folder.take("a.lock")
    assert not (tmp_path / "target").exists()
    os.mkfifo(tmp_path / "shared" / "b.lock")
    with pytest.raises(OSError, match="not an ordinary file"):
        folder.take("b.lock")


def _hold_as_nobody(folder: Path, held: Any, go_on: Any) -> None:
    os.umask(0o077)
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    with Leases(folder, {"gpu0-encode": 2}, shared=True).hold({"gpu0-encode": 1}):
        held.set()
        go_on.wait(60)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be two users")
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("first", [0, NOBODY])
def test_two_users_do_not_hold_the_same_session(first: int) -> None:
    fork = multiprocessing.get_context("fork")  # the other user may not be able to read Python's files
    held, go_on = fork.Event(), fork.Event()
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        place.chmod(0o1777)
        if first == 0:
            LockFolder(place / "leases", shared=True)
        other = fork.Process(target=_hold_as_nobody, args=(place / "leases", held, go_on))
        other.start()
        assert held.wait(60)
        leases, stop = Leases(place / "leases", {"gpu0-encode": 2}, shared=True), threading.Event()
        stop.set()
        one = {"gpu0-encode": 1}
        with leases.hold(one), pytest.raises(LeaseStopped), leases.hold(one, stop=stop):
            pytest.fail("the other user's session was given")
        go_on.set()
        other.join(60)
        assert other.exitcode == 0
        with leases.hold({"gpu0-encode": 2}):
            pass
    finally:
        shutil.rmtree(place)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be two users")
def test_a_folder_that_another_user_keeps_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualface.graph.locks.PATIENCE", 1)
    (tmp_path / "shared").mkdir(mode=0o755)
    os.chown(tmp_path / "shared", NOBODY, NOBODY)
    with pytest.raises(PermissionError, match="not open to all users"):
        LockFolder(tmp_path / "shared", shared=True)
