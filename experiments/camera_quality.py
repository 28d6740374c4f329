"""How calm and how well framed: figures from a people.jsonl with shots.

    python experiments/camera_quality.py outputs/x_dual.people.jsonl --frame 1920x1080 [--tile 960x1080]

Prints one line a side, in tile pixels at 30 frames a second. Framing is told twice: ``ideal`` is the
distance of the eyes from their place in the tile; ``reachable`` is what that is more than in the best
crop inside the frame: of 2.5 faces or the smallest allowed, which near the frame's edge cannot centre
a head either. While the tiles show one picture (``joined``) nobody has a place in a tile, so
that framing is not measured, and a head is whole if the tiles show it together.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EYES_IN_BOX, EYES_IN_TILE, HAIR = 0.4, 0.34, 0.25
TIGHTEST, UPSCALE, FREEDOM = 2.5, 2.0, 1.6  # as in nodes/camera


def measure(
    lines: list[dict[str, Any]], side: str, tile: tuple[int, int], frame: tuple[int, int]
) -> dict[str, float]:
    """Figures for one side; frames where the crop jumps by a twentieth of itself count as cuts."""
    crops = np.array([line["shots"][side] or [np.nan] * 4 for line in lines], float)
    seconds = np.array([line["pts"] for line in lines], float)
    size = crops[:, 2:] - crops[:, :2]
    centre = (crops[:, :2] + crops[:, 2:]) / 2
    dt = np.diff(seconds)
    same = np.abs(np.diff(centre, axis=0) / size[1:]).max(axis=1) < 0.05
    step = np.diff(centre, axis=0) / size[1:] * tile / (30 * dt[:, None])  # pixels in 1/30 s
    speed = np.linalg.norm(step, axis=1)
    change = np.linalg.norm(np.diff(step, axis=0), axis=1) / (30 * dt[1:])
    change = change[same[1:] & same[:-1]]
    path = np.where(same[:, None], step * 30 * dt[:, None], 0).cumsum(axis=0)
    joined = np.array([_joined(line["shots"]) for line in lines])
    ideal, reachable, whole, headroom = [], [], [], []
    for line, crop, one in zip(lines, crops, joined, strict=True):
        for face in line["faces"]:
            if face["side"] != side or face["score"] <= 0 or not np.isfinite(crop).all():
                continue
            shown = _around([line["shots"][name] for name in line["shots"]]) if one else crop
            x0, y0, x1, y1 = face["box"]
            top = max(y0 - HAIR * (y1 - y0), 0.0)
            seen = np.clip([x0, top, x1, y1], 0, [*frame, *frame])  # no crop can show more
            whole.append(bool((seen[:2] >= shown[:2] - 1).all() and (seen[2:] <= shown[2:] + 1).all()))
            headroom.append(shown[1] <= 0 or (top - shown[1]) / (shown[3] - shown[1]) >= 0.08)
            if not one:
                error = _error(face["box"], crop)
                ideal.append(error)
                reachable.append(max(error - _error(face["box"], _best(face["box"], tile, frame)), 0.0))
    zoom = np.abs(np.diff(np.log(size[:, 1]))) / dt
    return {
        "static": float(np.mean(speed[same] < 1e-3)),
        "jitter_px": _above(path, 2.0, float(np.median(dt))),
        "acceleration_mean": float(change.mean()),
        "acceleration_p95": float(np.percentile(change, 95)),
        "fastest_pan_px_s": float(30 * speed[same].max()),
        "zoom_per_s": float(zoom[same].max()),
        "whole": _share(whole),
        "headroom": _share(headroom),
        "joined": _share(joined.tolist()),
        "ideal_median": _percentile(ideal, 50),
        "ideal_p95": _percentile(ideal, 95),
        "reachable_median": _percentile(reachable, 50),
        "reachable_p95": _percentile(reachable, 95),
    }


def _error(box: list[float], crop: Array) -> float:
    """How far the eyes are from their place, as shares of the crop."""
    x0, y0, x1, y1 = box
    eyes = np.array([(x0 + x1) / 2, y0 + EYES_IN_BOX * (y1 - y0)])
    size = crop[2:] - crop[:2]
    return float(np.linalg.norm((eyes - crop[:2]) / size - [0.5, EYES_IN_TILE]))


def _best(box: list[float], tile: tuple[int, int], frame: tuple[int, int]) -> Array:
    """The crop that puts these eyes nearest to their place: the smallest allowed, inside the frame."""
    x0, y0, x1, y1 = box
    largest = min(frame[1], frame[0] * tile[1] / tile[0])
    height = min(max(TIGHTEST * (y1 - y0), min(tile[1] / UPSCALE, largest / FREEDOM)), largest)
    size = np.array([height * tile[0] / tile[1], height])
    corner = np.array([(x0 + x1) / 2, y0 + EYES_IN_BOX * (y1 - y0)]) - size * [0.5, EYES_IN_TILE]
    corner = np.clip(corner, 0, frame - size)
    return np.concatenate([corner, corner + size])


def _joined(shots: dict[str, Any]) -> bool:
    """Whether two tiles side by side, or one above the other, continue each other's picture."""
    if len(shots) != 2 or not all(shots.values()):
        return False
    a, b = (np.array(crop) for crop in shots.values())
    beside = abs(a[2] - b[0]) + abs(a[1] - b[1]) + abs(a[3] - b[3])
    below = abs(a[3] - b[1]) + abs(a[0] - b[0]) + abs(a[2] - b[2])
    return bool(min(beside, below) < 0.01 * (a[3] - a[1]))


def _around(crops: list[list[float]]) -> Array:
    corners = np.array(crops)
    return np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])


def _share(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")


def _above(path: Array, hertz: float, dt: float) -> float:
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
    parser.add_argument("--frame", required=True, help="the source's size in pixels")
    parser.add_argument("--tile", default="960x1080", help="a tile's size in output pixels")
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.record.read_text(encoding="utf-8").splitlines()]
    width, height = (int(v) for v in options.tile.split("x"))
    across, down = (int(v) for v in options.frame.split("x"))
    for side in lines[0].get("shots") or {}:
        figures = measure(lines, side, (width, height), (across, down))
        print(side, " ".join(f"{name}={value:.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
