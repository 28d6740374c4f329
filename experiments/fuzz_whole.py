"""Whether anything was read or called beyond the inputs, and whether whole runs survive damaged ones."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from fuzz_cases import Case  # noqa: E402
from fuzz_trial import attempt, laid  # noqa: E402

MARK = "/the/cases/begin"  # looked for under strace, where they do
CALLS = "trace=open,openat,openat2,connect,sendto,bind"
STRANGE = re.compile(r'(?:open|openat|openat2)\((?:AT_FDCWD, )?"((?:[^"\\]|\\.)*)"|AF_INET6?\b')
# What Python and the libraries read for themselves.
OWN = (
    "/usr/", "/lib", "/etc/ld.so", "/etc/localtime", "/proc/self/", "/proc/sys/", "/proc/cpuinfo",
    "/proc/meminfo", "/sys/devices/system/", "/dev/shm", "/dev/null", "/dev/urandom",
    sys.prefix, sys.base_prefix, str(ROOT),
)  # fmt: skip


class Watch:
    """A file that nobody may read and a socket that nobody may call."""

    def __init__(self, folder: Path) -> None:
        self.canary = folder / "canary.ts"
        self.calls: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Watch:
        self.canary.write_bytes(b"\x47" * 188 * 20)
        threading.Thread(target=self._listen, daemon=True).start()
        # A file's time of reading moves only where it is older than that of writing.
        os.utime(self.canary, (1, time.time()))
        self.canary.read_bytes()
        self.notices = os.stat(self.canary).st_atime > 1
        os.utime(self.canary, (1, time.time()))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                line, address = self._socket.accept()
            except OSError:
                return
            self.calls.append(str(address))
            line.close()

    def findings(self) -> list[str]:
        told = [f"somebody called the socket: {call}" for call in self.calls]
        if self.notices and os.stat(self.canary).st_atime > 1:
            told.append("somebody read the canary")
        return told


def traced(every: Sequence[Case], folder: Path) -> list[str]:
    """All files that ``every`` case opens beyond itself, and all hosts, as strace sees them."""
    strace = shutil.which("strace")
    if strace is None:
        return []
    log, listed = folder / "strace.log", folder / "traced.json"
    paths = [(case, laid(case, 100_000 + i, folder)) for i, case in enumerate(every)]
    listed.write_text(json.dumps([str(path) if path else case.name for case, path in paths]))
    command = [
        strace, "-f", "--seccomp-bpf", "-qq", "-e", CALLS, "-s", "4096", "-o", str(log),
        sys.executable, __file__, str(listed),
    ]  # fmt: skip
    code = subprocess.run(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode
    told = [] if code == 0 else [f"the traced run ended with code {code}"]
    allowed = {str(path) if path else case.name for case, path in paths}
    begun, seen = False, 0
    for line in log.read_text(errors="surrogateescape").splitlines():
        if MARK in line:
            begun = True
            continue
        found = STRANGE.search(line) if begun else None
        if found is None:
            continue
        seen += 1
        name = found[1]
        own = name is not None and (name.startswith(OWN) or "/site-packages/" in name)
        ours = name is not None and (
            name in allowed or (name.startswith(f"{folder}/") and name.endswith(".mkv"))
        )
        if not own and not ours:
            told.append(f"beyond the input: {line.strip()[:300]}")
    for _, path in paths:
        if path is not None:
            path.unlink()
    print(f"{len(every)} cases under strace: {seen} files opened, {len(told)} beyond the inputs")
    return told


def whole_runs(
    every: Sequence[Case], films: Sequence[Path], folder: Path, runs: int, seed: int, *, isolate: bool
) -> list[str]:
    """The whole command line over forty damaged files and two whole ones, ``runs`` times."""
    told: list[str] = []
    rng = random.Random(seed)
    whole = [film for film in films if film.stem in ("mp4-libx264-aac", "matroska-libx264-aac")][:2]
    outcomes = [0, 0]
    for turn in range(runs):
        place = folder / f"run{turn}"
        place.mkdir()
        good = [shutil.copy(film, place / f"good{i}.mp4") for i, film in enumerate(whole)]
        bad = [place / f"bad{i}.mp4" for i in range(40)]
        for path, case in zip(bad, rng.sample(list(every), 40), strict=True):
            path.write_bytes(case.make() if case.make else b"")
        listed = place / "list.txt"
        listed.write_text("".join(f"{path}\n" for path in [good[0], *bad, good[1]]))
        command = [
            sys.executable, str(ROOT / "run.py"), f"input_list={listed}", f"output={place}/out/{{name}}.mkv",
            f"hydra.run.dir={place}/report", "quiet=true",
            *(["graph.nodes.decode.isolate=true"] if isolate else []),
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=1200, cwd=place
        )
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            told.append(f"run {turn} ended with code {done.returncode}: {done.stderr[-600:]}")
            continue
        report = json.loads((place / "report" / "report.json").read_text())
        for job in report["jobs"]:
            outcomes[job["status"] == "done"] += 1
            if Path(job["input"]).name.startswith("good") and job["status"] != "done":
                told.append(f"run {turn}: {job['input']} was whole, and {job['status']}: {job.get('error')}")
            if "Error:" in (job.get("error") or ""):
                told.append(f"run {turn}: {job['input']}: {job['error']}")
    print(f"{runs} runs of the command line: {outcomes[1]} jobs done, {outcomes[0]} refused or failed")
    return told


def _traced_main(listed: Path) -> None:
    listed_names = json.loads(listed.read_text())
    attempt("/nowhere", 0, listed.parent, False)  # loads all that is needed
    with contextlib.suppress(OSError), open(MARK):
        pass
    for number, name in enumerate(listed_names):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            try:
                attempt(name, number, listed.parent, False)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    _traced_main(Path(sys.argv[1]))
