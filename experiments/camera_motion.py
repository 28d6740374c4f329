"""The camera on motion that nobody tuned it for: people who walk, lean, stand up and turn.

    python experiments/camera_motion.py [--seeds 5]

Two people in 30 s of 1080p. The left one does what the line says at random times; the right one only
sits. Faces tremble as YuNet's do, with a turned head drop out, and are wrong now and then. Prints the
figures of camera_quality.py for the left tile, the worst of all seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from camera_quality import measure

from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Cuts, People, Shots, Video
from dualface.nodes.camera.steady import Steady, SteadyConfig

Array = npt.NDArray[np.float64]

FRAMES, SIZE, FRAME, TILE = 900, 200.0, (1920, 1080), (960, 1080)
EVENTS = 5


def still(rng: np.random.Generator) -> tuple[Array, Array]:
    """Middles ``[n, 2]`` and heights ``[n]`` of a face that sits: it drifts by a few pixels."""
    drift = rng.normal(0, 0.4, (FRAMES, 2)).cumsum(axis=0)
    return np.array([600.0, 450.0]) + drift - drift.mean(axis=0), np.full(FRAMES, SIZE)


def walk(rng: np.random.Generator) -> tuple[Array, Array]:
    """To and fro, at most a quarter of a tile a second, with the up and down of steps."""
    at, size = still(rng)
    stops = np.cumsum(np.concatenate([[0], rng.uniform(-220, 220, EVENTS)])).clip(-250, 250)
    at[:, 0] += _eased(rng, stops, 90)
    moving = np.abs(np.gradient(at[:, 0])) > 1
    at[:, 1] += moving * 6 * np.sin(np.arange(FRAMES) * 2 * np.pi / 16)
    return at, size


def lean(rng: np.random.Generator) -> tuple[Array, Array]:
    """Towards the camera and back, a second or two each, as one does while speaking."""
    at, size = still(rng)
    by = _bumps(rng, 60)
    return at + by[:, None] * [90, 50], size * (1 + 0.15 * by)


def stand(rng: np.random.Generator) -> tuple[Array, Array]:
    """Up, and later down again."""
    at, size = still(rng)
    at[:, 1] -= _eased(rng, np.array([0, 190, 190, 0, 190, 0]), 35) - 60
    return at, size


def turn(rng: np.random.Generator) -> tuple[Array, Array]:
    """The head turns aside: the box slides, and at the far end nothing is found."""
    at, size = still(rng)
    by = _bumps(rng, 50)
    at[:, 0] += 60 * by
    at[by > 0.9] = np.nan
    return at, size


MOTIONS: dict[str, Callable[[np.random.Generator], tuple[Array, Array]]] = {
    "still": still, "walk": walk, "lean": lean, "stand": stand, "turn": turn,
}  # fmt: skip


def _starts(rng: np.random.Generator) -> Array:
    return np.linspace(60, FRAMES - 160, EVENTS) + rng.integers(-30, 30, EVENTS)


def _eased(rng: np.random.Generator, stops: Array, length: int) -> Array:
    """From stop to stop along half a cosine."""
    path = np.full(FRAMES, float(stops[0]))
    frames = np.arange(FRAMES)
    for start, gap in zip(_starts(rng), np.diff(stops), strict=True):
        path += gap * (1 - np.cos(np.pi * np.clip((frames - start) / length, 0, 1))) / 2
    return path


def _bumps(rng: np.random.Generator, length: int) -> Array:
    """0..1 and back at random times, with a stay of up to a second and a half."""
    path, frames = np.zeros(FRAMES), np.arange(FRAMES)
    for start in _starts(rng):
        stay = rng.integers(0, 45)
        up = np.clip((frames - start) / (length / 2), 0, 1)
        down = np.clip((frames - start - length / 2 - stay) / (length / 2), 0, 1)
        path += (np.cos(np.pi * down) - np.cos(np.pi * up)) / 2
    return path


def boxes(motion: str, seed: int) -> Array:
    """``[n, 2, 4]`` boxes as a detector would give them, NaN where there is none."""
    rng = np.random.default_rng(seed)
    people = []
    for move, x in ((MOTIONS[motion], 0.0), (still, 750.0)):
        at, size = move(rng)
        at = at + np.array([x, 0]) + rng.normal(0, 0.008 * SIZE, at.shape)
        size = size * rng.normal(1, 0.015, FRAMES)
        wrong = rng.random(FRAMES) < 0.003
        at[wrong] += rng.normal(0, 0.5 * SIZE, (int(wrong.sum()), 2))
        half = np.stack([0.4 * size, 0.5 * size], axis=1)
        people.append(np.concatenate([at - half, at + half], axis=1))
    return np.stack(people, axis=1)


def film(given: Array, **options: Any) -> Array:
    """Crops ``[n, 2, 4]`` of the camera for these boxes."""
    job = Job("x", "x.mp4", Path("y.mp4"), Video(*FRAME, Fraction(1, 30)), 0, 0.0, "h264", "yuv420p")
    node = Steady(SteadyConfig(**options))
    node.open(
        Context(job, "camera", 8, 1, lambda e: None, lambda: False, lambda p: p,
                lambda n, v: None, lambda n, v: None)
    )  # fmt: skip
    shots: list[Shots] = []
    for start in range(0, len(given), 4):
        part = given[start : start + 4]
        there = np.isfinite(part[:, :, 0])
        side = np.nonzero(there)[1]
        k = len(side)
        found = People(
            there.sum(axis=1), part[there].astype(np.float32), np.ones(k, np.float32),
            np.full((k, 5, 2), np.nan, np.float32), side, side, side,
        )  # fmt: skip
        times = np.arange(start, start + len(part)) / 30
        answer = node.process(found, Cuts(np.zeros(len(part), bool), times))
        shots += [answer] if answer is not None else []
    shots += list(node.finish())
    return np.concatenate([s.crops for s in shots]).astype(float)


def figures(motion: str, seed: int, **options: Any) -> dict[str, float]:
    """The left tile's figures; those of `measure`."""
    given = boxes(motion, seed)
    lines: list[dict[str, Any]] = []
    for box, crop in zip(given[:, 0], film(given, **options), strict=True):
        face = {"side": "left", "score": 1.0, "box": box.tolist()}
        shots = {"left": crop[0].tolist(), "right": crop[1].tolist()}
        seen = bool(np.isfinite(box).all())
        lines.append({"pts": len(lines) / 30, "faces": [face] if seen else [], "shots": shots})
    return measure(lines, "left", TILE, FRAME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    for motion in MOTIONS:
        runs = [figures(motion, seed) for seed in range(options.seeds)]
        worst = {
            name: (min if name in ("static", "whole", "headroom") else max)(run[name] for run in runs)
            for name in runs[0]
        }
        print(f"{motion:6}", " ".join(f"{name}={value:.3f}" for name, value in worst.items()))


if __name__ == "__main__":
    main()
