"""Which person each track shows: doubt raised by the gate, settled by votes of faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal

import numpy as np

from dualface.graph.types import Floats
from dualface.nodes.reid import gate, judge
from dualface.nodes.reid.gate import CHECK, CUT, NEAR, NEW, NONE, Array
from dualface.nodes.reid.judge import STRANGER, Claims, Limits
from dualface.nodes.reid.register import Register
from dualface.nodes.reid.watch import RETRY, SETTLE, TRIES, Vote, Watch
from dualface.nodes.track.assign import iou

LOOKS = 8  # the last ones, which tell how often faces are looked for
LONG = 1.0  # seconds together after which those who stay near each other are recognised all the same
PROMINENT = 2.0  # times as tall as anybody else: the picture is about this face

Embed = Callable[[list[int]], Floats]


@dataclass(frozen=True, slots=True)
class Rules:
    """The options of `reid/conditional` that decide when to recognise; see there."""

    policy: Literal["conditional", "always", "new"] = "conditional"
    every: float = 2.0
    score: float = 0.7
    overlap: float = 0.15
    height: float = 24.0


class Who(Register):
    """Follows tracks frame by frame."""

    def __init__(self, rules: Rules, limits: Limits, most: int, enrolled: int = 0) -> None:
        super().__init__(limits, most, enrolled)
        self.rules = rules
        self.cut_at = -np.inf
        self.looks: list[float] = []  # when faces were found last

    def see(
        self, frame: int, now: float, cut: bool, ids: list[int], boxes: Array, scores: Any, landmarks: Any,
        embed: Embed,
    ) -> int:  # fmt: skip
        """The next frame's tracks; returns how many faces were recognised. ``embed`` gives the numbers of
        the faces at these places."""
        self.frame = frame
        if cut:
            for watch in self.watches.values():
                self.lean(watch, frame)
            self.watches, self.cut_at = {}, now
        found = scores > 0
        if found.any():
            self.looks = [*self.looks[-LOOKS:], now]
        self.found[frame] = [track for track, there in zip(ids, found.tolist(), strict=True) if there]
        covered = self._doubt(now, ids, boxes, found)
        fit = gate.clean(
            boxes, scores, landmarks, covered,
            score=self.rules.score, overlap=self.rules.overlap, height=self.rules.height,
        )  # fmt: skip
        wanted = [i for i in np.flatnonzero(fit).tolist() if self._wanted(self.watches[ids[i]], now)]
        here = [self.watches[track] for track in self.found[frame]]
        if wanted:
            asked = [self.watches[ids[i]] for i in wanted]
            aside = gate.sideways(landmarks[wanted]).tolist()
            self._judge(now, asked, here, embed(wanted), scores[wanted].tolist(), aside)
        sure = {watch.person for watch in here if not watch.doubted}
        self.together.update(combinations(sorted(sure), 2))
        for person in sure & self.gallery.faces.keys():
            self.gallery.faces[person].seen += 1
        self._forget(now, set(ids))
        return len(wanted)

    @property
    def pace(self) -> float:
        """Seconds from one look for faces to the next, as it seems: some trackers skip frames, and some
        films have few."""
        return min((b - a for a, b in pairwise(self.looks) if b > a), default=0.0)

    def _doubt(self, now: float, ids: list[int], boxes: Array, found: Any) -> Array:
        """Raise questions; returns the share of each face that others cover."""
        away, kept = np.full(len(ids), np.inf), np.zeros(len(ids))
        touching, covered = np.zeros(len(ids)), np.zeros(len(ids))
        pace = self.pace
        patience = gate.patience(pace)
        lost = [w for w in self.watches.values() if w.track not in ids and now - w.found <= patience]
        if ids and len(ids) + len(lost) > 1:
            alike, share = gate.overlaps(boxes, np.array([*boxes.tolist(), *(w.box for w in lost)]))
            np.fill_diagonal(alike, 0.0)
            np.fill_diagonal(share, 0.0)
            touching, covered = alike.max(1), share[:, : len(ids)].max(1)
        for i, track in enumerate(ids):
            if (known := self.watches.get(track)) is not None:
                away[i], kept[i] = now - known.found, iou(boxes[i].tolist(), known.box)
        signs = gate.signs(away, kept, touching, now - self.cut_at, pace).tolist()
        for i, (track, sign) in enumerate(zip(ids, signs, strict=True)):
            box = boxes[i].tolist()
            watch = self.watches.get(track)
            if watch is None or sign >= CUT:
                watch = Watch(track, self._heir(box, sign, ids, lost), self.frame, box, now)
                self.watches[track] = watch
                self.ledger.write(track, self.frame, watch.person)
            if sign > NONE:
                self._raise(watch, sign, now)
            risk = 1 - kept[i] + touching[i]
            if sign < CUT and risk >= watch.risk:
                watch.risk, watch.moment = risk, self.frame
            watch.box = box
            if found[i]:
                watch.found = now
        return covered

    def _heir(self, box: Sequence[float], sign: int, ids: list[int], lost: list[Watch]) -> int:
        """Whom a new track is held for until it is recognised: who was lost near here a moment ago, if that
        can only be one; else somebody new."""
        held = {watch.person for track in ids if (watch := self.watches.get(track)) is not None}
        near = {w.person for w in lost if w.person not in held and gate.near(box, w.box)}
        return near.pop() if sign == NEW and len(near) == 1 else self.fresh()

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
            if watch.person in self.gallery.faces:  # of a track that is nobody's yet nothing is to be kept
                watch.risk = 0.0
        if watch.ask(sign, now, SETTLE if sign < CUT else 0.0):
            self.note(watch, sign)

    def _wanted(self, watch: Watch, now: float) -> bool:
        if self.rules.policy == "always":
            return True
        if self.rules.policy == "new" and not watch.doubted:
            return False
        return now >= watch.due - 1e-6

    def _judge(
        self, now: float, asked: list[Watch], here: list[Watch], faces: Floats, scores: list[float],
        sideways: list[bool],
    ) -> None:  # fmt: skip
        """Whom do these faces show? Only who is not surely somewhere else comes into question, and
        nobody twice."""
        taken = {watch.person: watch for watch in here if not watch.doubted}
        known = list(self.gallery.faces)
        # The mean of what was seen of a face since it is in doubt; one look says less.
        means = [
            np.mean([*(v.face for v in watch.votes), face], axis=0, dtype=np.float32)
            for watch, face in zip(asked, faces, strict=True)
        ]
        apart = self.gallery.distances(np.array(means), known)
        claims = apart.copy()
        for row, watch in enumerate(asked):
            elsewhere = [p in taken and p != watch.person for p in known]
            claims[row, elsewhere] = np.inf
        columns = judge.share_out(claims, self.limits)
        # (Who is, or was a moment ago, another face of this scene is no rival.)
        rivals = frozenset(known) - self.enrolled - {watch.person for watch in self.watches.values()}
        for row, (watch, column) in enumerate(zip(asked, columns, strict=True)):
            distances = dict(zip(known, claims[row].tolist(), strict=True))
            person = judge.opinion(
                watch.person, None if column is None else known[column], distances, self.limits,
                several=bool(watch.votes), sideways=sideways[row], expected=self._expected(watch, here),
                rivals=rivals,
            )  # fmt: skip
            if person == STRANGER:
                self._challenge(watch, dict(zip(known, apart[row].tolist(), strict=True)), taken, now)
            guess = judge.nearest(distances, self.limits, self.enrolled)
            self._hear(now, watch, Vote(now, person, guess, scores[row], faces[row]), distances, here)

    def _expected(self, watch: Watch, here: list[Watch]) -> frozenset[int]:
        """Enrolled people, where this face is so much taller than all others that the picture is
        about it. Of a profile a portrait says little; that the film is about these people, more. With one
        person enrolled the film is as much about somebody else."""
        if len(self.enrolled) < 2:
            return frozenset()
        tall = watch.box[3] - watch.box[1]
        others = max((w.box[3] - w.box[1] for w in here if w is not watch), default=0.0)
        return self.enrolled if tall >= PROMINENT * others else frozenset()

    def _challenge(self, watch: Watch, apart: Claims, taken: dict[int, Watch], now: float) -> None:
        """Who looks like somebody who is surely elsewhere casts doubt on that."""
        like = judge.nearest(apart, self.limits, self.enrolled)
        if like is None or apart[like] >= min(self.limits.one, apart.get(watch.person, np.inf)):
            return
        holder = taken.get(like)
        if holder is not None and holder is not watch and holder.sure < now - LONG:
            holder.due = min(holder.due, now)

    def _hear(self, now: float, watch: Watch, vote: Vote, claims: Claims, here: list[Watch]) -> None:
        """A vote is heard; where it settles the question, the ledger is written."""
        if watch.reason == NONE:
            watch.reason = CHECK
            self.note(watch, CHECK)
        if vote.person == watch.person:
            if watch.reason == CHECK:
                self.learn(watch, vote, claims)
            watch.settle(now, self.rules.every)
            return
        agreed = watch.hear(vote, self.limits.far)
        if not agreed and (len(watch.votes) < TRIES or now - watch.votes[0].seconds < TRIES * RETRY):
            return
        person = vote.person if agreed else judge.surely(claims, self.limits)
        if person == STRANGER:
            if watch.person in self.gallery.faces:
                self.rename(watch, self.fresh(), here)
            self.meet(watch, agreed, here)
        elif person is not None and person != watch.person:
            self.rename(watch, person, here)
        elif watch.person not in self.gallery.faces:
            self.meet(watch, watch.votes, here)
        watch.settle(now, self.rules.every)

    def _forget(self, now: float, present: set[int]) -> None:
        """Tracks that are not there any more."""
        for watch in [w for w in self.watches.values() if w.track not in present]:
            if watch.votes:
                self.lean(watch, self.frame)
                watch.votes = []
            if now - watch.found > gate.patience(self.pace):
                del self.watches[watch.track]
