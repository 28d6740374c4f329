"""The state of `Who` as plain arrays, and back."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import Any

import numpy as np

from dualface.graph.node import Snapshot
from dualface.nodes.reid.gate import REASONS
from dualface.nodes.reid.register import Swap
from dualface.nodes.reid.watch import Vote, Watch
from dualface.nodes.reid.who import Who

NOTHING = -9  # a vote that names nobody
NUMBERS = [f.name for f in fields(Watch) if f.name not in ("box", "votes")]
WHOLE = ("track", "person", "moment", "reason", "calm")


def snapshot(who: Who) -> Snapshot:
    """All that later answers depend on."""
    watches = [[*(getattr(w, name) for name in NUMBERS), *w.box] for w in who.watches.values()]
    votes = [(w.track, v) for w in who.watches.values() for v in w.votes]
    named = [[NOTHING if p is None else p for p in (v.person, v.guess)] for _, v in votes]
    faces = [v.face for _, v in votes]
    return {
        **{f"gallery.{key}": value for key, value in who.gallery.snapshot().items()},
        **{f"ledger.{key}": value for key, value in who.ledger.snapshot().items()},
        "watches": np.array(watches, np.float64).reshape(-1, len(NUMBERS) + 4),
        "votes": np.array(
            [(t, v.seconds, v.score, *p) for (t, v), p in zip(votes, named, strict=True)], np.float64
        ).reshape(-1, 5),
        "faces": np.array(faces, np.float32).reshape(len(faces), -1 if faces else 0),
        "clock": np.array([who.cut_at, who.frame, who.next_person], np.float64),
        "looks": np.array(who.looks, np.float64),
        "asked": np.array(list(who.asked.values()), np.int64),
        "signals": np.array(
            [(s["frame"], s["track"], REASONS.index(str(s["reason"]))) for s in who.signals], np.int64
        ).reshape(-1, 3),
        "swaps": np.array([astuple(s) for s in who.swaps], np.int64).reshape(-1, 6),
        "together": _pairs(sorted(who.together)),
        "united": _pairs(who.united),
        "found": _pairs([(frame, track) for frame, tracks in who.found.items() for track in tracks]),
        "frames": np.array(list(who.found), np.int64),
    }


def restore(who: Who, kept: Snapshot) -> None:
    """Take up the state of an earlier `snapshot`."""
    who.gallery.restore({k[8:]: v for k, v in kept.items() if k.startswith("gallery.")})
    who.ledger.restore({k[7:]: v for k, v in kept.items() if k.startswith("ledger.")})
    who.watches = {}
    for row in kept["watches"].tolist():
        values: dict[str, Any] = dict(zip(NUMBERS, row, strict=False))
        values |= {name: int(values[name]) for name in WHOLE}
        watch = Watch(**values, box=row[-4:])
        who.watches[watch.track] = watch
    for (track, seconds, score, *named), face in zip(kept["votes"].tolist(), kept["faces"], strict=True):
        person, guess = (None if p == NOTHING else int(p) for p in named)
        who.watches[int(track)].votes.append(Vote(seconds, person, guess, score, face))
    cut_at, *whole = kept["clock"].tolist()
    who.cut_at, (who.frame, who.next_person) = cut_at, map(int, whole)
    who.looks = kept["looks"].tolist()
    who.asked = dict(zip(who.asked, kept["asked"].tolist(), strict=True))
    who.signals = [
        {"frame": frame, "track": track, "reason": REASONS[reason]}
        for frame, track, reason in kept["signals"].tolist()
    ]
    who.swaps = [Swap(*row) for row in kept["swaps"].tolist()]
    who.together = {(a, b) for a, b in kept["together"].tolist()}
    who.united = [(a, b) for a, b in kept["united"].tolist()]
    who.found = {frame: [] for frame in kept["frames"].tolist()}
    for frame, track in kept["found"].tolist():
        who.found[frame].append(track)


def _pairs(pairs: Any) -> Any:
    return np.array(list(pairs), np.int64).reshape(-1, 2)
