"""What is known of each person's face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dualface.graph.node import Snapshot
from dualface.graph.types import Floats

POSES = 5  # further views of one person that are kept
APART = 0.6  # of the limit: a view that is nearer to one that is kept says nothing new
FADING = 0.1  # share of a new face in the running mean


class Face:
    """One person's faces: the ``anchor``, which never changes, their running ``mean``, and ``poses``;
    ``seen`` counts the frames with them."""

    __slots__ = ("anchor", "mean", "poses", "seen")

    def __init__(self, anchor: Floats, mean: Floats, poses: Sequence[Floats] = (), seen: int = 0) -> None:
        self.anchor, self.mean, self.poses, self.seen = anchor, mean, list(poses), seen

    def all(self) -> list[Floats]:
        return [self.anchor, self.mean, *self.poses]


class Gallery:
    """The faces of up to ``most`` persons, by person. Distances are Euclidean; one person's are below
    ``limit``."""

    def __init__(self, limit: float, most: int) -> None:
        self.limit, self.most = limit, most
        self.faces: dict[int, Face] = {}

    def add(self, person: int, faces: Sequence[Floats], keep: set[int]) -> None:
        """Get to know a person by their first faces, the best one first. Where there are too many
        persons already, whoever of those not in ``keep`` was seen least is forgotten."""
        if person not in self.faces and len(self.faces) >= self.most:
            spare = [known for known in self.faces if known not in keep]
            if not spare:
                return
            del self.faces[min(spare, key=lambda known: self.faces[known].seen)]
        self.faces[person] = Face(faces[0], np.mean(faces, axis=0, dtype=np.float32))

    def feed(self, person: int, face: Floats) -> None:
        """Learn from a face that is surely this person's."""
        known = self.faces[person]
        apart = min(float(np.linalg.norm(face - one)) for one in known.all())
        known.mean = ((1 - FADING) * known.mean + FADING * face).astype(np.float32)
        if apart > APART * self.limit and len(known.poses) < POSES:
            known.poses.append(face)

    def distances(self, faces: Floats, persons: Sequence[int]) -> Any:
        """``[k, p]``: from each of ``faces`` ``[k, d]`` to the nearest that is known of each person;
        infinite for who is not known."""
        found = np.full((len(faces), len(persons)), np.inf)
        for column, person in enumerate(persons):
            if person in self.faces:
                known = np.stack(self.faces[person].all())
                found[:, column] = np.linalg.norm(faces[:, None] - known, axis=2).min(axis=1)
        return found

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        made = {f"{person}": np.stack(face.all()) for person, face in self.faces.items()}
        return {**made, "seen": np.array([(p, face.seen) for p, face in self.faces.items()], np.int64)}

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        self.faces = {}
        for person, seen in snapshot["seen"].reshape(-1, 2).tolist():
            anchor, mean, *poses = snapshot[f"{person}"]
            self.faces[person] = Face(anchor, mean, poses, seen)
