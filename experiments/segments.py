"""What do segments cost beside one long encode: bytes, likeness to the source, time?

    python experiments/segments.py VIDEO ... [--seconds 10 5 2] [--crf 23] [--preset veryfast]

Each video is decoded and encoded as it is: once in one go, and once in segments of so many seconds.
Likeness is PSNR and SSIM of luma by ffmpeg, over all pictures ("worst second": the lowest mean PSNR of a
second). A video that is shorter than three segments is repeated until it has three. ``closing`` is the time
that the end of a segment takes, ``end`` that of putting the output together.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualface.graph.node import Context
from dualface.graph.running.checkpoint import Segments
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.x264 import X264, X264Config


@dataclass(frozen=True)
class Made:
    """Bytes of the output and of its pictures alone, decibels, and seconds."""

    size: int
    psnr: float
    worst: float
    ssim: float
    encoding: float
    closing: tuple[float, ...]
    end: float


def encode(source: Path, output: Path, seconds: float, config: X264Config) -> Made:
    """``source`` as it is, in segments of ``seconds`` (0: one)."""
    job = probe(str(source), output=output, name="x")
    folder = output.with_suffix(".unfinished")
    folder.mkdir()

    def context(name: str) -> Context:
        return Context(job, name, 8, 2, lambda e: None, lambda: False, lambda p: p, lambda n, v: None,
                       lambda n, v: None, workspace=lambda: folder)  # fmt: skip

    decode, node = PyavDecode(PyavConfig()), X264(config)
    decode.open(context("decode"))
    node.open(context("encode"))
    segments, closing, encoding = Segments(seconds or 1e9), [], 0.0
    while (batch := decode.process()) is not None:
        frames = batch.frames
        begun = time.perf_counter()
        if segments.begins(float(int(frames.pts[0]) * frames.video.time_base)):
            node.snapshot()
            closing.append(time.perf_counter() - begun)
        node.process(frames, batch.source)
        encoding += time.perf_counter() - begun
    begun = time.perf_counter()
    node.snapshot()
    encoding += time.perf_counter() - begun
    begun = time.perf_counter()
    list(node.finish())
    end = time.perf_counter() - begun
    decode.close()
    node.close()
    size = sum(path.stat().st_size for path in folder.glob("*.mkv"))
    rate = float(job.video.frame_rate or 30)
    return Made(size, *likeness(source, output, rate), encoding, tuple(closing), end)


def likeness(source: Path, made: Path, rate: float) -> tuple[float, float, float]:
    """PSNR of luma in decibels, that of the worst second, and SSIM, from ffmpeg."""
    compare = "[0:v]setpts=N,split[a][b];[1:v]setpts=N,split[c][d];[a][c]psnr=f=-[x];[b][d]ssim[y]"
    command = ["ffmpeg", "-hide_banner", "-nostats", "-i", made, "-i", source, "-filter_complex", compare,
               "-map", "[x]", "-map", "[y]", "-fps_mode", "passthrough", "-f", "null", "-"]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    error = np.array([float(value) for value in re.findall(r"mse_y:([\d.]+)", ran.stdout)])
    second = max(1, round(rate))
    means = [error[k : k + second].mean() for k in range(0, len(error) - second + 1, second)] or [
        error.mean()
    ]
    (ssim,) = re.findall(r"SSIM Y:([\d.]+)", ran.stderr)
    return decibels(error.mean()), decibels(max(means)), float(ssim)


def decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def repeated(source: Path, seconds: float, folder: Path) -> Path:
    """``source`` often enough, one after the other, to last for ``seconds``."""
    duration = probe(str(source), output=folder / "x.mp4", name="x").duration
    times = int(np.ceil(seconds / duration))
    if times < 2:
        return source
    target = folder / f"long_{source.stem}.mp4"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-stream_loop",
        str(times - 1),
        "-i",
        source,
        "-map",
        "0:v:0",
        "-c",
        "copy",
    ]
    subprocess.run([*command, target], check=True)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--seconds", nargs="+", type=float, default=[10, 5, 2])
    parser.add_argument("--crf", type=float, default=23)
    parser.add_argument("--preset", default="veryfast")
    said = parser.parse_args()
    config = X264Config(crf=said.crf, preset=said.preset)
    print("| video | segments of | bytes | more | PSNR | worst second | SSIM | encoding | closing | end |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for video in said.videos:
        with tempfile.TemporaryDirectory() as folder:
            source = repeated(video, 3 * max(said.seconds), Path(folder))
            first = None
            for seconds in (0, *said.seconds):
                made = encode(source, Path(folder) / f"{seconds:g}.mp4", seconds, config)
                first = first or made
                closing = f"{1000 * float(np.mean(made.closing)):.0f} ms" if made.closing else ""
                print(
                    f"| {video.stem} | {f'{seconds:g} s' if seconds else 'all'} | {made.size} "
                    f"| {100 * (made.size / first.size - 1):+.2f}% | {made.psnr:.2f} | {made.worst:.2f} "
                    f"| {made.ssim:.5f} | {made.encoding:.1f} s | {closing} | {made.end:.2f} s |",
                    flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
