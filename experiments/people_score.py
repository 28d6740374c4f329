"""How well people were told apart in a clip with true boxes.

- A face counts when at least 0.3 of it is visible and half of it is in the frame; a reported box on one
  that does not count is neither right nor wrong.
- wrong: people as they were reported are mapped to true ones once per clip, best one-to-one. Of the faces
  that count and were found (IoU 0.4 or more), the share reported as somebody who maps to someone else.
  nameless: the share reported as somebody who maps to nobody, because their true person is already taken:
  a tracker that begins a new id in place of exchanging two is there, not in wrong.
- strayed: where a perfect recogniser names every track once, over its first five faces: the share of
  faces that are on a track named after someone else. What a gate that trusts tracks would show. strays:
  how often a track goes over to somebody else for 8 faces or more. One early stray weighs more in the share
  than five late ones: compare trackers by their number.
- IDF1 by the same mapping; HOTA (Luiten et al., 2020), the mean over IoU 0.05 to 0.95.
- delays: for every time a right face became a wrong one, frames until that person is not shown as somebody
  else any more, or the clip ends.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualface.nodes.reid import gate
from dualface.nodes.track.assign import hungarian

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
VISIBLE, WITHIN, OVERLAP = 0.3, 0.5, 0.4
NAMING = 5  # faces of a track that a recogniser sees
STAY = 8  # faces in a row that make a track somebody's
ALPHAS = np.arange(1, 20) / 20


@dataclass(frozen=True)
class Frame:
    """True faces ``(person, box)`` that count, boxes of those that do not, and what was reported:
    ``(person, track, box)``."""

    faces: list[tuple[int, Box]]
    others: list[Box]
    reported: list[tuple[int, int, Box]]


@dataclass
class Score:
    """Counts, which add up over clips."""

    n: Counter[str] = field(default_factory=Counter)
    delays: list[int] = field(default_factory=list)
    hota: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, len(ALPHAS))))

    def add(self, other: Score) -> None:
        self.n.update(other.n)
        self.delays += other.delays
        self.hota = self.hota + other.hota

    def figures(self) -> dict[str, float]:
        """Shares from 0 to 1; ``swaps`` and the mean ``delay`` in frames."""
        n, (matched, alike, all_) = self.n, self.hota
        found = max(n["found"], 1)
        accuracy = alike / np.maximum(matched, 1)
        return {
            "wrong": n["wrong"] / found,
            "nameless": n["nameless"] / found,
            "strayed": n["strayed"] / found,
            "recall": n["found"] / max(n["faces"], 1),
            "idf1": 2 * n["right"] / max(n["faces"] + n["boxes"], 1),
            "hota": float(np.sqrt(matched / np.maximum(all_ - matched, 1) * accuracy).mean()),
            "swaps": len(self.delays),
            "delay": float(np.mean(self.delays)) if self.delays else 0.0,
            "tracks": n["tracks"],
            "strays": n["strays"],
        }


def frames(truth: Path, reported: Path, size: tuple[int, int]) -> list[Frame]:
    """A clip's frames from its MOT file and the people.jsonl of a run; boxes that are only predicted are
    left out. People without a number get one of their own for each track."""
    width, height = size
    counting: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    others: dict[int, list[Box]] = defaultdict(list)
    for line in truth.read_text().splitlines():
        frame, person, *numbers = line.split(",")
        x, y, w, h, _, _, visible = (float(number) for number in numbers)
        inside = max(0.0, min(x + w, width) - max(x, 0)) * max(0.0, min(y + h, height) - max(y, 0))
        box = (x, y, x + w, y + h)
        if visible >= VISIBLE and inside >= WITHIN * w * h:
            counting[int(frame) - 1].append((int(person), box))
        else:
            others[int(frame) - 1].append(box)
    made = []
    with reported.open(encoding="utf-8") as lines:
        for i, line in enumerate(lines):
            seen = [face for face in json.loads(line)["faces"] if face["score"] > 0]
            rows = [
                (f["person"] if f["person"] >= 0 else -1 - f["track"], f["track"], tuple(f["box"]))
                for f in seen
            ]
            made.append(Frame(counting[i], others[i], rows))
    return made


def score(clip: Sequence[Frame]) -> Score:
    """One clip's score."""
    kept = [_without_others(frame) for frame in clip]
    pairs = [_pairs(frame) for frame in kept]
    met = Counter((p, k) for row in pairs for p, k, _ in row)
    owner = _owners(met)
    n = Counter(
        faces=sum(len(frame.faces) for frame in kept),
        boxes=sum(len(frame.reported) for frame in kept),
        found=met.total(),
        right=sum(count for (p, k), count in met.items() if owner.get(k) == p),
        nameless=sum(count for (_, k), count in met.items() if k not in owner),
        tracks=len({track for frame in clip for _, track, _ in frame.reported}),
    )
    n["wrong"] = n["found"] - n["right"] - n["nameless"]
    tracks: dict[int, list[int]] = defaultdict(list)
    for row in pairs:
        for p, _, track in row:
            tracks[track].append(p)
    n["strayed"] = sum(
        sum(p != Counter(people[:NAMING]).most_common(1)[0][0] for p in people) for people in tracks.values()
    )
    n["strays"] = sum(_strays(people) for people in tracks.values())
    return Score(n, list(_delays(pairs, owner)), _hota(kept))


def _strays(people: Sequence[int]) -> int:
    """How often a track changes its person, to stay."""
    stays = [run[0] for _, group in groupby(people) if len(run := list(group)) >= STAY]
    return sum(a != b for a, b in pairwise(stays))


def named(clip: Sequence[Frame]) -> list[Frame]:
    """The same boxes under their true names: what no recogniser can be better than. A box on nobody
    keeps its track's name, below 0."""
    told = []
    for frame in clip:
        true = {j: frame.faces[i][0] for i, j in _matched(frame)}
        rows = [(true.get(j, -1 - track), track, box) for j, (_, track, box) in enumerate(frame.reported)]
        told.append(Frame(frame.faces, frame.others, rows))
    return told


def _owners(met: Mapping[tuple[int, int], int]) -> dict[int, int]:
    """The true person of each reported one who has one."""
    people, ids = sorted({p for p, _ in met}), sorted({k for _, k in met})
    costs = [[-float(met.get((p, k), 0)) for k in ids] for p in people]
    return {ids[j]: people[i] for i, j in hungarian(costs) if costs[i][j] < 0}


def _without_others(frame: Frame) -> Frame:
    """Without the reported boxes that are on faces which do not count."""
    taken = {j for _, j in _matched(frame)}
    rest = [j for j in range(len(frame.reported)) if j not in taken]
    away = {rest[j] for _, j in _closest(frame.others, [frame.reported[j][2] for j in rest])}
    return Frame(frame.faces, [], [row for j, row in enumerate(frame.reported) if j not in away])


def _pairs(frame: Frame) -> list[tuple[int, int, int]]:
    """Person, reported person and track of every face that was found."""
    return [(frame.faces[i][0], *frame.reported[j][:2]) for i, j in _matched(frame)]


def _matched(frame: Frame) -> list[tuple[int, int]]:
    return _closest([box for _, box in frame.faces], [box for *_, box in frame.reported])


def _closest(a: Sequence[Box], b: Sequence[Box]) -> list[tuple[int, int]]:
    """Pairs that overlap, the closest first, none twice."""
    shares = overlaps(a, b)
    order = sorted((-shares[i, j], i, j) for i in range(len(a)) for j in range(len(b)))
    found: list[tuple[int, int]] = []
    for share, i, j in order:
        if -share >= OVERLAP and all(i != x and j != y for x, y in found):
            found.append((i, j))
    return found


def overlaps(a: Sequence[Box], b: Sequence[Box]) -> npt.NDArray[np.float64]:
    """IoU of all pairs ``[len(a), len(b)]``."""
    one, other = (np.array(boxes, float).reshape(-1, 4) for boxes in (a, b))
    return gate.overlaps(one, other)[0]


def _delays(pairs: Sequence[list[tuple[int, int, int]]], owner: Mapping[int, int]) -> Iterator[int]:
    since: dict[int, int | None] = {}  # person: the frame since when shown as somebody else
    for i, row in enumerate(pairs):
        for p, k, _ in row:
            wrong = owner.get(k, p) != p
            begun = since.get(p)
            if not wrong and begun is not None:
                yield i - begun
            if p in since or not wrong:  # who was never right yet has not been exchanged
                since[p] = (i if begun is None else begun) if wrong else None
    yield from (len(pairs) - begun for begun in since.values() if begun is not None)


def _hota(clip: Sequence[Frame]) -> npt.NDArray[np.float64]:
    """For each alpha: pairs matched, the sum of their association scores, and faces and boxes together."""
    people = {p: i for i, p in enumerate(sorted({p for frame in clip for p, _ in frame.faces}))}
    ids = {k: i for i, k in enumerate(sorted({k for frame in clip for k, *_ in frame.reported}))}
    shape = len(people), len(ids)
    likely, of_person, of_id = np.zeros(shape), np.zeros((shape[0], 1)), np.zeros((1, shape[1]))
    rows = []
    for frame in clip:
        p = np.array([people[person] for person, _ in frame.faces], int)
        k = np.array([ids[person] for person, *_ in frame.reported], int)
        alike = overlaps([box for _, box in frame.faces], [box for *_, box in frame.reported])
        total = alike.sum(0)[None] + alike.sum(1)[:, None] - alike
        np.add.at(likely, np.ix_(p, k), np.divide(alike, total, out=np.zeros_like(alike), where=total > 0))
        np.add.at(of_person, (p, 0), 1)
        np.add.at(of_id, (0, k), 1)
        rows.append((p, k, alike))
    likely /= np.maximum(of_person + of_id - likely, 1e-9)
    matches = np.zeros((len(ALPHAS), *shape))
    for p, k, alike in rows:
        chosen = hungarian((-likely[np.ix_(p, k)] * alike).tolist())
        for i, j in chosen:
            matches[alike[i, j] >= ALPHAS - 1e-9, p[i], k[j]] += 1
    together = matches / np.maximum(of_person + of_id - matches, 1)
    matched = matches.sum((1, 2))
    return np.stack(
        [matched, (matches * together).sum((1, 2)), np.full(len(ALPHAS), of_person.sum() + of_id.sum())]
    )
