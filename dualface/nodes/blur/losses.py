"""Faces that vanish where nobody leaves: the detector has lost them, and they may be seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dualface.graph.node import Event, Snapshot
from dualface.nodes.blur.cover import Box, Rules, Sight, at_rim, near
from dualface.nodes.clock import clock

SURE = 0.6  # a track that never scored so high is more likely no face, and not worth a warning
# Box sizes from a lost face within which another is the same: less than is hidden between two tracks,
# since a chance find nearby must not keep a warning back.
SAME = 0.6


@dataclass
class _Last:
    """The last of a track: its frame, box, best score, and when its face was first not hidden."""

    frame: int
    box: Box
    best: float
    bare: float | None = None


class Losses:
    """Follows tracks frame after frame. One is lost if it ends inside the picture and its face is
    no longer hidden before the scene ends, unless another is found there within ``gap`` frames."""

    def __init__(self) -> None:
        self.count = 0
        self.first: float | None = None  # seconds
        self._frame, self._scene = -1, 0
        self._tracks: dict[int, _Last] = {}

    def look(self, sight: Sight, scores: Mapping[int, float], seconds: float, rules: Rules) -> None:
        """Take the next frame; ``scores`` of its tracks, ``seconds`` when it is shown."""
        if sight.scene != self._scene:
            self.end(rules)
            self._scene = sight.scene
        self._frame += 1
        for track, look in sight.looks.items():
            known = self._tracks.get(track)
            best = known.best if known else 0.0
            if look.age == 0:
                best = max([best, scores[track], *self._followed(look.box, sight)])
            elif known is None:
                continue  # a prediction of a track that another has followed
            self._tracks[track] = _Last(self._frame, look.box, best)
        for track, last in list(self._tracks.items()):
            if last.bare is None and self._frame - last.frame > rules.bridge:
                last.bare = seconds
            if self._frame - last.frame > rules.reach:
                self._judge(self._tracks.pop(track), rules)

    def end(self, rules: Rules) -> None:
        """The scene or the video is over."""
        for last in self._tracks.values():
            self._judge(last, rules)
        self._tracks.clear()

    def event(self, node: str) -> Event | None:
        """The warning, if there is one to give."""
        if self.first is None:
            return None
        where = clock(self.first)
        what = (
            f"a face was lost inside the picture at {where}"
            if self.count == 1
            else f"{self.count} faces were lost inside the picture, the first at {where}"
        )
        return Event("warning", f"{what}: look at the result there", node)

    def _followed(self, box: Box, sight: Sight) -> list[float]:
        """Strike off the lost whose face this one is; their best scores."""
        found = {other for other, look in sight.looks.items() if look.age == 0}
        same = [
            other for other, last in self._tracks.items() if other not in found and near(last.box, box, SAME)
        ]
        return [self._tracks.pop(other).best for other in same]

    def _judge(self, last: _Last, rules: Rules) -> None:
        if last.bare is None or last.best < SURE or at_rim(last.box, rules.size):
            return
        self.count += 1
        self.first = last.bare if self.first is None else min(self.first, last.bare)

    def snapshot(self) -> Snapshot:
        """The state as plain arrays."""
        rows = [
            (track, last.frame, *last.box, last.best, np.nan if last.bare is None else last.bare)
            for track, last in self._tracks.items()
        ]
        first = np.nan if self.first is None else self.first
        return {
            "tracks": np.array(rows, np.float64).reshape(-1, 8),
            "lost": np.array([self.count, first, self._frame, self._scene], np.float64),
        }

    def restore(self, snapshot: Snapshot) -> None:
        """Take up the state of an earlier `snapshot`."""
        count, first, frame, scene = snapshot["lost"].tolist()
        self.count, self._frame, self._scene = int(count), int(frame), int(scene)
        self.first = None if np.isnan(first) else first
        self._tracks = {}
        for track, frame, x0, y0, x1, y1, best, bare in snapshot["tracks"].tolist():
            last = _Last(int(frame), (x0, y0, x1, y1), best, None if np.isnan(bare) else bare)
            self._tracks[int(track)] = last
