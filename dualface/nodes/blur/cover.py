"""Where faces may be in a frame, by what was seen of them before and after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

GROWTH = 0.05  # of the box, for each frame between a frame and the nearest look at its face
WHOLE = 15  # frames after which a box grows no more
NEAR = 2.0  # box sizes between two boxes that may be one face a moment apart
LIKE = 2.0  # times that one of them may be as large as the other
RIM = 0.5  # box sizes from the picture's edge in which a face may be coming or going

Box = tuple[float, float, float, float]


class Look(NamedTuple):
    """A track's box in one frame; ``age`` counts the frames since a detector confirmed it."""

    box: Box
    age: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of one frame: the number of its scene, and a look at each track in it."""

    scene: int
    looks: dict[int, Look]


@dataclass(frozen=True, slots=True)
class Rules:
    """``expand`` in box sizes; ``bridge`` and ``gap`` in frames; ``size`` of the picture as shown."""

    expand: float
    bridge: int
    gap: int
    size: tuple[int, int]

    @property
    def reach(self) -> int:
        """How many frames before and after a frame matter to it."""
        return max(self.bridge, self.gap)


class _At(NamedTuple):
    frame: int
    look: Look


def cover(sights: Sequence[Sight], now: int, rules: Rules) -> Iterator[Box]:
    """The boxes to hide in frame ``now`` of ``sights``, never looking across a cut.

    A tracked face, the way between two looks at one track, the way from where a track ends to where
    another begins nearby, and the surroundings of where one has begun or ended alone.
    """
    before: dict[int, _At] = {}
    after: dict[int, _At] = {}
    for frame in range(max(now - rules.reach, 0), min(now + rules.reach + 1, len(sights))):
        if sights[frame].scene != sights[now].scene:
            continue
        for track, look in sights[frame].looks.items():
            if frame <= now:
                before[track] = _At(frame, look)
            if frame >= now:
                after.setdefault(track, _At(frame, look))
    for track in before.keys() & after.keys():
        yield _between(before[track], after[track], now, rules)
    ended = [at for track, at in before.items() if track not in after]
    begun = [at for track, at in after.items() if track not in before]
    for a in ended:
        for b in begun:
            if b.frame - a.frame <= rules.gap and near(a.look.box, b.look.box, NEAR):
                yield _between(a, b, now, rules)
    for at in ended + begun:
        yield from _alone(at, now, rules)


def near(a: Box, b: Box, reach: float) -> bool:
    """Whether two boxes are alike in size and their centres at most ``reach`` sizes apart."""
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    small, large = sorted((_side(a), _side(b)))
    return large <= LIKE * small and max(abs(ax - bx), abs(ay - by)) <= reach * large


def at_rim(box: Box, size: tuple[int, int]) -> bool:
    """Whether a face there may be on its way into or out of a picture of that size."""
    return any(_rims(box, size))


def _between(a: _At, b: _At, now: int, rules: Rules) -> Box:
    """The box on the straight way from one look to a later one."""
    part = (now - a.frame) / (b.frame - a.frame) if b.frame > a.frame else 0.0
    box = [p + part * (q - p) for p, q in zip(a.look.box, b.look.box, strict=True)]
    distance = min(now - a.frame + a.look.age, b.frame - now + b.look.age)
    return _grown((box[0], box[1], box[2], box[3]), distance, rules)


def _alone(at: _At, now: int, rules: Rules) -> Iterator[Box]:
    """A face a while before or after it is tracked; up to the picture's edge if it is near."""
    distance = abs(at.frame - now)
    if distance <= (rules.reach if at_rim(at.look.box, rules.size) else rules.bridge):
        yield _grown(_to_edges(at.look.box, rules.size), distance + at.look.age, rules)


def _rims(box: Box, size: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    """Which of the picture's edges (left, top, right, bottom) the box is at or beyond."""
    (x0, y0, x1, y1), (width, height) = box, size
    rim_x, rim_y = RIM * (x1 - x0), RIM * (y1 - y0)
    return x0 < rim_x, y0 < rim_y, x1 > width - rim_x, y1 > height - rim_y


def _to_edges(box: Box, size: tuple[int, int]) -> Box:
    left, top, right, bottom = _rims(box, size)
    x0, y0, x1, y1 = box
    return (
        min(x0, 0.0) if left else x0,
        min(y0, 0.0) if top else y0,
        max(x1, float(size[0])) if right else x1,
        max(y1, float(size[1])) if bottom else y1,
    )


def _grown(box: Box, frames: int, rules: Rules) -> Box:
    """The box ``expand`` times as large, more with the frames to the nearest look at the face."""
    (x, y), factor = _centre(box), (rules.expand + GROWTH * min(frames, WHOLE)) / 2
    x0, y0, x1, y1 = box
    wide, high = (x1 - x0) * factor, (y1 - y0) * factor
    return x - wide, y - high, x + wide, y + high


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _side(box: Box) -> float:
    """The side of a square of the box's area."""
    return float((max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)) ** 0.5)
