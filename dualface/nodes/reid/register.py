"""Who everybody is held for so far, and the ways in which that changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualface.nodes.reid.gallery import Gallery
from dualface.nodes.reid.gate import REASONS
from dualface.nodes.reid.judge import STRANGER, Claims, Limits
from dualface.nodes.reid.ledger import Ledger
from dualface.nodes.reid.watch import Vote, Watch

SIGNALS = 10_000  # that are told one by one; all are counted
BESIDE = 0.2  # of the frames in question may show the same person under another track, who blinked


@dataclass(frozen=True, slots=True)
class Swap:
    """A track that turned out to be somebody else from ``frame`` on, which was known at ``decided``."""

    frame: int
    decided: int
    track: int
    was: int
    is_: int
    answered: int  # frames that were answered wrongly


class Register:
    """Tracks under watch, the faces of people, and the ledger of who was who.

    People are numbers; the first ``enrolled`` of them are known beforehand.
    """

    def __init__(self, limits: Limits, most: int, enrolled: int = 0) -> None:
        self.limits, self.gallery, self.ledger = limits, Gallery(limits.one, most), Ledger()
        self.enrolled = frozenset(range(enrolled))
        self.owners: frozenset[int] = frozenset()  # of tiles; they are never forgotten, as the enrolled
        self.next_person = enrolled
        self.watches: dict[int, Watch] = {}
        self.frame = 0
        self.found: dict[int, list[int]] = {}  # the tracks that were found, in frames not yet answered
        self.together: set[tuple[int, int]] = set()  # people who are two, the smaller number first
        self.united: list[tuple[int, int]] = []  # people who were others all along, to be told
        self.swaps: list[Swap] = []
        self.asked = dict.fromkeys(REASONS[1:], 0)
        self.signals: list[dict[str, int | str]] = []

    def fresh(self) -> int:
        """A number for somebody who was not met before."""
        self.next_person += 1
        return self.next_person - 1

    def note(self, watch: Watch, reason: int) -> None:
        """A track comes into question, for the report."""
        self.asked[REASONS[reason]] += 1
        if len(self.signals) < SIGNALS:
            self.signals.append({"frame": self.frame, "track": watch.track, "reason": REASONS[reason]})

    def due_answer(self, until: int) -> None:
        """Frames before ``until`` are about to be answered."""
        for watch in self.watches.values():
            if watch.votes and watch.moment < until:
                self.lean(watch, self.frame + 1)

    def answered(self, frame: int, alive: set[int]) -> None:
        """Frames before ``frame`` are answered; after them there are ``alive`` tracks."""
        self.ledger.answer(frame, alive | set(self.watches))
        self.found = {f: tracks for f, tracks in self.found.items() if f >= frame}
        wanted = {*self.gallery.faces, *(watch.person for watch in self.watches.values())}
        self.together = {pair for pair in self.together if wanted.issuperset(pair)}

    def meet(self, watch: Watch, votes: Sequence[Vote], here: Sequence[Watch] = ()) -> None:
        """Get to know the track's person by the faces of these votes."""
        best = sorted(votes, key=lambda v: -v.score)
        keep = {w.person for w in here} | self.enrolled | self.owners
        self.gallery.add(watch.person, [v.face for v in best], keep)
        self._unite(watch.person)

    def learn(self, watch: Watch, vote: Vote, claims: Claims) -> None:
        """Only from faces that nobody doubts and that are much nearer to this person than to others."""
        others = min((d for p, d in claims.items() if p != watch.person), default=np.inf)
        if claims[watch.person] < min(self.limits.one, others - self.limits.margin):
            self.gallery.feed(watch.person, vote.face)
            self._unite(watch.person)

    def rename(self, watch: Watch, person: int, here: Sequence[Watch]) -> None:
        """The track is ``person``, since the moment it was likeliest exchanged. Whoever is held for that
        person beside it is not; they have changed places where that can be."""
        was = watch.person
        known = was in self.gallery.faces
        if known:
            shown = max(0, self.ledger.answered - watch.moment)
            self.swaps.append(Swap(watch.moment, self.frame, watch.track, was, person, shown))
        watch.person = person
        self.ledger.write(watch.track, max(watch.moment, self.ledger.answered), person)
        for other in here:
            if other is not watch and other.person == person:
                other.person = was if known else self.fresh()
                self.ledger.write(other.track, max(other.moment, self.ledger.answered), other.person)

    def lean(self, watch: Watch, until: int) -> None:
        """The track has to be answered before its question is settled: take the votes so far at their
        word, for the frames before ``until``. It stays that person unless another is that one now."""
        if not watch.votes:
            return
        last = next((v for v in reversed(watch.votes) if v.person is not None), watch.votes[-1])
        person = last.guess if last.person is None else last.person
        if person == STRANGER and watch.person not in self.gallery.faces:
            self.meet(watch, watch.votes)
        first = max(watch.moment, self.ledger.answered)
        if person is None or person in (STRANGER, watch.person) or first >= until:
            return
        if self._beside(watch, person, first, until):
            return
        self.ledger.write(watch.track, first, person)
        rivals = [w for w in self.watches.values() if w is not watch and w.person == person]
        if any(w.found > watch.found - 1e-6 for w in rivals):
            self.ledger.write(watch.track, until, watch.person)
        else:
            watch.person = person

    def _beside(self, watch: Watch, person: int, first: int, until: int) -> bool:
        """Whether the person was seen as another track for a good part of these frames."""
        frames = [f for f in range(first, until) if watch.track in self.found.get(f, ())]
        beside = 0
        for frame in frames:
            others = (track for track in self.found[frame] if track != watch.track)
            beside += any(self.ledger.read(track, frame) == person for track in others)
        return beside > BESIDE * len(frames)

    def _unite(self, person: int) -> None:
        """Two numbers that were never seen together and look the same are one person: the older."""
        faces = self.gallery.faces
        for other in [p for p in faces if p != person and person in faces]:
            old, new = sorted((person, other))
            apart = float(np.linalg.norm(faces[other].mean - faces[person].mean))
            if (old, new) in self.together or new in self.enrolled or apart >= self.limits.alike:
                continue
            faces[old].seen += faces.pop(new).seen
            self.ledger.unite(new, old)
            self.united.append((new, old))
            pairs = {tuple(old if p == new else p for p in pair) for pair in self.together}
            self.together = {(min(pair), max(pair)) for pair in pairs}
            for watch in self.watches.values():
                watch.person = old if watch.person == new else watch.person
            return
