"""Which person each track shows: doubt raised by the gate, settled by votes of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np

from dualface.graph.types import Floats
from dualface.nodes.reid import gate
from dualface.nodes.reid.gallery import Gallery
from dualface.nodes.reid.gate import CHECK, CUT, LOST, NEAR, NEW, NONE, REASONS, Array
from dualface.nodes.reid.ledger import Ledger
from dualface.nodes.reid.watch import RETRY, SETTLE, STRANGER, TRIES, Vote, Watch
from dualface.nodes.track.assign import hungarian

FAR = 1.2  # of the limit: a face further from everybody is nobody's who is known
SEVERAL = 1.1  # of the limit, for the mean of several looks at a face, which is steadier than one
BESIDE = 0.2  # of the frames in question may show the same person under another track, who blinked
ALIKE = 0.9  # of the limit: two who are never seen together, and whose means are nearer, are one
MARGIN = 0.2  # of the limit: by so much the next person is to be further away
LONG = 1.0  # seconds together after which those who stay near each other are recognised all the same

Embed = Callable[[Sequence[int]], Floats]


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of `reid/conditional` that decide; see there."""

    policy: Literal["conditional", "always", "new"]
    limit: float
    every: float
    score: float
    overlap: float
    height: float


@dataclass(frozen=True, slots=True)
class Swap:
    """A track that turned out to be somebody else, from ``frame`` on, which was known at ``decided``."""

    frame: int
    decided: int
    track: int
    was: int
    is_: int
    answered: int  # frames that were answered wrongly


class Who:
    """Follows tracks frame by frame and keeps `Ledger` up to date."""

    def __init__(self, rules: Rules, gallery: Gallery, enrolled: int = 0) -> None:
        self.rules, self.gallery, self.ledger = rules, gallery, Ledger()
        self.watches: dict[int, Watch] = {}
        self.next_person = enrolled
        self.united: list[tuple[int, int]] = []  # persons who were others all along
        self.cut_at = -np.inf
        self.frame = 0
        self.found: dict[int, list[int]] = {}  # the tracks that were found, in frames not yet answered
        self.asked = dict.fromkeys(REASONS[1:], 0)
        self.swaps: list[Swap] = []
        self.recognised = 0
        self.together: set[tuple[int, int]] = set()  # persons that are two, the smaller number first

    def fresh(self) -> int:
        """A number for somebody who was not met before."""
        self.next_person += 1
        return self.next_person - 1

    def see(
        self, frame: int, now: float, cut: bool, ids: list[int], boxes: Array, scores: Any, landmarks: Any,
        embed: Embed,
    ) -> int:  # fmt: skip
        """The next frame's tracks; returns how many faces were recognised. ``embed`` gives the numbers of
        the faces at these places."""
        self.frame = frame
        if cut:
            self._part(now)
        found = scores > 0
        self.found[frame] = [track for track, there in zip(ids, found.tolist(), strict=True) if there]
        covered = self._doubt(frame, now, ids, boxes, found)
        fit = gate.clean(
            boxes, scores, landmarks, covered,
            score=self.rules.score, overlap=self.rules.overlap, height=self.rules.height,
        )  # fmt: skip
        wanted = [i for i in np.flatnonzero(fit).tolist() if self._wanted(self.watches[ids[i]], now)]
        if wanted:
            here = [self.watches[track] for track, there in zip(ids, found, strict=True) if there]
            asked = [self.watches[ids[i]] for i in wanted]
            self._judge(frame, now, asked, here, embed(wanted), scores[wanted])
            self.recognised += len(wanted)
        sure = sorted(w.person for i, t in enumerate(ids) if found[i] and not (w := self.watches[t]).doubted)
        self.together.update(combinations(sure, 2))
        self._drop(now, set(ids))
        return len(wanted)

    def _part(self, now: float) -> None:
        """A scene begins: no track goes on."""
        for watch in self.watches.values():
            self.lean(watch, self.frame)
        self.watches, self.cut_at = {}, now

    def _doubt(self, frame: int, now: float, ids: list[int], boxes: Array, found: Any) -> Array:
        """Raise questions; returns the share of each face that others cover."""
        away, kept = np.full(len(ids), np.inf), np.zeros(len(ids))
        touching, covered = np.zeros(len(ids)), np.zeros(len(ids))
        lost = [w for w in self.watches.values() if w.track not in ids and now - w.found <= LOST]
        if len(ids) + len(lost) > 1 and len(ids):
            iou, share = gate.overlaps(boxes, np.array([*boxes.tolist(), *(w.box for w in lost)]))
            np.fill_diagonal(iou, 0.0)
            np.fill_diagonal(share, 0.0)
            touching, covered = iou.max(1), share[:, : len(ids)].max(1)
        for i, track in enumerate(ids):
            if (watch := self.watches.get(track)) is not None:
                away[i] = now - watch.found
                kept[i] = _kept(boxes[i].tolist(), watch.box)
        signs = gate.signs(away, kept, touching, now - self.cut_at).tolist()
        for i, (track, sign) in enumerate(zip(ids, signs, strict=True)):
            box = tuple(boxes[i].tolist())
            watch = self.watches.get(track)
            if watch is None or sign >= CUT:
                heir = self._heir(boxes[i].tolist(), sign, now, ids, lost)
                watch = self.watches[track] = Watch(track, heir, frame, box, now)
                self.ledger.write(track, frame, watch.person)
            if sign > NONE:
                self._raise(watch, sign, now)
            risk = 1 - kept[i] + touching[i]
            if sign < CUT and risk >= watch.risk:
                watch.risk, watch.moment = risk, frame
            watch.box = box
            if found[i]:
                watch.found = now
        return covered

    def _heir(self, box: Sequence[float], sign: int, now: float, ids: list[int], lost: list[Watch]) -> int:
        """Whom a new track is held for until it is recognised: who was lost near here a moment ago, if that
        can only be one; else somebody new."""
        held = {w.person for t in ids if (w := self.watches.get(t)) is not None}
        near = [w.person for w in lost if w.person not in held and _near(box, w.box)]
        return near[0] if sign == NEW and len(set(near)) == 1 else self.fresh()

    def _raise(self, watch: Watch, sign: int, now: float) -> None:
        if self.rules.policy == "new" and sign < CUT:
            return
        if sign == NEAR:
            # One question an encounter: asked when they have parted, or after a while together.
            together, watch.touched = now - watch.touched <= 2 * SETTLE, now
            if together and watch.doubted:
                if now - watch.since < LONG:
                    watch.due = max(watch.due, now + SETTLE)
                return
            if together and watch.sure > now - LONG * 2 ** min(watch.calm, 2):
                return
        if watch.votes:  # they tell of what was before
            self.lean(watch, self.frame)
            watch.risk = 0.0
        if watch.ask(sign, now, SETTLE if sign < CUT else 0.0):
            self.asked[REASONS[sign]] += 1

    def _wanted(self, watch: Watch, now: float) -> bool:
        if self.rules.policy == "always":
            return True
        if self.rules.policy == "new" and not watch.doubted:
            return False
        return now >= watch.due - 1e-6

    def _judge(
        self, frame: int, now: float, asked: list[Watch], here: list[Watch], faces: Floats, scores: Any
    ) -> None:
        """Whom do these faces show? Only who is not surely somewhere else comes into question, and
        nobody twice."""
        taken = {w.person: w for w in here if not w.doubted}
        known = [p for p in self.gallery.faces]
        # The mean of what was seen of a face since it is in doubt; one sample says less.
        means = [
            np.mean([*(v.face for v in w.votes), face], axis=0) for w, face in zip(asked, faces, strict=True)
        ]
        apart = self.gallery.distances(np.array(means, np.float32), known)
        claims = apart.copy()
        for row, watch in enumerate(asked):
            for column, person in enumerate(known):
                if person != watch.person and person in taken:
                    claims[row, column] = np.inf
        limit, far = self.rules.limit, FAR * self.rules.limit
        nobody = np.full((len(asked), len(asked)), far)
        picks = dict(hungarian(np.minimum(np.concatenate([claims, nobody], 1), 10 * far).tolist()))
        for row, watch in enumerate(asked):
            column = picks[row]
            person = known[column] if column < len(known) else None
            vote = self._opinion(watch, person, known, claims[row], apart[row], taken, now)
            guess = None
            if len(known) and claims[row].min() < far:
                guess = known[int(claims[row].argmin())]
            heard = Vote(now, vote, guess, float(scores[row]), faces[row])
            self._take(frame, now, watch, heard, claims[row], known, here)

    def _opinion(
        self, watch: Watch, person: int | None, known: list[int], claims: Array, apart: Array,
        taken: dict[int, Watch], now: float,
    ) -> int | None:  # fmt: skip
        limit, far, margin = self.rules.limit, FAR * self.rules.limit, MARGIN * self.rules.limit
        limit *= SEVERAL if watch.votes else 1.0
        own = float(claims[known.index(watch.person)]) if watch.person in known else np.inf
        others = [d for p, d in zip(known, claims.tolist(), strict=True) if p not in (person, watch.person)]
        if person is None:
            nearest = min(claims.tolist(), default=np.inf)
            if nearest >= far:
                self._challenge(watch, known, apart, own, taken, now)
                return STRANGER
            return None
        mine = float(claims[known.index(person)])
        if person == watch.person:
            return person if mine < limit or mine + margin < min(others, default=np.inf) else None
        clear = mine + margin < min(own, *others, np.inf)
        return person if mine < limit and clear else None

    def _challenge(
        self, watch: Watch, known: list[int], apart: Array, own: float, taken: dict[int, Watch], now: float
    ) -> None:
        """Who looks like somebody who is surely elsewhere casts doubt on that."""
        column = int(np.argmin(apart)) if len(apart) else -1
        if column < 0 or apart[column] >= min(self.rules.limit, own):
            return
        holder = taken.get(known[column])
        if holder is not None and holder is not watch and holder.sure < now - 1.0:
            holder.due = min(holder.due, now)

    def _take(
        self, frame: int, now: float, watch: Watch, vote: Vote, claims: Array, known: list[int],
        here: list[Watch],
    ) -> None:  # fmt: skip
        """A vote is heard; where it settles the question, the ledger is written."""
        rules = self.rules
        if watch.reason == NONE:
            watch.reason = CHECK
            self.asked["check"] += 1
        if vote.person == watch.person:
            if watch.reason == CHECK:
                self._learn(watch.person, vote.face, claims, known)
            watch.settle(now, rules.every)
            return
        agreed = watch.hear(vote, FAR * rules.limit)
        if not agreed and (len(watch.votes) < TRIES or now - watch.votes[0].seconds < TRIES * RETRY):
            return
        person = vote.person if agreed else self._nearest(watch, claims, known)
        if person is None:  # nothing came of it
            if watch.person not in self.gallery.faces:
                self._meet(watch, watch.votes, here)
            watch.settle(now, rules.every)
            return
        if person == STRANGER:
            if watch.person in self.gallery.faces:
                person = self.fresh()
                self.rename(watch, person, frame, here)
            self._meet(watch, agreed, here)
        else:
            self.rename(watch, person, frame, here)
        watch.settle(now, rules.every)

    def _nearest(self, watch: Watch, claims: Array, known: list[int]) -> int | None:
        """Whom a face that was looked at again and again is most like, if that is clear."""
        near = sorted((d, p) for p, d in zip(known, claims.tolist(), strict=True))
        clear = near and near[0][0] < FAR * self.rules.limit
        if not clear or (len(near) > 1 and near[1][0] < near[0][0] + MARGIN * self.rules.limit):
            return None
        return near[0][1] if near[0][1] != watch.person else None

    def _meet(self, watch: Watch, votes: list[Vote], here: list[Watch]) -> None:
        best = sorted(votes, key=lambda v: -v.score)
        self.gallery.add(watch.person, [v.face for v in best], {w.person for w in here})
        self._unite(watch.person)

    def _learn(self, person: int, face: Floats, claims: Array, known: list[int]) -> None:
        """Only from faces that nobody doubts and that are much nearer to this person than to others."""
        mine = float(claims[known.index(person)])
        others = min((d for p, d in zip(known, claims.tolist(), strict=True) if p != person), default=np.inf)
        if mine < self.rules.limit and mine + MARGIN * self.rules.limit < others:
            self.gallery.feed(person, face)
            self._unite(person)

    def _unite(self, person: int) -> None:
        """Two numbers that were never seen together and look the same are one person: the older."""
        faces = self.gallery.faces
        if person not in faces:
            return
        for other in [
            p for p in faces if p != person and (min(p, person), max(p, person)) not in self.together
        ]:
            if float(np.linalg.norm(faces[other].mean - faces[person].mean)) < ALIKE * self.rules.limit:
                old, new = sorted((person, other))
                if new in self.gallery.fixed:
                    continue
                del faces[new]
                self.ledger.unite(new, old)
                self.united.append((new, old))
                self.together |= {
                    (min(a, old), max(a, old))
                    for pair in self.together
                    if new in pair
                    for a in pair
                    if a != new
                }
                for watch in self.watches.values():
                    if watch.person == new:
                        watch.person = old
                return

    def rename(self, watch: Watch, person: int, frame: int, here: list[Watch]) -> None:
        """The track is ``person``, since the moment it was likeliest exchanged. Whoever is held for that
        person beside it is not; they have changed places where that can be."""
        first = max(watch.moment, self.ledger.answered)
        was = watch.person
        if was in self.gallery.faces:
            answered = max(0, self.ledger.answered - watch.moment)
            self.swaps.append(Swap(watch.moment, frame, watch.track, was, person, answered))
        watch.person = person
        self.ledger.write(watch.track, first, person)
        for other in here:
            if other is not watch and other.person == person:
                other.person = was if was in self.gallery.faces else self.fresh()
                since = max(min(other.moment, frame), self.ledger.answered)
                self.ledger.write(other.track, since, other.person)

    def lean(self, watch: Watch, until: int) -> None:
        """The track has to be answered before its question is settled: take the votes so far at their
        word, for the frames before ``until``. It stays that person unless another is that one now."""
        if not watch.votes:
            return
        last = next((v for v in reversed(watch.votes) if v.person is not None), watch.votes[-1])
        person = last.guess if last.person is None else last.person
        if person == STRANGER and watch.person not in self.gallery.faces:
            self._meet(watch, watch.votes, [])
        first = max(watch.moment, self.ledger.answered)
        if person is None or person in (STRANGER, watch.person) or first >= until:
            return
        frames = [f for f in range(first, until) if watch.track in self.found.get(f, ())]
        beside = sum(
            any(self.ledger.read(t, f) == person for t in self.found[f] if t != watch.track) for f in frames
        )
        if beside > BESIDE * len(frames):
            return
        self.ledger.write(watch.track, first, person)
        if any(
            w is not watch and w.person == person and w.found > watch.found - 1e-6
            for w in self.watches.values()
        ):
            self.ledger.write(watch.track, until, watch.person)
        else:
            watch.person = person

    def due_answer(self, until: int) -> None:
        """Frames before ``until`` are about to be answered."""
        for watch in self.watches.values():
            if watch.votes and watch.moment < until:
                self.lean(watch, self.frame + 1)

    def answered(self, frame: int, alive: set[int]) -> None:
        """Frames before ``frame`` are answered; after them there are ``alive`` tracks."""
        self.ledger.answer(frame, alive | set(self.watches))
        self.found = {f: tracks for f, tracks in self.found.items() if f >= frame}

    def _drop(self, now: float, present: set[int]) -> None:
        for watch in [w for w in self.watches.values() if w.track not in present]:
            if watch.votes:
                self.lean(watch, self.frame)
                watch.votes = []
            if now - watch.found > LOST:
                del self.watches[watch.track]


def _near(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether the middles of two boxes are less than a box apart and the boxes about as large."""
    tall, their = a[3] - a[1], b[3] - b[1]
    across, down = a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]
    return max(abs(across), abs(down)) < tall + their and 0.67 < tall / max(their, 1e-3) < 1.5


def _kept(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(width * height / max(areas - width * height, 1e-9))
