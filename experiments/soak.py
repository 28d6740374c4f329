"""Do memory and handles stay flat while jobs run on and on and things go wrong?

    python experiments/soak.py [minutes=30] [seed=1] [json=FILE]

Runs the two small jobs of `fault_matrix.py` again and again; in most runs one to three faults happen in one
of them, at random nodes, frames and moments. The other job must come out byte for byte as without. Prints a
table over time of this process (memory, threads, file handles, temporary files, processes), and the slopes
after the first fifth; ends with code 1 where memory grows by more than `LEAK`, anything else at all, or a
job is not as it should be.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from fault_matrix import FAULTS, NODES, Lab, fault, releasing

from dualface.graph.faults import Fault

LEAK = 2.0  # MiB a minute; an allocator's noise stays below
ROWS = 15
COLUMNS = ("memory_mb", "threads", "handles", "files", "processes")
CHANCES = {  # runs on a thousand in which it happens; what is not listed shares the rest
    "hang": 15,
    "hang at open": 2,
    "kill": 0,  # it would end this process, too
    "nothing": 150,
}


def faults(chance: random.Random) -> list[Fault]:
    """What goes wrong in one run."""
    names = list(FAULTS)
    rest = (1000 - sum(CHANCES.values())) / (len(names) - len(CHANCES) + 1)
    weights = [CHANCES.get(name, rest) for name in (*names, "nothing")]
    (name,) = chance.choices((*names, "nothing"), weights)
    if name == "nothing":
        return []
    if name.startswith("hang"):
        return [made] if (made := _random(name, chance)) else []
    usual = [other for other in names if other not in CHANCES]
    more = [chance.choice(usual) for _ in range(chance.randrange(3))]
    return [made for one in (name, *more) if (made := _random(one, chance))]


def _random(name: str, chance: random.Random) -> Fault | None:
    made = fault(chance.choice(NODES), name)
    return made and Fault(**{**vars(made), "frame": chance.randrange(56)})


def sample(folder: Path) -> dict[str, float]:
    """What this process holds now, without what its allocator only keeps for later."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)
    me = psutil.Process()
    return {
        "memory_mb": me.memory_info().rss / 2**20,
        "threads": threading.active_count(),
        "handles": me.num_fds(),
        "files": sum(1 for path in folder.rglob("*") if path.is_file()),
        "processes": len(me.children(recursive=True)),
    }


def soak(minutes: float, seed: int) -> tuple[list[dict[str, float]], collections.Counter[str], list[str]]:
    """The samples, how jobs ended and were recovered, and what was not as it should be."""
    chance, told, wrong = random.Random(seed), collections.Counter[str](), []
    samples: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        lab = Lab(Path(name))
        began, shown = time.monotonic(), -1.0
        while (now := (time.monotonic() - began) / 60) < minutes:
            happens = faults(chance)
            with tempfile.TemporaryDirectory(dir=name) as made:
                with releasing():
                    results, folder = lab.run(Path(made), *happens)
                good, bad = sorted(results, key=lambda result: result.job.name != "good")
                found = lab.files(folder)
                told[f"{bad.status}{'' if happens else ' without a fault'}"] += 1
                told.update(f"by {taken.action}" for taken in bad.history)
                if good.status != "done" or not lab.of("good").items() <= found.items():
                    wrong.append(f"{happens}: the other job: {good.status} {good.error}")
                if not happens and (bad.status != "done" or found != lab.wanted):
                    wrong.append(f"without a fault: {bad.status} {bad.error}")
                if left := set(found) - set(lab.wanted):
                    wrong.append(f"{happens}: left {sorted(left)}")
            samples.append({"minutes": now, **sample(Path(name))})
            if now - shown >= minutes / ROWS:
                shown = now
                print(_row(samples[-1]), flush=True)
    return samples, told, wrong


def slopes(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By how much each column grows in a minute, after the first fifth."""
    settled = samples[len(samples) // 5 :]
    times = [one["minutes"] for one in settled]
    return {name: float(np.polyfit(times, [one[name] for one in settled], 1)[0]) for name in COLUMNS}


def _row(one: Mapping[str, float]) -> str:
    return f"{one['minutes']:7.1f} " + " ".join(f"{one[name]:10.1f}" for name in COLUMNS)


def main(argv: Sequence[str]) -> int:
    given: dict[str, Any] = dict(text.split("=", 1) for text in argv)
    minutes, seed = float(given.get("minutes", 30)), int(given.get("seed", 1))
    print("minutes " + " ".join(f"{name:>10}" for name in COLUMNS))
    samples, told, wrong = soak(minutes, seed)
    grows = slopes(samples)
    print("a min   " + " ".join(f"{grows[name]:10.3f}" for name in COLUMNS))
    most = {name: max(one[name] for one in samples) for name in COLUMNS}
    print("most    " + " ".join(f"{most[name]:10.1f}" for name in COLUMNS))
    ended = ", ".join(f"{count} {what}" for what, count in sorted(told.items()))
    print(f"{len(samples)} runs of 2 jobs: {ended}; {len(wrong)} not as they should be")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if "json" in given:
        Path(given["json"]).write_text(
            json.dumps({"samples": samples, "told": told, "wrong": wrong}, indent=1)
        )
    first, last = samples[len(samples) // 5], samples[-1]
    leaks = [name for name in COLUMNS[1:] if last[name] > first[name]]
    leaks += ["memory_mb"] if grows["memory_mb"] > LEAK else []
    print(f"not flat: {', '.join(leaks)}" if leaks else "flat")
    return bool(wrong or leaks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
