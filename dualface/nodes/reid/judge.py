"""What the distances of a face to the people it may be say about whose it is. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dualface.nodes.reid.gate import Array
from dualface.nodes.track.assign import hungarian

STRANGER = -1  # a vote for nobody who is known

Claims = Mapping[int, float]  # distance by person; infinite for who is surely somewhere else


@dataclass(frozen=True, slots=True)
class Limits:
    """Distances that decide, all from the one below which two faces are one person's."""

    one: float

    @property
    def several(self) -> float:
        """For the mean of several looks at a face, which is steadier than one."""
        return 1.1 * self.one

    @property
    def far(self) -> float:
        """A face further from everybody is nobody's who is known."""
        return 1.2 * self.one

    @property
    def expected(self) -> float:
        """For somebody who was enrolled and is to be expected: profiles are this far from a portrait."""
        return 1.3 * self.one

    @property
    def margin(self) -> float:
        """By so much the next person is to be further away."""
        return 0.2 * self.one

    @property
    def alike(self) -> float:
        """The means of two who are one are nearer."""
        return 0.9 * self.one


def share_out(claims: Array, limits: Limits) -> list[int | None]:
    """For each face the column of its person, no one twice, at the least sum of distances
    ``[k, p]``; None where it is better off as nobody's.

    >>> share_out(np.array([[0.3, 0.4], [0.2, 0.5]]), Limits(0.5))
    [1, 0]
    """
    faces, people = claims.shape
    nobody = np.full((faces, faces), limits.far)
    costs = np.minimum(np.concatenate([claims, nobody], axis=1), 10 * limits.far)
    return [column if column < people else None for _, column in hungarian(costs.tolist())]


def opinion(
    own: int,
    person: int | None,
    claims: Claims,
    limits: Limits,
    *,
    several: bool,
    sideways: bool = False,
    expected: frozenset[int] = frozenset(),
    rivals: frozenset[int] = frozenset(),
) -> int | None:
    """The vote of a face on a track that is held for ``own`` where ``person`` is nearest to it: a person,
    `STRANGER`, or None where it says nothing.

    ``several``: the distances are those of a mean. A face that looks ``sideways`` is far from everybody
    and thus no stranger; it is rather one of ``expected``, enrolled people whom this picture is about,
    unless it is about as near to one of ``rivals``, who may as well be in it.

    >>> opinion(1, 2, {1: 0.8, 2: 0.3}, Limits(0.5), several=False)
    2
    >>> opinion(1, 2, {1: 0.38, 2: 0.3}, Limits(0.5), several=False)
    >>> opinion(1, None, {1: 0.8, 2: 0.7}, Limits(0.5), several=False)
    -1
    """
    limit = limits.several if several else limits.one
    mine = claims.get(person, np.inf) if person is not None else np.inf
    others = min((d for p, d in claims.items() if p not in (person, own)), default=np.inf)
    if person == own and (mine < limit or mine + limits.margin < others):
        return own
    near = min(expected & claims.keys(), key=lambda p: claims[p], default=None)
    if sideways and several and near is not None:
        rival = min((claims.get(p, np.inf) for p in rivals), default=np.inf)
        if claims[near] < min(limits.expected, rival - limits.margin):
            return near
    if person != own and mine < limit and mine + limits.margin < min(claims.get(own, np.inf), others):
        return person
    far = min(claims.values(), default=np.inf) >= limits.far
    return STRANGER if far and not sideways else None


def nearest(claims: Claims, limits: Limits, enrolled: frozenset[int]) -> int | None:
    """Whom a face is most like, where it has to be somebody. A portrait is of another day, so that more is
    allowed to the ``enrolled``, unless somebody known from this film is about as near.

    >>> nearest({0: 0.58, 1: 0.66}, Limits(0.5), frozenset({0, 1}))
    0
    >>> nearest({0: 0.58, 1: 0.66}, Limits(0.5), frozenset({0}))
    """
    person = min(claims, key=lambda p: claims[p], default=None)
    if person is None:
        return None
    met = min((d for p, d in claims.items() if p not in enrolled), default=np.inf)
    allowed = person in enrolled and claims[person] < met - limits.margin
    return person if claims[person] < (limits.far if allowed else limits.several) else None


def surely(claims: Claims, limits: Limits) -> int | None:
    """Whom a face that was looked at again and again is most like, if that is clear."""
    person = min(claims, key=lambda p: claims[p], default=None)
    others = min((d for p, d in claims.items() if p != person), default=np.inf)
    clear = person is not None and claims[person] < min(limits.far, others - limits.margin)
    return person if clear else None
