"""Is memory flat over time? A clip is looped to a long video; the main job's memory is sampled.

    python experiments/memory.py input=CLIP.mp4 [minutes=20] [any override of the main job]

Packets are copied, not encoded, so that making twenty minutes takes seconds. Prints the memory over the run
and its slope after the start-up (the first fifth); ends with code 1 where that is more than `LEAK`.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
EVERY = 0.5  # seconds between samples
LEAK = 2.0  # MiB a minute; an allocator's noise stays below, one lost 1080p picture a second is 180
ROWS = 10


def packets(clip: Path) -> Iterator[Any]:
    """The packets of the clip's video and audio, in the file's order."""
    with av.open(str(clip)) as source:
        for packet in source.demux([s for s in source.streams if s.type in ("video", "audio")]):
            if packet.dts is not None and packet.pts is not None:
                yield packet


def loop(clip: Path, target: Path, minutes: float) -> int:
    """Write ``clip`` to ``target`` again and again until ``minutes`` are full; how many times."""
    # From the first decoding time to the last end, so that no turn begins before the last one ended.
    times = [
        (p.dts * p.time_base, (max(p.pts, p.dts) + (p.duration or 1)) * p.time_base) for p in packets(clip)
    ]
    if not times:
        raise SystemExit(f"{clip}: nothing in it can be looped")
    period = max(end for _, end in times) - min(dts for dts, _ in times)
    turns = math.ceil(minutes * 60 / period)
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        copies = {
            s.index: out.add_stream_from_template(s) for s in source.streams if s.type in ("video", "audio")
        }
        for turn in range(turns):
            for packet in packets(clip):
                shift = round(turn * period / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    return turns


def watch(command: list[str]) -> tuple[int, list[tuple[float, float]]]:
    """Run ``command``; its exit code and (seconds, MiB) samples of it with its children."""
    started, samples = time.monotonic(), []
    process = psutil.Popen(command)
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            memory = sum(member.memory_info().rss for member in family) / 2**20
            samples.append((time.monotonic() - started, memory))
        except psutil.Error:  # one of them has just ended
            pass
        time.sleep(EVERY)
    return process.returncode, samples


def main(arguments: list[str]) -> int:
    given = dict(a.split("=", 1) for a in arguments if a.startswith(("input=", "minutes=")))
    rest = [a for a in arguments if not a.startswith(("input=", "minutes="))]
    if "input" not in given:
        print(__doc__, file=sys.stderr)
        return 2
    clip, minutes = Path(given["input"]), float(given.get("minutes", 20))
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / f"long{clip.suffix}"
        turns = loop(clip, long, minutes)
        print(f"{clip.name} {turns} times: {long.stat().st_size / 2**20:.0f} MiB", flush=True)
        job = [f"input={long}", f"output={folder}/result.mp4", f"hydra.run.dir={folder}/run", *rest]
        code, samples = watch([sys.executable, str(ROOT / "run.py"), *job])
    steady = np.array(samples)[len(samples) // 5 :]
    if code or len(steady) < ROWS:
        print(f"the job ended with code {code} after {len(samples)} samples: no verdict")
        return 1
    slope = 60 * float(np.polyfit(steady[:, 0], steady[:, 1], 1)[0])
    for part in np.array_split(np.array(samples), ROWS):
        (start, end), memory = part[[0, -1], 0], part[:, 1]
        print(f"{start:7.0f} s to {end:5.0f} s: {memory.mean():7.1f} MiB, most {memory.max():.1f}")
    print(f"slope after the start-up: {slope:+.2f} MiB a minute (more than {LEAK} is a leak)")
    return int(slope > LEAK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
