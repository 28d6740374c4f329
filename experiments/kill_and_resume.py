"""Is a job that was killed and gone on with the one that it would have been?

    python experiments/kill_and_resume.py VIDEO [points=20] [seed=1] [override ...]

Runs the main job once in peace, then again and again: killed (SIGKILL, the whole process group) at a random
moment of the time that it took, and gone on with by resume=true. Everything in the two files is compared:
coded pictures, sound and subtitles byte for byte with their times, the record of people, and the pictures as
they decode. Ends with code 1 where anything differs, or anything is left beside the output.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parent.parent


def start(video: Path, output: Path, overrides: Sequence[str]) -> subprocess.Popen[str]:
    command = [
        sys.executable, str(ROOT / "run.py"), f"input={video}", f"output={output}", "record=true",
        "overwrite=true", "resume=true", f"hydra.run.dir={output.parent}/run", *overrides,
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=output.parent, text=True, stderr=subprocess.PIPE, start_new_session=True
    )


def digest(film: Path) -> dict[str, object]:
    """All that is in a film and its record, as something to compare."""
    told: dict[str, object] = {"record": hashlib.sha256(record(film).read_bytes()).hexdigest()}
    with av.open(str(film)) as container:
        streams = list(container.streams)
        told["streams"] = [(s.type, s.codec_context.name if s.codec_context else "") for s in streams]
        packets: dict[int, list[tuple[object, ...]]] = {s.index: [] for s in streams}
        for packet in container.demux(streams):
            if packet.size:
                data = hashlib.sha256(bytes(packet)).hexdigest()
                packets[packet.stream.index].append((packet.pts, packet.dts, packet.duration, data))
        told["packets"] = packets
    with av.open(str(film)) as container:
        pixels, frames = hashlib.sha256(), 0
        for frame in container.decode(container.streams.video[0]):
            pixels.update(frame.to_ndarray(format="nv12").tobytes())
            frames += 1
    told["frames"], told["pixels"] = frames, pixels.hexdigest()
    return told


def record(film: Path) -> Path:
    return film.with_name(f"{film.stem}.people.jsonl")


def interrupted(
    video: Path, folder: Path, seconds: float, chance: random.Random, overrides: Sequence[str]
) -> str:
    """Do the job, killed once at a random moment; what happened, in a line."""
    output = folder / "x_dual.mp4"
    moment = chance.uniform(0, seconds)
    running = start(video, output, overrides)
    time.sleep(moment)
    ended = running.poll() is not None
    if not ended:
        os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    again = start(video, output, overrides)
    _, said = again.communicate()
    if again.returncode:
        return f"FAILED: {said.strip().splitlines()[-1]}"
    on = next(
        (line.partition("it goes on at ")[2] for line in said.splitlines() if "it goes on at" in line), ""
    )
    how = f"goes on at {on}" if on else "was done before" if "was done before" in said else "starts anew"
    kept = "work" if any(name.endswith(".unfinished") for name in left) else "nothing"
    when = "had ended" if ended else f"killed after {moment:5.1f} s"
    return f"{when}, {kept} kept; {how}"


def main(args: Sequence[str]) -> int:
    given = dict(arg.split("=", 1) for arg in args if arg.partition("=")[0] in ("points", "seed"))
    overrides = [arg for arg in args[1:] if arg.partition("=")[0] not in ("points", "seed")]
    video, points = Path(args[0]).resolve(), int(given.get("points", 20))
    chance = random.Random(int(given.get("seed", 1)))
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "whole").mkdir()
        began = time.monotonic()
        running = start(video, folder / "whole" / "x_dual.mp4", overrides)
        _, said = running.communicate()
        if running.returncode:
            print(said)
            return 1
        seconds = time.monotonic() - began
        whole = digest(folder / "whole" / "x_dual.mp4")
        print(f"{video.name}: {whole['frames']} frames in {seconds:.1f} s", flush=True)
        for point in range(points):
            own = folder / str(point)
            own.mkdir()
            told = interrupted(video, own, seconds, chance, overrides)
            found = digest(own / "x_dual.mp4") if (own / "x_dual.mp4").exists() else {}
            differs = [key for key in whole if found.get(key) != whole[key]]
            left = sorted(p.name for p in own.iterdir() if p.name.startswith(".") and p.name != ".dualface")
            wrong += bool(differs or left)
            verdict = f"DIFFERS in {differs}" if differs else f"LEFT {left}" if left else "the same"
            print(f"{point + 1:3}  {told}: {verdict}", flush=True)
    print(f"{points - wrong} of {points} the same")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
