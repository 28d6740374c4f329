"""How calm and how well framed: section by section figures from a people.jsonl with shots.

    python experiments/camera_quality.py outputs/x_dual.people.jsonl [--tile 960x1080]

Prints one line a side, measured in tile pixels at the recording's own frame rate.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

EYES_IN_BOX, EYES_IN_TILE = 0.4, 0.34


def measure(lines: list[dict[str, Any]], side: str, tile: tuple[int, int]) -> dict[str, float]:
    """Figures for one side; frames where the crop jumps by a twentieth of itself count as cuts."""
    crops = np.array([line["shots"][side] or [np.nan] * 4 for line in lines], float)
    seconds = np.array([line["pts"] for line in lines], float)
    size = crops[:, 2:] - crops[:, :2]
    centre = (crops[:, :2] + crops[:, 2:]) / 2
    step = np.diff(centre, axis=0) / size[1:] * tile
    same = np.abs(np.diff(centre, axis=0) / size[1:]).max(axis=1) < 0.05
    dt = np.diff(seconds)
    speed = np.linalg.norm(step, axis=1)
    acceleration = np.linalg.norm(np.diff(step, axis=0), axis=1)[same[1:] & same[:-1]]
    wobble = _above(np.where(same[:, None], step, 0).cumsum(axis=0), 2.0, float(np.median(dt)))
    errors, inside = [], []
    for line, crop, wide in zip(lines, crops, size, strict=True):
        for face in line["faces"]:
            if face["side"] == side and face["score"] > 0 and np.isfinite(crop).all():
                x0, y0, x1, y1 = face["box"]
                eyes = np.array([(x0 + x1) / 2, y0 + EYES_IN_BOX * (y1 - y0)])
                held = np.array([(crop[0] + crop[2]) / 2, crop[1] + EYES_IN_TILE * wide[1]])
                errors.append(float(np.linalg.norm((eyes - held) / wide)))
                inside.append(bool(x0 >= crop[0] and y0 >= crop[1] and x1 <= crop[2] and y1 <= crop[3]))
    zoom = np.abs(np.diff(np.log(size[:, 1]))) / dt
    return {
        "static": float(np.mean(speed[same] < 1e-3)),
        "jitter_px": wobble,
        "acceleration_mean": float(acceleration.mean()),
        "acceleration_p95": float(np.percentile(acceleration, 95)),
        "fastest_pan_px_s": float((speed / dt)[same].max()),
        "zoom_per_s": float(zoom[same].max()),
        "head_inside": float(np.mean(inside)),
        "framing_median": float(np.median(errors)),
        "framing_p95": float(np.percentile(errors, 95)),
    }


def _above(path: np.ndarray[Any, Any], hertz: float, dt: float) -> float:
    """RMS of what moves faster than ``hertz``; a Hann window keeps the ends from counting."""
    slope = np.linspace(0, 1, len(path))[:, None] * (path[-1] - path[0])
    window = np.hanning(len(path))[:, None]
    spectrum = np.fft.rfft((path - slope - (path - slope).mean(axis=0)) * window, axis=0)
    spectrum[np.fft.rfftfreq(len(path), dt) <= hertz] = 0
    rest = np.fft.irfft(spectrum, len(path), axis=0)
    return float(np.sqrt((rest**2).sum(axis=1).mean() / (window**2).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("--tile", default="960x1080", help="a tile's size in output pixels")
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.record.read_text(encoding="utf-8").splitlines()]
    width, height = (int(v) for v in options.tile.split("x"))
    for side in lines[0].get("shots") or {}:
        figures = measure(lines, side, (width, height))
        print(side, " ".join(f"{name}={value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
