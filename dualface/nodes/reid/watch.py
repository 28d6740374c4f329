"""What is kept in mind of a track: whom it is held for, what raised doubt, and the votes since."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dualface.graph.types import Floats
from dualface.nodes.reid.gate import CHECK, NONE
from dualface.nodes.reid.judge import STRANGER

BETWEEN = 0.5  # seconds between two votes that count as two: neighbouring frames err together
SETTLE = 0.12  # seconds after people have parted until boxes and landmarks are right again
RETRY = 0.25  # seconds after a vote that said nothing
TRIES = 6  # votes in one question


@dataclass(slots=True)
class Vote:
    """For ``person`` (or `STRANGER`, or None: it said nothing; ``guess`` is then who it is like, if
    anybody), by the numbers of a face."""

    seconds: float
    person: int | None
    guess: int | None
    score: float
    face: Floats


@dataclass(slots=True)
class Watch:
    """A track under watch. ``moment`` is the frame in which it was likeliest exchanged since it was
    last sure (``risk``: how likely); ``due`` is when its face is wanted next, where it is in
    question (``reason``) or for the next check."""

    track: int
    person: int
    moment: int
    box: list[float]
    found: float  # when it was last found, in seconds
    risk: float = np.inf  # of a track that begins nothing is known
    reason: int = NONE
    since: float = 0.0
    due: float = 0.0
    touched: float = -np.inf  # when it last touched somebody
    sure: float = -np.inf  # when it was last recognised as its person
    calm: int = 0  # how many checks in a row found nothing
    votes: list[Vote] = field(default_factory=list)

    @property
    def doubted(self) -> bool:
        """Whether there is a reason to think that this may be somebody else."""
        return self.reason > CHECK

    def ask(self, reason: int, now: float, wait: float = 0.0) -> bool:
        """A reason for doubt turns up; whether it is a new question. What was voted before says nothing
        any more."""
        fresh = self.reason <= CHECK
        if fresh:
            self.since = now
        self.reason = max(reason, self.reason)
        self.votes, self.calm, self.due = [], 0, now + wait
        return fresh

    def settle(self, now: float, every: float) -> None:
        """It is who it is held for; the next check is due later each time that nothing was wrong."""
        self.due = now + every * 2 ** min(self.calm, 2)
        self.calm += 1
        self.reason, self.risk, self.sure, self.votes = NONE, 0.0, now, []

    def hear(self, vote: Vote, limit: float) -> list[Vote]:
        """The votes that agree with this one, long enough apart, itself included; none: go on asking."""
        same = [one for one in self.votes if one.person == vote.person and vote.person is not None]
        if vote.person == STRANGER:
            same = [one for one in same if float(np.linalg.norm(one.face - vote.face)) < limit]
        self.votes.append(vote)
        if any(vote.seconds - one.seconds >= BETWEEN - 1e-6 for one in same):
            return [*same, vote]
        wait = BETWEEN - (vote.seconds - same[0].seconds) if same else BETWEEN
        self.due = vote.seconds + (wait if vote.person is not None else RETRY)
        return []
