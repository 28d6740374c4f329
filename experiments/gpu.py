"""The GPU path beside raw NVDEC: how fast, what limits it, and what crosses the bus.

    python run.py action=bench bench=gpu input=VIDEO [hw=h100]
    python experiments/gpu.py VIDEO [--seconds 60] [--sessions 1,4,7,14] [override ...]

The clip is looped to a minute by copying packets. Raw NVDEC is PyNvVideoCodec's ThreadedDecoder, one a
thread, which gives its surfaces back unread. Beside it the main graph runs with as many jobs, up to its
pictures: an end that reads every byte of them stands for the encoder. Rates are sums over the time in which
all were running. Each measurement is a process of its own, and raw and graph take turns. GIL is the share of
the time for which Python's lock is held in the busiest process of a slot, where gilknocker is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

Came = list[tuple[float, int]]  # when batches came, and how many pictures
SECONDS, SESSIONS = 60.0, (1, 4, 7, 14)
BATCH = 8


def rate(jobs: Sequence[Came]) -> float:
    """Pictures a second of all jobs together while all were running."""
    begin, end = max(came[0][0] for came in jobs), min(came[-1][0] for came in jobs)
    if end <= begin:
        return float("nan")  # the first was done before the last had begun
    return sum(count for came in jobs for at, count in came if begin < at <= end) / (end - begin)


def in_threads(work: Callable[[int], None], count: int) -> float:
    """``work(0)`` to ``work(count - 1)`` at a time; how many cores that took."""
    started = time.process_time(), time.monotonic()
    threads = [threading.Thread(target=work, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - started[0]) / (time.monotonic() - started[1])


def raw(path: Path, sessions: int) -> dict[str, Any]:
    """Decode ``path`` in ``sessions`` threads and look at nothing."""
    import cupy
    import PyNvVideoCodec as nvc

    from dualface.hw.cuda import context_of

    sys.setswitchinterval(1e-4)
    context = context_of(0)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(sessions)]
    came: list[Came] = [[] for _ in range(sessions)]

    def decode(index: int) -> None:
        decoder = nvc.ThreadedDecoder(
            str(path), 4 * BATCH, 0, context, streams[index].ptr, use_device_memory=True
        )
        while frames := decoder.get_batch_frames(BATCH):
            came[index].append((time.monotonic(), len(frames)))
        decoder.end()

    cores = in_threads(decode, sessions)
    return {"rate": rate(came), "cores": cores, "frames": sum(n for one in came for _, n in one)}


def graph(path: Path, sessions: int, overrides: Sequence[str]) -> dict[str, Any]:
    """Run the main graph up to its pictures on ``sessions`` copies of ``path`` at a time."""
    from sink import up_to_pictures

    from dualface.actions import Request
    from dualface.actions.prepare import hardware
    from dualface.app import config_of
    from dualface.graph.execute import execute
    from dualface.graph.schedule import schedule
    from dualface.hw.cuda import open_device
    from dualface.nodes.decode.probe import probe

    config = config_of(["graph=dualface", *overrides])
    machine = hardware(config, Request(command=tuple(overrides)), trust=True).hardware
    # As many slots as there are jobs, more than the engines if need be.
    machine = replace(
        machine, cuda_streams=sessions, decode_sessions=sessions,
        vram_per_stream_mb=min(machine.vram_per_stream_mb, machine.vram_limit_mb // (sessions + 1)),
    )  # fmt: skip
    meeting = tempfile.TemporaryDirectory()
    made = up_to_pictures(config, machine, folder=meeting.name, together=sessions)
    jobs = [probe(path, output=path.with_name(f"{i}.mp4"), name=f"{i}", index=i) for i in range(sessions)]
    plan = schedule(made, machine, jobs)
    free = _free_vram()
    lowest = [free]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.2):
            lowest[0] = min(lowest[0], _free_vram())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = _cpu_seconds(), time.monotonic()
    results = execute(plan, open_device=open_device, overwrite=True, apart=True)
    wall = time.monotonic() - started[1]
    cores = (_cpu_seconds() - started[0]) / wall
    done.set()
    watcher.join()
    meeting.cleanup()
    for result in results:
        if result.status != "done":
            raise SystemExit(f"{result.job.name}: {result.error}\n{result.trace}")
    stages: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for result in results:
        for use in result.nodes:
            stages[use.name][0] += use.seconds
            stages[use.name][1] += use.cpu_seconds
    frames = sum(result.frames_out for result in results)
    return {
        "rate": rate([result.figures["came"] for result in results]),
        "cores": cores, "frames": frames, "slots": len(plan.slots), "wall": wall,
        "vram_mb_a_slot": (free - lowest[0]) / 2**20 / len(plan.slots),
        "us_a_frame": {name: [1e6 * v / frames for v in both] for name, both in stages.items()},
        "gil": max(result.figures.get("gil", float("nan")) for result in results),
        "host_bytes_a_frame": sum(r.figures.get("device_to_host_bytes", 0) for r in results) / frames,
    }  # fmt: skip


def _cpu_seconds() -> float:
    """Of this process and those that it has started and that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _free_vram() -> int:
    import pynvml

    pynvml.nvmlInit()
    return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).free)


def traced(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Kernels and copies of one job, as CUPTI sees them: microseconds and bytes a frame."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        activities = [torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            ran = graph(path, 1, overrides)
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    frames, kernels, copies = ran["frames"], defaultdict(float), defaultdict(lambda: [0, 0.0])  # type: ignore[var-annotated]
    for event in events:
        if event.get("cat") == "kernel":
            kernels[event["name"][:60]] += event["dur"]
        elif event.get("cat") == "gpu_memcpy":
            copies[event["name"]][0] += 1
            copies[event["name"]][1] += event["args"].get("bytes", 0)
    longest = sorted(kernels.items(), key=lambda pair: -pair[1])
    return {
        "frames": frames,
        "us_a_frame": {name: total / frames for name, total in longest},
        "copies": {name: {"count": n, "bytes_a_frame": b / frames} for name, (n, b) in copies.items()},
    }


def measure(what: str, *arguments: str) -> dict[str, Any]:
    """One measurement in a process of its own. Raises RuntimeError with what it said if it fails."""
    command = [sys.executable, str(Path(__file__)), f"--{what}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\nended with code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def bench(video: Path, seconds: float, sessions: Sequence[int], overrides: Sequence[str]) -> int:
    from memory import loop

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"long{video.suffix}"
        loop(video, path, seconds / 60)
        print(f"{video.name} looped to {seconds:g} s on {_gpu_name()}; frames/s of all jobs together\n")
        print("jobs  raw NVDEC    graph   share   cores   GIL  VRAM MB a slot   us a frame (wall/CPU)")
        for count in sessions:
            alone = measure("raw", str(path), str(count))
            ours = measure("graph", str(path), str(count), *overrides)
            stages = ", ".join(f"{n} {w:.0f}/{c:.0f}" for n, (w, c) in ours["us_a_frame"].items())
            print(
                f"{count:4}{alone['rate']:11.0f}{ours['rate']:9.0f}{ours['rate'] / alone['rate']:8.2f}"
                f"{ours['cores']:8.2f}{ours['gil']:6.2f}{ours['vram_mb_a_slot']:16.0f}   {stages}",
                flush=True,
            )
        seen = measure("traced", str(path), *overrides)
        print(f"\nGPU time a frame ({seen['frames']} frames):")
        for name, us in list(seen["us_a_frame"].items())[:12]:
            print(f"  {us:8.2f} us  {name}")
        print(f"  {sum(seen['us_a_frame'].values()):8.2f} us  together\n\nCopies a frame, by kind:")
        for name, copy in seen["copies"].items():
            print(f"  {copy['bytes_a_frame']:12.0f} bytes  {name} ({copy['count']} copies)")
    return 0


def _gpu_name() -> str:
    import pynvml

    pynvml.nvmlInit()
    return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)))


def main(config: Mapping[str, Any]) -> int:
    """What ``action=bench bench=gpu`` calls."""
    source = config.get("input")
    if not isinstance(source, str | Path) or not Path(source).is_file():
        print("bench=gpu needs one video to work on: input=VIDEO.", file=sys.stderr)
        return 2
    try:
        import cupy
        import PyNvVideoCodec  # noqa: F401

        cupy.cuda.Device(0).use()
    except Exception as error:  # a package that is missing, a driver that does not load
        print(f"bench=gpu needs an NVIDIA GPU with NVDEC and the extra 'gpu': {error}.", file=sys.stderr)
        return 2
    try:
        return bench(Path(source).resolve(), SECONDS, SESSIONS, [f"hw={config['hw']['name']}"])
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    one = {"raw": lambda p, n: raw(Path(p), int(n)), "graph": lambda p, n, *o: graph(Path(p), int(n), o),
           "traced": lambda p, *o: traced(Path(p), o)}  # fmt: skip
    if sys.argv[1:2] and sys.argv[1].removeprefix("--") in one:
        print(json.dumps(one[sys.argv[1].removeprefix("--")](*sys.argv[2:])))
        sys.exit()
    parser = argparse.ArgumentParser(description="The GPU path beside raw NVDEC.")
    parser.add_argument("video", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--sessions", default=",".join(map(str, SESSIONS)))
    given, rest = parser.parse_known_args()
    counts = [int(word) for word in given.sessions.split(",")]
    sys.exit(bench(given.video.resolve(), given.seconds, counts, rest))
