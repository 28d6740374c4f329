"""Leases between threads and processes; nothing here depends on how long anything takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dualface.graph.errors import RequestError
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.lease import Leases, LeaseStopped, limits

LIMITS = {"gpu0-encode": 2, "gpu0-stream": 3}

# Books two names in both orders, writes its number between "+" and "-" while it holds them.
WORKER = """
import os, sys
from pathlib import Path
from dualface.graph.lease import Leases
folder, log, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
leases = Leases(folder, {"gpu0-encode": 1, "gpu0-decode": 2}, poll=0.001)
names = ["gpu0-encode", "gpu0-decode"]
out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("ready", flush=True)
sys.stdin.readline()  # all start together
for turn in range(rounds):
    order = names if (turn + os.getpid()) % 2 else names[::-1]
    with leases.hold({name: 1 for name in order}):
        os.write(out, f"+{os.getpid()}\\n".encode())
        os.sched_yield() if hasattr(os, "sched_yield") else None
        os.write(out, f"-{os.getpid()}\\n".encode())
"""
HOLDER = """
import sys
from pathlib import Path
from dualface.graph.lease import Leases
with Leases(Path(sys.argv[1]), {"gpu0-encode": 1}).hold({"gpu0-encode": 1}):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_units_are_counted_and_given_back(tmp_path: Path) -> None:
    leases = Leases(tmp_path, LIMITS, poll=0.001)
    stop = threading.Event()
    with leases.hold({"gpu0-encode": 1}), leases.hold({"gpu0-encode": 1, "gpu0-stream": 2}):
        told: list[str] = []

        def waiting(sentence: str) -> None:
            told.append(sentence)
            stop.set()

        with pytest.raises(LeaseStopped), leases.hold({"gpu0-encode": 1}, waiting=waiting, stop=stop):
            pytest.fail("a third encode session was given")
        assert told == ["Waiting for gpu0-encode: another job or run on this machine holds it."]
    with leases.hold(LIMITS):
        pass
    assert (tmp_path / "gpu0-encode-1.lock").exists()


def test_one_gpu_is_one_gpu_whatever_a_process_calls_it(tmp_path: Path) -> None:
    """The first sees both GPUs, the second only the machine's other one, as its own number 0."""
    all_of_them = Leases(tmp_path, {"gpu0-encode": 1, "gpu1-encode": 1}, gpus=[0, 1])
    hidden = Leases(tmp_path, {"gpu0-encode": 1}, gpus=[1])
    stop, told = threading.Event(), list[str]()
    with all_of_them.hold({"gpu0-encode": 1}), hidden.hold({"gpu0-encode": 1}):
        pass
    stop.set()
    with all_of_them.hold({"gpu1-encode": 1}), pytest.raises(LeaseStopped):
        hidden.hold({"gpu0-encode": 1}, waiting=told.append, stop=stop).__enter__()
    assert "gpu1-encode" in told[0]


def test_all_or_nothing(tmp_path: Path) -> None:
    leases = Leases(tmp_path, LIMITS, poll=0.001)
    stop = threading.Event()
    stop.set()
    with leases.hold({"gpu0-stream": 3}):
        with pytest.raises(LeaseStopped), leases.hold({"gpu0-encode": 2, "gpu0-stream": 1}, stop=stop):
            pytest.fail("a fourth stream was given")
        with leases.hold({"gpu0-encode": 2}):  # what the failed try took was given back
            pass


def test_a_waiting_thread_goes_on_when_the_lease_is_free(tmp_path: Path) -> None:
    leases = Leases(tmp_path, {"gpu0-encode": 1}, poll=0.001)
    asked, got = threading.Event(), threading.Event()

    def other() -> None:
        with leases.hold({"gpu0-encode": 1}, waiting=lambda _: asked.set()):
            got.set()

    thread = threading.Thread(target=other)
    with leases.hold({"gpu0-encode": 1}):
        thread.start()
        assert asked.wait(30)
        assert not got.is_set()
    thread.join(30)
    assert got.is_set()


def test_an_exception_in_the_block_frees(tmp_path: Path) -> None:
    leases = Leases(tmp_path, {"gpu0-encode": 1}, poll=0.001)
    with pytest.raises(ZeroDivisionError), leases.hold({"gpu0-encode": 1}):
        raise ZeroDivisionError
    with leases.hold({"gpu0-encode": 1}):
        pass


def test_stale_files_are_harmless(tmp_path: Path) -> None:
    for name in ("gate", "gpu0-encode-0", "gpu0-encode-1"):
        (tmp_path / f"{name}.lock").write_text("12345")
    with Leases(tmp_path, LIMITS).hold({"gpu0-encode": 2}):
        pass


def test_two_processes_never_hold_the_same_session(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rounds = 60
    command = [sys.executable, "-c", WORKER, str(tmp_path / "leases"), str(log), str(rounds)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.stdout.readline() for process in running if process.stdout] == ["ready\n"] * 3
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
    assert [process.returncode for process in running] == [0, 0, 0]
    lines = log.read_text().split()
    assert len(lines) == 2 * rounds * len(running)
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin[0], end[0]) == ("+", "-")
        assert begin[1:] == end[1:]
    assert len({line[1:] for line in lines}) == 3


def test_a_killed_holder_frees_its_leases(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == "held\n"
        leases, stop = Leases(tmp_path, {"gpu0-encode": 1}, poll=0.001), threading.Event()
        stop.set()
        with pytest.raises(LeaseStopped), leases.hold({"gpu0-encode": 1}, stop=stop):
            pytest.fail("the holder's session was given")
        holder.kill()
        holder.wait(30)
        with leases.hold({"gpu0-encode": 1}):
            pass


def test_more_than_there_is_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(RequestError, match="3 of 'gpu0-encode' are wanted at once, but the machine has 2"),
        Leases(tmp_path, LIMITS).hold({"gpu0-encode": 3}),
    ):
        pass


def test_a_folder_that_cannot_hold_locks_is_a_sentence(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(RequestError, match=r"lock files cannot be kept in this folder .* DUALFACE_HOME"):
        Leases(taken / "leases", LIMITS)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_without_permission_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match="PermissionError"):
        Leases(tmp_path, LIMITS)


def test_a_machine_without_a_gpu_needs_no_folder(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "none", limits(Hardware("cpu", 2, 4096)))
    with leases.hold({}):
        pass
    assert not (tmp_path / "none").exists()


def test_limits_follow_the_smaller_of_card_and_setting() -> None:
    hardware = Hardware(
        "two", 8, 8192, (Gpu(0, "large", 32768), Gpu(1, "small", 8192)),
        cuda_streams=4, decode_sessions=3, encode_sessions=2, vram_limit_mb=24576,
    )  # fmt: skip
    assert limits(hardware) == {
        "gpu0-stream": 4, "gpu0-decode": 3, "gpu0-encode": 2, "gpu0-vram": 96,
        "gpu1-stream": 4, "gpu1-decode": 3, "gpu1-encode": 2, "gpu1-vram": 32,
    }  # fmt: skip


class Waiter:
    """A thread that wants leases and says when it waits and when it has them."""

    def __init__(self, leases: Leases, wanted: dict[str, int], got: list[str], name: str) -> None:
        self.waits, self.stop, self.go_on = threading.Event(), threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(leases, wanted, got, name), daemon=True)
        self.thread.start()

    def _run(self, leases: Leases, wanted: dict[str, int], got: list[str], name: str) -> None:
        with (
            contextlib.suppress(LeaseStopped),
            leases.hold(wanted, waiting=lambda _: self.waits.set(), stop=self.stop),
        ):
            got.append(name)
            self.go_on.wait(60)

    def end(self) -> None:
        self.go_on.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_first_come_first_served(tmp_path: Path) -> None:
    """Two sessions are not given one by one to those who came later and want one."""
    leases, got = Leases(tmp_path, LIMITS, poll=0.001), list[str]()
    one, other = leases.hold({"gpu0-encode": 1}), leases.hold({"gpu0-encode": 1})
    one.__enter__()
    other.__enter__()
    large = Waiter(leases, {"gpu0-encode": 2}, got, "large")
    assert large.waits.wait(60)
    small = Waiter(leases, {"gpu0-encode": 1}, got, "small")
    assert small.waits.wait(60)
    one.__exit__(None, None, None)
    stop = threading.Event()
    stop.set()
    with pytest.raises(LeaseStopped), leases.hold({"gpu0-encode": 1}, stop=stop):
        pytest.fail("a session was given past those who wait for it")
    with leases.hold({"gpu0-stream": 3}):  # which nobody waits for
        pass
    assert got == []
    other.__exit__(None, None, None)
    large.end()
    small.end()
    assert got == ["large", "small"]
    assert not list(tmp_path.glob("turn-*"))


def test_who_stops_waiting_lets_others_pass(tmp_path: Path) -> None:
    leases, got = Leases(tmp_path, LIMITS, poll=0.001), list[str]()
    with leases.hold({"gpu0-encode": 1}):
        large = Waiter(leases, {"gpu0-encode": 2}, got, "large")
        assert large.waits.wait(60)
        large.stop.set()
        large.end()
        with leases.hold({"gpu0-encode": 1}):
            pass
    assert got == []


WAITER = """
import sys
from pathlib import Path
from dualface.graph.lease import Leases
leases = Leases(Path(sys.argv[1]), {"gpu0-encode": 2})
with leases.hold({"gpu0-encode": 2}, waiting=lambda _: print("waits", flush=True)):
    pass
"""


def test_a_killed_waiter_lets_others_pass(tmp_path: Path) -> None:
    leases = Leases(tmp_path, LIMITS, poll=0.001)
    with leases.hold({"gpu0-encode": 1}):
        with subprocess.Popen(
            [sys.executable, "-c", WAITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as waiter:
            assert waiter.stdout is not None
            assert waiter.stdout.readline() == "waits\n"
            waiter.kill()
        assert list(tmp_path.glob("turn-*"))
        with leases.hold({"gpu0-encode": 1}):
            pass
    assert not list(tmp_path.glob("turn-*"))


def test_a_shared_folder_that_is_not_safe_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    shared, notes = tmp_path / "shared", list[str]()
    shared.symlink_to(tmp_path / "elsewhere")
    leases = Leases.of_machine(LIMITS, shared, tmp_path / "own", notes.append)
    with leases.hold({"gpu0-encode": 1}):
        assert (tmp_path / "own" / "gpu0-encode-0.lock").exists()
    assert not list((tmp_path / "elsewhere").iterdir())
    (note,) = notes
    assert note.startswith(
        f"Leases hold only among your own runs, not those of other users: {shared}: lock files cannot be kept"
    )


def test_a_machine_without_a_gpu_does_not_look_for_a_shared_folder(tmp_path: Path) -> None:
    leases = Leases.of_machine({}, tmp_path / "shared", tmp_path / "own", pytest.fail)
    with leases.hold({}):
        pass
    assert not list(tmp_path.iterdir())
