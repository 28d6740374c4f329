"""track/bytetrack: faces linked over time by where they are, made for a few faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualface.graph.node import Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import Cuts, Faces, Memory, Tracks, spans
from dualface.nodes.track.assign import pair
from dualface.nodes.track.kalman import Box, BoxFilter
from dualface.nodes.track.plausible import only_plausible

FRAMES_A_SECOND = 30.0  # the filter's unit of time
UNSEEN = np.full((5, 2), np.nan, np.float32)  # landmarks of a box that is only predicted


@dataclass
class BytetrackConfig(NodeConfig):
    """ByteTrack's two-stage association."""

    high: float = 0.7  # faces at or above this score are matched first and may begin a track
    match: float = 0.2  # least overlap (IoU) of a sure face with its track
    match_low: float = 0.5  # the same for a face below high
    match_new: float = 0.3  # the same for the second sight of a face
    lost_seconds: float = 1.0  # how long a face that is not found keeps its track
    bridge_seconds: float = 0.2  # how long a predicted box stands in for a face that is not found

    def __post_init__(self) -> None:
        for name in ("high", "match", "match_low", "match_new"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        for name in ("lost_seconds", "bridge_seconds"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g}; it is 0 or more")


class Track:
    """One face over time. ``seen`` is when it was last found; ``sure`` after a second sight."""

    __slots__ = ("filter", "id", "landmarks", "score", "seen", "sure")

    def __init__(self, number: int, box: Box, seen: float, sure: bool) -> None:
        self.id, self.filter, self.seen, self.sure = number, BoxFilter(box), seen, sure
        self.score, self.landmarks = 0.0, UNSEEN

    def take(self, box: Box, score: float, landmarks: Any, now: float) -> None:
        self.filter.update(box)
        self.show(score, landmarks, now)

    def show(self, score: float, landmarks: Any, now: float) -> None:
        self.score, self.landmarks, self.seen = score, landmarks, now


@node("track/bytetrack", rank=50)
class Bytetrack(Node[BytetrackConfig]):
    """Motion and overlap only; a scene change ends every track."""

    def __init__(self, config: BytetrackConfig) -> None:
        super().__init__(config)
        self.tracks: list[Track] = []
        self.next_id = 0
        self.now: float | None = None
        self.looked = -np.inf  # when faces were last looked for
        self.fresh = True  # nothing was looked at since the job or the scene began

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=0.1)

    @staticmethod
    def state(config: Any) -> State:
        return Unbounded()

    def process(self, faces: Faces, cuts: Cuts) -> Tracks:
        faces = only_plausible(faces)
        rows: list[list[Track]] = []
        boxes: list[Box] = []
        scores: list[float] = []
        landmarks: list[Any] = []
        for i, span in enumerate(spans(faces.counts)):
            self._pass(float(cuts.seconds[i]), bool(cuts.flags[i]))
            if faces.looked[i]:
                found = [tuple(box) for box in faces.boxes[span].tolist()]
                self._match(found, faces.scores[span].tolist(), faces.landmarks[span], float(cuts.seconds[i]))
            shown = [t for t in self.tracks if t.sure and self._shown(t)]
            rows.append(shown)
            boxes += [t.filter.box() for t in shown]
            scores += [t.score for t in shown]
            landmarks += [t.landmarks for t in shown]
        return Tracks(
            np.array([len(row) for row in rows], np.int64),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(landmarks, np.float32).reshape(-1, 5, 2),
            np.array([t.id for row in rows for t in row], np.int64),
        )

    def _pass(self, now: float, cut: bool) -> None:
        """Let time pass until this frame."""
        if cut:
            self.tracks, self.fresh = [], True
        # Timestamps may stand still or jump; a jump is no reason to throw a box out of the picture.
        frames = (
            1.0 if self.now is None else min(max((now - self.now) * FRAMES_A_SECOND, 0.1), FRAMES_A_SECOND)
        )
        self.now = now
        for track in self.tracks:
            if track.score == 0.0:
                track.filter.hold_size()
            track.filter.predict(frames)
            track.score = 0.0
            track.landmarks = UNSEEN
        self._drop(now)

    def _drop(self, now: float) -> None:
        """Give up who is away for long. Nobody is away until a look has missed them: looks may be
        further apart than ``lost_seconds``."""
        lost = self.config.lost_seconds
        self.tracks = [t for t in self.tracks if t.seen >= self.looked or now - t.seen <= lost]

    def _shown(self, track: Track) -> bool:
        """Found at the last look, or missed only since a moment ago."""
        assert self.now is not None
        return track.seen >= self.looked or self.now - track.seen <= self.config.bridge_seconds

    def _match(self, boxes: list[Any], scores: list[float], landmarks: Any, now: float) -> None:
        config = self.config
        order = sorted(range(len(boxes)), key=lambda i: (-scores[i], boxes[i]))
        high = [i for i in order if scores[i] >= config.high]
        low = [i for i in order if scores[i] < config.high]
        sure = [t for t in self.tracks if t.sure]
        left, high = self._pair(sure, high, boxes, scores, landmarks, config.match, now)
        # Only a face that was there a moment ago, or at the last look where looks are rare, may
        # continue in an unsure detection.
        since = min(self.looked, now - config.bridge_seconds - 2 / FRAMES_A_SECOND)
        recent = [t for t in left if t.seen >= since]
        self._pair(recent, low, boxes, scores, landmarks, config.match_low, now)
        unsure = [t for t in self.tracks if not t.sure]
        missed, high = self._pair(unsure, high, boxes, scores, landmarks, config.match_new, now)
        for track in unsure:
            track.sure = True
        self.tracks = [t for t in self.tracks if t not in missed]
        for i in high:
            track = Track(self.next_id, boxes[i], now, self.fresh)
            track.show(scores[i], landmarks[i], now)
            self.tracks.append(track)
            self.next_id += 1
        self.fresh, self.looked = False, now
        self._drop(now)

    def _pair(
        self,
        tracks: list[Track],
        found: list[int],
        boxes: list[Any],
        scores: list[float],
        landmarks: Any,
        least: float,
        now: float,
    ) -> tuple[list[Track], list[int]]:
        """Continue tracks in detections; returns what stays alone on either side."""
        if not tracks or not found:
            return tracks, found
        pairs = pair([t.filter.box() for t in tracks], [boxes[i] for i in found], least)
        for t, d in pairs:
            tracks[t].take(boxes[found[d]], scores[found[d]], landmarks[found[d]], now)
        taken_tracks, taken = {t for t, _ in pairs}, {d for _, d in pairs}
        return (
            [track for t, track in enumerate(tracks) if t not in taken_tracks],
            [i for d, i in enumerate(found) if d not in taken],
        )

    def relabel(self, ids: Mapping[int, int]) -> None:
        """Give tracks other ids, from the next frame on: ``{3: 5, 5: 3}`` exchanges two.

        Raises ValueError where two tracks would have one id, or one below 0; then nothing has
        changed. Ids without a track are passed over. Tracks that begin later get higher ids.
        """
        new = [ids.get(track.id, track.id) for track in self.tracks]
        if len(set(new)) < len(new) or min(new, default=0) < 0:
            raise ValueError(f"tracks cannot be relabelled {dict(ids)}: they would be {new}")
        for track, number in zip(self.tracks, new, strict=True):
            track.id = number
        self.next_id = max([self.next_id, *(number + 1 for number in new)])

    def snapshot(self) -> Snapshot:
        rows = [[t.id, t.seen, t.sure, t.score, *t.filter.state()] for t in self.tracks]
        return {
            "tracks": np.array(rows, np.float64).reshape(-1, 18),
            "landmarks": np.array([t.landmarks for t in self.tracks], np.float32).reshape(-1, 5, 2),
            "clock": np.array(
                [np.nan if self.now is None else self.now, self.next_id, self.fresh, self.looked], np.float64
            ),
        }

    def restore(self, snapshot: Snapshot) -> None:
        self.tracks = []
        for row, landmarks in zip(snapshot["tracks"].tolist(), snapshot["landmarks"], strict=True):
            track = Track(int(row[0]), (0.0, 0.0, 1.0, 1.0), row[1], bool(row[2]))
            track.filter = BoxFilter.load(row[4:])
            track.score, track.landmarks = row[3], landmarks
            self.tracks.append(track)
        now, next_id, fresh, self.looked = snapshot["clock"].tolist()
        self.now = None if np.isnan(now) else now
        self.next_id, self.fresh = int(next_id), bool(fresh)
