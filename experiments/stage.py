"""How people move in a made clip: who is where at each frame, and what happens between them.

Two pass in arcs, stop behind one another, turn back, circle, or one leans over; somebody leaves, comes back,
or walks behind a post; a cut puts everybody elsewhere. All sway, roll, turn away and change their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from heads import Head

Floats = npt.NDArray[np.float64]

SIZE = (640, 360)
SECONDS = 12
PAIRS = ("pass", "behind", "back", "circle", "lean")
SINGLES = ("leave", "return", "post")


@dataclass
class Actor:
    """One person of a clip. By frame: the middle ``[T, 2]``, the face's height, roll in degrees, width by
    turning away (0..1), and depth: who is deeper is covered."""

    head: Head
    place: Floats
    height: Floats
    roll: Floats
    turn: Floats
    depth: Floats


def ease(n: int) -> Floats:
    """From 0 to 1 in ``n`` frames, without a jerk."""
    t = np.linspace(0, 1, n)
    return t * t * (3 - 2 * t)


def wander(rng: np.random.Generator, n: int, seconds: float, fps: float, amount: float) -> Floats:
    """Noise that takes about ``seconds`` to change its mind."""
    knots = rng.normal(0, amount, int(n / fps / seconds) + 4)
    return np.interp(np.arange(n) / fps / seconds, np.arange(len(knots)), knots)


def way(rng: np.random.Generator, kind: str, fps: float) -> Floats:
    """How far along its way somebody is, by frame: passing, stopping on the way, or turning back."""
    n = int(fps * rng.uniform(0.5, 1.6))
    if kind == "behind":
        stop, wait = rng.uniform(0.42, 0.58), int(fps * rng.uniform(0.2, 1.6))
        on = rng.random() < 0.5
        after = stop + (1 - stop) * ease(n) if on else stop * (1 - ease(n))
        return np.concatenate([stop * ease(n), np.full(wait, stop), after])
    if kind in ("back", "lean"):
        far = rng.uniform(0.35, 0.55)
        return np.concatenate([far * ease(n), far * (1 - ease(int(n * rng.uniform(0.7, 1.4))))])
    return ease(n)


class Stage:
    """Where everybody is at each frame; events write their motion into it one after the other."""

    def __init__(self, rng: np.random.Generator, cast: Sequence[Head], fps: float, frames: int) -> None:
        self.rng, self.fps, self.n = rng, fps, frames
        self.events: list[tuple[int, int, str, list[str]]] = []
        self.cuts: list[int] = []
        self.posts: list[tuple[int, int, float]] = []  # from, to, x
        size = rng.uniform(44, 92)
        self.actors = []
        for k, head in enumerate(cast):
            base = size * rng.uniform(0.85, 1.2)
            self.actors.append(
                Actor(
                    head,
                    np.zeros((frames, 2)),
                    base * (1 + wander(rng, frames, 1.5, fps, 0.04)),
                    wander(rng, frames, 0.8, fps, 6),
                    np.clip(np.abs(wander(rng, frames, 1.2, fps, 0.13)), 0, 0.4),
                    np.full(frames, float(k)),
                )
            )
        self.settle(0)
        for actor in self.actors:
            actor.place += np.stack(
                [wander(rng, frames, 0.7, fps, 4), wander(rng, frames, 0.6, fps, 3)], axis=1
            )

    def settle(self, frame: int) -> None:
        """Everybody at a place of their own from ``frame`` on."""
        n, (width, height) = len(self.actors), SIZE
        slots = self.rng.permutation(n)
        for actor, slot in zip(self.actors, slots, strict=True):
            x = width * (slot + 0.5 + self.rng.uniform(-0.15, 0.15)) / n
            self.move(actor, frame, (x, height * self.rng.uniform(0.42, 0.56)))

    def move(self, actor: Actor, frame: int, to: Any) -> None:
        """There from ``frame`` on, with what sways kept."""
        actor.place[frame:] += np.asarray(to, float) - actor.place[min(frame, self.n - 1)]

    def walk(self, actor: Actor, start: int, to: Any, along: Floats, arc: float) -> int:
        """To a place in a bow that is ``arc`` of the way high; returns the frame after."""
        origin = actor.place[start].copy()
        end = min(start + len(along), self.n)
        step = np.asarray(to, float) - origin
        normal = np.array([-step[1], step[0]])
        path = np.outer(along, step) + np.outer(arc * np.sin(np.pi * along), normal)
        actor.place[end:] += path[-1]
        actor.place[start:end] += path[: end - start]
        return end

    def meet(self, kind: str, start: int) -> int:
        """Two do something with each other; returns the frame after."""
        rng = self.rng
        a, b = (self.actors[i] for i in rng.permutation(len(self.actors))[:2])
        deep = [actor.depth[start] for actor in self.actors]
        a.depth[start:], b.depth[start:] = (max(deep) + 1, min(deep) - 1) if rng.random() < 0.5 else (
            min(deep) - 1, max(deep) + 1)  # fmt: skip
        at_a, at_b = a.place[start].copy(), b.place[start].copy()
        arc = rng.uniform(-0.12, 0.12)
        if kind == "circle":
            n = int(self.fps * rng.uniform(1.0, 2.2))
            angle = 2 * np.pi * ease(n) * rng.choice([0.5, 1.0, 1.5]) * rng.choice([-1, 1])
            arm = (at_a - at_b) / 2
            round_ = np.stack([np.cos(angle) - 1, 0.25 * np.sin(angle)], axis=1) * np.abs(arm).max()
            side = np.sign(arm[0]) or 1.0
            end = min(start + n, self.n)
            for actor, sign in ((a, side), (b, -side)):
                actor.place[end:] += sign * round_[-1]
                actor.place[start:end] += sign * round_[: end - start]
        elif kind == "lean":
            end = self.walk(a, start, at_b, way(rng, "lean", self.fps) * 1.9, arc)
        else:
            along = way(rng, kind, self.fps)
            other = along if kind == "behind" else way(rng, kind, self.fps)
            end = max(
                self.walk(a, start, at_b, along, arc),
                self.walk(b, start, at_a, other, rng.uniform(-0.12, 0.12)),
            )
        self.events.append((start, end, kind, [a.head.name, b.head.name]))
        return end

    def alone(self, kind: str, start: int) -> int:
        """One leaves for a while, or a post stands before them; returns the frame after."""
        rng = self.rng
        actor = self.actors[rng.integers(len(self.actors))]
        if kind == "post":
            end = min(start + int(self.fps * rng.uniform(0.6, 2)), self.n)
            x = actor.place[start, 0] + rng.uniform(60, 100) * rng.choice([-1, 1])
            self.posts.append((max(start - 5, 0), end + 10, float(x)))
            end = self.walk(
                actor, start, (2 * x - actor.place[start, 0], actor.place[start, 1]), ease(end - start), 0
            )
        else:
            home = actor.place[start].copy()
            out = -90.0 if rng.random() < 0.5 else SIZE[0] + 90.0
            n = int(self.fps * rng.uniform(0.5, 1))
            away = self.walk(actor, start, (out, home[1]), ease(n), 0)
            back = min(away + int(self.fps * rng.uniform(0.4, 2.5)), self.n - 1)
            if kind == "return":  # from the other side
                self.move(actor, back, (SIZE[0] - out, home[1]))
            end = self.walk(actor, back, home, ease(n), 0)
        self.events.append((start, end, kind, [actor.head.name]))
        return end

    def cut(self, frame: int) -> None:
        """Another scene: everybody elsewhere, one of several perhaps not there."""
        self.cuts.append(frame)
        self.settle(frame)
        if len(self.actors) > 2 and self.rng.random() < 0.5:
            gone = self.actors[self.rng.integers(len(self.actors))]
            self.move(gone, frame, (-200, 100))
        self.events.append((frame, frame, "cut", []))


def direct(rng: np.random.Generator, cast: Sequence[Head], kind: str) -> Stage:
    fps = float(rng.choice([24, 25, 30]))
    stage = Stage(rng, cast, fps, int(SECONDS * fps))
    now = int(fps * rng.uniform(0.7, 1.2))
    acts = PAIRS if kind == "swap" else (*PAIRS, *SINGLES, "cut")
    while now < stage.n - fps:
        act = str(rng.choice(acts))
        if act == "cut":
            stage.cut(now)
            now += int(fps * 0.5)
        elif act in PAIRS:
            now = stage.meet(act, now)
        else:
            now = stage.alone(act, now)
        now += int(fps * rng.uniform(0.15, 0.9))
    return stage
