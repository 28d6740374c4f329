"""Clips in which people meet, with true boxes: for bench=people and for the tracker.

    python experiments/crossing_clips.py FOLDER [PICTURE|VIDEO|FOLDER ...]
        [--kind swap|mixed] [--clips 8] [--seed 0]

Heads (heads.py) move (stage.py) over a made background; with ``mixed`` they also leave and are cut away
from. Sizes, speeds and frame rates differ from clip to clip. Writes NAME.mp4, NAME.txt (MOT: frame from 1,
person, x, y, width, height, 1, 1, visible share) and NAME.json (seed, people, cuts, events). The same seed
and heads give the same clip.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from heads import FACE, Head, Image, heads, mask
from stage import SIZE, Actor, Floats, Stage, direct

POST = 70  # pixels that a post is wide


def background(rng: np.random.Generator) -> Image:
    """A wall with shapes on it; nothing that looks like a face."""
    width, height = SIZE
    coarse = rng.uniform(40, 190, (5, 7, 3)).astype(np.float32)
    wall = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(4, 12)):
        x, y, w, h = rng.uniform(0, 1, 4) * [width, height, width / 4, height / 2]
        colour = tuple(float(c) for c in rng.uniform(20, 230, 3))
        cv2.rectangle(wall, (int(x), int(y)), (int(x + w), int(y + h)), colour, int(rng.choice([-1, 2, 5])))
    return np.asarray(np.clip(cv2.GaussianBlur(wall, (0, 0), 1.2), 0, 255), np.uint8)


def draw(picture: Floats, actor: Actor, i: int) -> tuple[tuple[float, ...], Any, Any]:
    """Put a head into the picture; its face's box ``x, y, w, h`` and where face and head are."""
    cut, (x0, y0, x1, y1) = actor.head.at(i)
    scale = actor.height[i] / FACE
    wide = scale * (1 - actor.turn[i])
    middle = cut.shape[1] / 2, cut.shape[0] / 2
    turn = cv2.getRotationMatrix2D((0, 0), float(actor.roll[i]), 1.0)[:, :2] @ np.diag([wide, scale])
    move = np.hstack([turn, (actor.place[i] - turn @ middle)[:, None]])
    speed = np.hypot(*(actor.place[i] - actor.place[max(i - 1, 0)])) if i else 0.0
    head = cv2.warpAffine(cut, move, SIZE, flags=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.warpAffine(mask(cut.shape), move, SIZE)
    if speed > 2 and speed < 60:  # the shutter is open for half a frame
        blur = (max(int(speed / 2) | 1, 1), 1)
        head, alpha = cv2.blur(head, blur), cv2.blur(alpha, blur)
    picture += alpha[..., None] * (head - picture)
    cx, cy = move @ ((x0 + x1) / 2, (y0 + y1) / 2, 1)
    w, h = (x1 - x0) * wide, (y1 - y0) * scale
    face = np.zeros(SIZE[::-1], np.uint8)
    axes = (max(int(w / 2), 1), max(int(h / 2), 1))
    cv2.ellipse(face, (round(cx), round(cy)), axes, 0, 0, 360, 1, -1)
    return (cx - w / 2, cy - h / 2, w, h, np.pi * axes[0] * axes[1]), face.astype(bool), alpha > 0.5


def film(path: Path, stage: Stage, seed: int, kind: str) -> None:
    rng = stage.rng
    walls = [background(rng) for _ in range(len(stage.cuts) + 1)]
    lines = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(int(stage.fps)), options={"crf": "26", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for i in range(stage.n):
            picture = walls[sum(cut <= i for cut in stage.cuts)].astype(np.float32)
            drawn = []
            for k, actor in sorted(enumerate(stage.actors), key=lambda one: one[1].depth[i]):
                drawn.append((k, *draw(picture, actor, i)))
            hidden = np.zeros(SIZE[::-1], bool)
            for start, end, x in stage.posts:
                if start <= i < end and not any(start < cut <= i for cut in stage.cuts):
                    span = slice(max(int(x - POST / 2), 0), max(int(x + POST / 2), 0))
                    picture[:, span] = 70
                    hidden[:, span] = True
            for k, (x, y, w, h, area), face, head in reversed(drawn):
                visible = min((face & ~hidden).sum() / area, 1.0)
                hidden |= head
                if visible > 0:
                    box = ",".join(f"{v:.2f}" for v in (x, y, w, h))
                    lines.append((i, k, f"{i + 1},{k + 1},{box},1,1,{visible:.3f}"))
            noisy = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        container.mux(stream.encode())
    path.with_suffix(".txt").write_text("".join(line + "\n" for *_, line in sorted(lines)))
    facts = {
        "seed": seed, "kind": kind, "people": [actor.head.name for actor in stage.actors],
        "T": stage.n, "fps": stage.fps, "cuts": stage.cuts, "events": stage.events,
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(facts))


def make(folder: Path, cast: Sequence[Head], kind: str, clips: int, seed: int) -> list[Path]:
    """The clips' paths; those of one seed are all different."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for k in range(clips):
        rng = np.random.default_rng([seed, k, kind == "swap"])
        n = int(rng.integers(2, min(4, len(cast)) + 1))
        chosen = [cast[i] for i in rng.permutation(len(cast))[:n]]
        made.append(folder / f"{kind}_{seed}_{k:02}.mp4")
        film(made[-1], direct(rng, chosen, kind), seed, kind)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Clips in which people meet, with true boxes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("sources", type=Path, nargs="*", help="pictures, videos, or folders of them")
    parser.add_argument("--kind", choices=("swap", "mixed"), default="mixed")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    everybody = heads(given.sources)
    if len(everybody) < 2:
        sys.exit(
            f"clips need two people or more, and {len(everybody)} were found: name pictures or videos of"
            " people, or install matplotlib and scikit-image, which carry two portraits."
        )
    for made in make(given.folder, everybody, given.kind, given.clips, given.seed):
        print(made)
