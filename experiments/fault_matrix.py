"""What does a run make of each fault at each node? Two videos at a time, a fault in one of them.

    python experiments/fault_matrix.py [NODE ...] [FAULT ...] [--json FILE]

Runs the main graph on the CPU over a made-up clip (160x120, 2 s, with sound) once without a fault, then once
for each node and fault. The other video must come out byte for byte as without, the faulty one as the rules
of recovery=default say, and nothing may be left: no thread, file handle, temporary file, process or buffer.
Prints a table; ends with code 1 where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

from dualface.actions import Request
from dualface.actions.prepare import Ready, prepare
from dualface.app import config_of
from dualface.graph import faults as happening
from dualface.graph.execute import JobResult, execute
from dualface.graph.faults import Fault
from dualface.graph.node import Node
from dualface.graph.recovery import Backoff, Recovery
from dualface.graph.running import outputs
from dualface.graph.types import Frames

BOUND = 120.0  # seconds after which a run counts as one that hangs
FRAMES = 60
AT = 20  # the frame at which things go wrong
NODES = ("decode", "detect", "track", "reid", "camera", "compose", "encode", "record")
SINKS = ("encode", "record")
SMALL = (
    "layout.width=320", "layout.height=180",
    "layout.tiles=[{name: left, x: 0, y: 0, width: 160, height: 180},"
    "{name: right, x: 160, y: 0, width: 160, height: 180}]",
    "graph.nodes.detect.size=160", "graph.nodes.encode.preset=ultrafast", "record=true", "hw=cpu",
    "hw.cpu_slots=2", "hw.decode_batch=4",
)  # fmt: skip
# As recovery=default, in less time; a machine with much else to do is no stall.
RULES = Recovery(stall_seconds=90, backoff=Backoff(0.01, 2, 0.1))
HANGS = replace(RULES, stall_seconds=6, open_seconds=12)

FAULTS: dict[str, dict[str, Any]] = {
    **{
        f"raise {blame}": {"fault": "raise", "error": blame}
        for blame in ("input", "resource", "device", "bug")
    },
    "raise for ever": {"fault": "raise", "times": 0},
    "raise sticky": {"fault": "raise", "sticky": True},
    "raise at open": {"fault": "raise", "at": "open"},
    "raise at finish": {"fault": "raise", "at": "finish"},
    "delay": {"fault": "delay", "seconds": 0.3},
    **{f"corrupt {what}": {"fault": "corrupt", "what": what} for what in happening.CORRUPTS},
    **{f"exhaust {what}": {"fault": "exhaust", "what": what} for what in happening.EXHAUSTS},
    "hang": {"fault": "hang"},
    "hang at open": {"fault": "hang", "at": "open"},
    "kill": {"fault": "kill"},
}


def clip(path: Path, shade: int) -> Path:
    """Two seconds of a face (a square, without scikit-image) that moves, and of a tone."""
    face = np.full((64, 64, 3), 180, np.uint8)
    with contextlib.suppress(ImportError):
        from skimage.data import astronaut

        face = np.ascontiguousarray(astronaut()[20:212:3, 128:320:3])
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=30, width=160, height=120, pix_fmt="yuv420p")
        sound = out.add_stream("aac", rate=48_000, layout="mono")
        for i in range(FRAMES):
            image = np.full((120, 160, 3), shade, np.uint8)
            image[30:94, 20 + i // 2 : 84 + i // 2] = face
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        for i in range(FRAMES * 1600 // 1024):
            wave = 0.3 * np.sin(np.arange(i * 1024, (i + 1) * 1024) / 20, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(wave[None], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, i * 1024, Fraction(1, 48_000)
            out.mux(sound.encode(frame))
        out.mux([*video.encode(None), *sound.encode(None)])
    return path


def content(path: Path) -> bytes:
    """What is in a file. Of a film: its pictures as they decode, with their times, and its sound packet by
    packet; x264 on several threads does not always write the same pictures in the same bytes."""
    if path.suffix != ".mp4":
        return path.read_bytes()
    found = hashlib.sha256()
    with av.open(str(path)) as film:
        for packet in film.demux(film.streams.video[0], film.streams.audio[0]):
            if packet.stream.type == "audio":
                found.update(f"{packet.pts} {packet.duration} ".encode() + bytes(packet))
                continue
            for frame in packet.decode():
                found.update(f"{frame.pts} {frame.key_frame} ".encode() + frame.to_ndarray().tobytes())
    return found.digest()


class Lab:
    """The clips and the plan for them, and what comes out without a fault."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        resource_tracker.ensure_running()  # the process that Python keeps beside those it starts
        clips = [clip(folder / f"{name}.mp4", shade) for name, shade in (("good", 60), ("bad", 90))]
        self.config = config_of([f"input=[{','.join(map(str, clips))}]", *SMALL])
        self.ready: Ready = prepare(self.config, Request(), trust=True)
        results, made = self.run(folder / "wanted")
        assert [result.error for result in results] == ["", ""]
        self.wanted = self.files(made)

    def run(self, folder: Path, *faults: Fault) -> tuple[tuple[JobResult, ...], Path]:
        """Both jobs, at the same time, into ``folder``."""
        jobs = [replace(job, output=folder / f"{job.name}.mp4") for job in self.ready.jobs]
        plan = self.ready.plan(jobs)
        assert len(plan.slots) == 2
        rules = HANGS if any(fault.fault == "hang" for fault in faults) else RULES
        return execute(plan, recovery=rules, faults=faults, rebuild=self.ready.rebuild), folder

    @staticmethod
    def files(folder: Path) -> dict[str, bytes]:
        return {p.name: content(p) for p in sorted(folder.iterdir())} if folder.is_dir() else {}

    def of(self, job: str) -> dict[str, bytes]:
        return {name: data for name, data in self.wanted.items() if name.startswith(f"{job}.")}


def fault(node: str, name: str) -> Fault | None:
    """The fault of that name at ``node``; None where it has nothing to act on."""
    if name.startswith("corrupt") and node in SINKS:
        return None
    return Fault(node, frame=AT, job="bad", **FAULTS[name])


def expected(node: str, name: str) -> str:
    """What becomes of the faulty job: "same" (done, as without the fault), "done", "failed" or "either"."""
    if name in ("raise input", "raise bug", "raise for ever", "corrupt length"):
        # (A source says itself how many frames there are.)
        return "done" if (node, name) == ("decode", "corrupt length") else "failed"
    if name == "corrupt times":
        return "failed" if node in ("decode", "compose") else "same"
    if (node, name) == ("camera", "corrupt nan"):
        return "either"  # as compose's own policy has it
    if name.startswith("corrupt"):
        return "done"  # nobody can tell it from a picture or face that is like that
    return "same"


def left_over(before: dict[str, Any]) -> list[str]:
    """What a run left that was not there ``before``."""
    gc.collect()
    now = state()
    told = [f"{key} {before[key]} -> {now[key]}" for key in ("files", "processes") if now[key] > before[key]]
    threads = [thread.name for thread in now["threads"] - before["threads"] if thread.is_alive()]
    told += [f"threads {threads}"] if threads else []
    alive = [type(o).__name__ for o in gc.get_objects() if isinstance(o, Node | Frames)]
    told += [f"alive {alive}"] if alive else []
    told += ["unfinished outputs"] if outputs._live - before["outputs"] else []
    return told


def state() -> dict[str, Any]:
    me = psutil.Process()
    return {
        "files": me.num_fds(),
        "processes": len(me.children()),
        "threads": set(threading.enumerate()),
        "outputs": set(outputs._live),
    }


@contextlib.contextmanager
def releasing() -> Iterator[None]:
    """Those who hang may come back at the end."""
    before = set(threading.enumerate())
    happening.RELEASED.clear()
    try:
        yield
    finally:
        happening.RELEASED.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(BOUND)


def case(lab: Lab, node: str, name: str) -> dict[str, Any] | None:
    """One run with one fault: what it came to, and ``wrong``, what is not as it should be."""
    wanted = fault(node, name)
    if wanted is None:
        return None
    with tempfile.TemporaryDirectory(dir=lab.folder) as made:
        began = time.monotonic()
        if wanted.fault == "kill":
            return _killed(lab, wanted, Path(made), began)
        before = state()
        with releasing():
            results, folder = lab.run(Path(made), wanted)
            seconds = time.monotonic() - began
        good, bad = sorted(results, key=lambda result: result.job.name != "good")
        found, wrong = lab.files(folder), left_over(before)
        same = lab.of("bad").items() <= found.items()
        came = "same" if same and bad.status == "done" else bad.status
        if good.status != "done" or not lab.of("good").items() <= found.items():
            wrong.append(f"the other job is not as without it: {good.status} {good.error}")
        meant = expected(node, name)
        if came != meant and meant != "either" and (came, meant) != ("same", "done"):
            wrong.append(f"it is {came}, not {meant}: {bad.error}")
        if unknown := found.keys() - lab.wanted.keys():
            wrong.append(f"left {sorted(unknown)}")
        if bad.status == "failed" and set(found) - set(lab.of("good")):
            wrong.append(f"a failed job left {sorted(set(found) - set(lab.of('good')))}")
        if seconds > BOUND:
            wrong.append(f"it took {seconds:.0f} s")
    tried = [taken.action for taken in bad.history]
    return {"node": node, "fault": name, "came": came, "tried": tried, "seconds": seconds,
            "error": bad.error, "wrong": wrong}  # fmt: skip


def _killed(lab: Lab, wanted: Fault, folder: Path, began: float) -> dict[str, Any]:
    """A run of its own is killed; the next one must do both jobs and leave nothing of the first."""
    own = [sys.executable, __file__, "--killed", wanted.node, str(lab.folder), str(folder)]
    code = subprocess.run(own, capture_output=True, timeout=BOUND).returncode
    wrong = [] if code == -9 else [f"it was to be killed, but ended with {code}"]
    lab.run(folder)
    found = lab.files(folder)
    if found != lab.wanted:
        wrong.append(f"the next run left {sorted(found)}, or other pictures")
    return {"node": wanted.node, "fault": "kill", "came": "same after the next run", "tried": [],
            "seconds": time.monotonic() - began, "error": "", "wrong": wrong}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    if argv[:1] == ["--killed"]:
        node, folder, into = argv[1:]
        clips = Path(folder)
        lab: Any = Lab.__new__(Lab)
        config = config_of([f"input=[{clips / 'good.mp4'},{clips / 'bad.mp4'}]", *SMALL])
        lab.ready = prepare(config, Request(), trust=True)
        lab.run(Path(into), Fault(node, "kill", frame=AT, job="bad"))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="nodes and faults; all unless some are named")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(argv)
    nodes = [node for node in NODES if node in asked.words] or NODES
    names = [name for name in FAULTS if name in asked.words or name.split()[0] in asked.words] or [*FAULTS]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        for node in nodes:
            for name in names:
                if (row := case(lab, node, name)) is None:
                    continue
                rows.append(row)
                tried = ", ".join(f"{row['tried'].count(a)} {a}" for a in dict.fromkeys(row["tried"]))
                print(f"{node:8} {name:16} {row['came']:10} {row['seconds']:5.1f} s  {tried:24} "
                      f"{'; '.join(row['wrong']) or 'ok'}", flush=True)  # fmt: skip
    bad = [row for row in rows if row["wrong"]]
    print(f"{len(rows)} runs, {len(bad)} not as they should be; the longest took "
          f"{max(row['seconds'] for row in rows):.1f} s")  # fmt: skip
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
