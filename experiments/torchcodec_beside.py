"""TorchCodec's CUDA decoder beside PyNvVideoCodec's: how fast, and what it gives.

    python experiments/torchcodec_beside.py VIDEO [seconds=30] [sessions=1,4,7]

Both decode the same looped file in as many threads, eight pictures at a time, and look at nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from gpu import BATCH, in_threads, measure, rate  # noqa: E402
from memory import loop  # noqa: E402


def torchcodec(path: str, sessions: int) -> dict[str, Any]:
    """Decode ``path`` in ``sessions`` threads, each on a stream of its own."""
    import torch
    from torchcodec.decoders import VideoDecoder

    sys.setswitchinterval(1e-4)
    came: list[list[tuple[float, int]]] = [[] for _ in range(sessions)]
    given = ""

    def decode(index: int) -> None:
        nonlocal given
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            decoder = VideoDecoder(path, device="cuda", seek_mode="approximate")
            total = decoder.metadata.num_frames or 0
            for first in range(0, total - BATCH, BATCH):
                pictures = decoder.get_frames_in_range(first, first + BATCH).data
                stream.synchronize()
                came[index].append((time.monotonic(), len(pictures)))
            given = f"{pictures.dtype} {list(pictures.shape)} on {pictures.device}"

    cores = in_threads(decode, sessions)
    return {"rate": rate(came), "cores": cores, "given": given}


def main(video: str, *words: str) -> None:
    options = dict(word.split("=", 1) for word in words)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"long{Path(video).suffix}"
        loop(Path(video), path, float(options.get("seconds", "30")) / 60)
        for sessions in options.get("sessions", "1,4,7").split(","):
            raw = measure("raw", str(path), sessions)
            command = [sys.executable, __file__, "--torchcodec", str(path), sessions]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"TorchCodec does not run here: {done.stderr[-2000:]}")
            other = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{sessions} sessions: PyNvVideoCodec {raw['rate']:.0f} frames/s, {raw['cores']:.2f} cores; "
                f"TorchCodec {other['rate']:.0f}, {other['cores']:.2f} cores; gives {other['given']}",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1] == "--torchcodec":
        print(json.dumps(torchcodec(sys.argv[2], int(sys.argv[3]))))
    else:
        main(*sys.argv[1:])
