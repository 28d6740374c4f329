"""dualface beside ffmpeg alone and beside the script one would write: speed, CPU time, memory.

    python run.py action=bench bench=cpu input=VIDEO
    python experiments/cpu.py VIDEO [--pairs 3]

Each contender is a whole process from start to end, and they take turns (A B C D, A B C D, ...), so that a
machine that slows down slows all of them; ratios are formed within a turn. ffmpeg crops two fixed places:
once those of a person who measured a 1920x1080 picture by eye, once those that dualface chose for its first
frame, so that both encode like pixels; and once more beside YuNet's bare network (`network_beside.py`):
no program that looks for faces on every frame can be faster.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import psutil

ROOT = Path(__file__).resolve().parent.parent
BY_EYE = ((0, 100, 800, 900), (960, 60, 800, 900))  # x, y, width, height within 1920x1080
TILE = "960:1080"


@dataclass(frozen=True)
class Run:
    """What one process took: seconds of wall and CPU time, MiB at its peak (with children), MiB written."""

    wall: float
    cpu: float
    peak: float
    size: float


def measure(command: Sequence[str], output: Path) -> Run:
    """Run ``command`` to its end; raises RuntimeError with what it said if it fails."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        peak, ended = [0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak, ended))
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        watcher.join()
        if process.returncode:
            log.seek(0)
            said = log.read().decode(errors="replace").strip()[-2000:]
            raise RuntimeError(f"{' '.join(command)}\nended with code {process.returncode}:\n{said}")
    largest = max(peak[0], used.ru_maxrss * 1024)  # exact for one process, polled for several
    return Run(wall, used.ru_utime + used.ru_stime, largest / 2**20, output.stat().st_size / 2**20)


def _watch(pid: int, peak: list[int], ended: threading.Event) -> None:
    while not ended.wait(0.1):
        total = 0
        try:
            for process in [parent := psutil.Process(pid), *parent.children(recursive=True)]:
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peak[0] = max(peak[0], total)


def ffmpeg_command(source: Path, crops: Sequence[Sequence[int]], output: Path) -> list[str]:
    """The same picture from fixed crops (x, y, width, height), encoded as dualface does by default."""
    left, right = (f"crop={w}:{h}:{x}:{y},scale={TILE}" for x, y, w, h in crops)
    graph = f"[0:v]split[a][b];[a]{left}[l];[b]{right}[r];[l][r]hstack"
    encoding = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-c:a", "copy"]
    return [
        "ffmpeg",
        "-y",
        "-loglevel",
        "error",
        "-i",
        str(source),
        "-filter_complex",
        graph,
        *encoding,
        str(output),
    ]


def dualface_command(source: Path, output: Path, *more: str) -> list[str]:
    """The main graph on ``source`` with its default settings."""
    command = [sys.executable, str(ROOT / "run.py"), "graph=dualface", f"input={source}", f"output={output}"]
    return [*command, "overwrite=true", "quiet=true", f"hydra.run.dir={output.parent / 'run'}", *more]


def first_crops(source: Path, folder: Path) -> list[tuple[int, int, int, int]]:
    """Where dualface points its camera in the first frame of ``source``, as x, y, width, height."""
    output = folder / "first.mp4"
    measure(dualface_command(source, output, "record=true"), output)
    with (folder / "first.people.jsonl").open(encoding="utf-8") as lines:
        shots = json.loads(next(lines))["shots"]
    return [tuple(round(v) for v in (x0, y0, x1 - x0, y1 - y0)) for x0, y0, x1, y1 in shots.values()]  # type: ignore[misc]


def bench(source: Path, pairs: int) -> int:
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        width, height = stream.width, stream.height
        frames = sum(1 for packet in container.demux(stream) if packet.size)
    by_eye = [
        (x * width // 1920, y * height // 1080, w * width // 1920, h * height // 1080)
        for x, y, w, h in BY_EYE
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "out.mp4"
        same = first_crops(source, folder)  # this run also fills the caches of files and models
        commands = {
            "dualface": dualface_command(source, out),
            "ffmpeg, crops by eye": ffmpeg_command(source, by_eye, out),
            "ffmpeg, dualface's crops": ffmpeg_command(source, same, out),
            "the same + bare network": [
                sys.executable,
                str(ROOT / "experiments/network_beside.py"),
                *map(str, (width, height, frames)),
                *ffmpeg_command(source, same, out),
            ],
            "OpenCV + YuNet script": [
                sys.executable,
                str(ROOT / "experiments/opencv_script.py"),
                str(source),
                str(out),
            ],
        }
        runs: dict[str, list[Run]] = {contender: [] for contender in commands}
        for turn in range(pairs):
            for contender, command in commands.items():
                runs[contender].append(measure(command, out))
                print(
                    f"turn {turn + 1}/{pairs}, {contender}: {runs[contender][-1].wall:.1f} s", file=sys.stderr
                )
    print(
        f"{source.name}: {width}x{height}, {frames} frames; {os.cpu_count()} cores; medians of {pairs} turns"
    )
    _table(runs, frames)
    return 0


def _table(runs: Mapping[str, Sequence[Run]], frames: int) -> None:
    heads = f"{'frames/s':>9}{'CPU s':>8}{'peak MiB':>10}{'file MiB':>10}"
    print(f"\n{'':26}{heads}   dualface's frames/s, turn by turn")
    ours = runs["dualface"]
    for contender, theirs in runs.items():
        wall, cpu, peak, size = (
            statistics.median(getattr(run, what) for run in theirs)
            for what in ("wall", "cpu", "peak", "size")
        )
        ratios = [their.wall / our.wall for our, their in zip(ours, theirs, strict=True)]
        beside = f"x {statistics.median(ratios):.2f}  ({', '.join(f'{r:.2f}' for r in ratios)})"
        line = f"{contender:26}{frames / wall:9.1f}{cpu:8.1f}{peak:10.0f}{size:10.1f}"
        print(line if theirs is ours else f"{line}   {beside}")


def main(config: Mapping[str, Any], pairs: int = 3) -> int:
    """What ``action=bench bench=cpu`` calls; ``pairs`` is the number of turns."""
    source = config.get("input")
    if source == "demo":
        from dualface.demo import demo_clip

        source = demo_clip()
    if not isinstance(source, str | Path) or not Path(source).is_file():
        print("bench=cpu needs one video to work on: input=VIDEO, or input=demo.", file=sys.stderr)
        return 2
    if shutil.which("ffmpeg") is None:
        print(
            "bench=cpu compares with the ffmpeg program, which is not on the PATH; install it.",
            file=sys.stderr,
        )
        return 2
    try:
        return bench(Path(source).resolve(), pairs)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="dualface beside ffmpeg and an OpenCV script.")
    parser.add_argument("video")
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    sys.exit(main({"input": arguments.video}, arguments.pairs))
