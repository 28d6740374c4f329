"""track/trackers: ByteTrack as Roboflow's package `trackers` has it, to check our own against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dualface.graph.node import Context, Needs, Node, NodeConfig, Snapshot, State, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import Cuts, Faces, Memory, Tracks, spans
from dualface.nodes.track.plausible import only_plausible

FRAMES_A_SECOND = 30.0  # the package's unit of time
COUNTERS = ("tracker_id", "age", "time_since_update", "number_of_successful_consecutive_updates")
CLOCK = "time_since_update_seconds"
UNSEEN = np.full((5, 2), np.nan, np.float32)


@dataclass
class TrackersConfig(NodeConfig):
    """The package's own defaults."""

    high: float = 0.6  # faces at or above this score are matched first
    new: float = 0.7  # and at or above this one may begin a track
    match: float = 0.1  # least overlap (IoU) of a face with its track
    lost_seconds: float = 1.0  # how long a face that is not found keeps its track

    def __post_init__(self) -> None:
        for name in ("high", "new", "match"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name):g}; it goes from 0 to 1")
        if self.lost_seconds < 0:
            raise ValueError(f"lost_seconds is {self.lost_seconds:g}; it is 0 or more")


@node("track/trackers")
class Trackers(Node[TrackersConfig]):
    """Shows faces that were found, from their second sight on; where nobody looked, those of the last
    look stay where they were. A scene change ends every track."""

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(packages=("trackers", "supervision"), threads=0.3)

    @staticmethod
    def state(config: Any) -> State:
        return Unbounded()

    def open(self, context: Context) -> None:
        from trackers import ByteTrackTracker

        config = self.config
        self.tracker: Any = ByteTrackTracker(
            lost_track_buffer=round(config.lost_seconds * FRAMES_A_SECOND),
            frame_rate=FRAMES_A_SECOND,
            track_activation_threshold=config.new,
            minimum_iou_threshold=config.match,
            high_conf_det_threshold=config.high,
        )
        self._shown = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)  # boxes and ids of the last look

    def process(self, faces: Faces, cuts: Cuts) -> Tracks:
        faces = only_plausible(faces)
        rows = [self._frame(faces, cuts, i, span) for i, span in enumerate(spans(faces.counts))]
        boxes, scores, landmarks, ids = (np.concatenate(column) for column in zip(*rows, strict=True))
        return Tracks(np.array([len(row[3]) for row in rows], np.int64), boxes, scores, landmarks, ids)

    def _frame(self, faces: Faces, cuts: Cuts, i: int, span: slice) -> tuple[Any, Any, Any, Any]:
        """Boxes, scores, landmarks and ids of one frame."""
        from supervision import Detections

        if cuts.flags[i]:
            self.tracker.tracks = []  # reset() would give the same ids again
            self._shown = self._shown[0][:0], self._shown[1][:0]
        if not faces.looked[i]:
            boxes, ids = self._shown
            return boxes, np.zeros(len(ids), np.float32), np.repeat(UNSEEN[None], len(ids), axis=0), ids
        # In an order of their own, so that the detector's does not matter.
        order = np.lexsort((*faces.boxes[span].T, -faces.scores[span])) + span.start
        found = Detections(
            xyxy=faces.boxes[order], confidence=faces.scores[order], data={"index": np.arange(len(order))}
        )
        answer = self.tracker.update(found, timestamp=float(cuts.seconds[i]))
        ids = np.asarray(answer.tracker_id, np.int64)
        kept = ids >= 0
        which = order[answer.data["index"][kept]] if kept.any() else order[:0]
        self._shown = faces.boxes[which], ids[kept]
        return faces.boxes[which], faces.scores[which], faces.landmarks[which], ids[kept]

    def snapshot(self) -> Snapshot:
        tracks, last = self.tracker.tracks, self.tracker._last_timestamp
        filters = [track.state_estimator.kf for track in tracks]
        return {
            "counters": np.array([[getattr(t, name) for name in COUNTERS] for t in tracks], np.int64),
            "clocks": np.array([getattr(track, CLOCK) for track in tracks], np.float64),
            "means": np.array([f.state for f in filters], np.float64).reshape(-1, 8, 1),
            "covariances": np.array([f.state_covariance for f in filters], np.float64).reshape(-1, 8, 8),
            "shown_boxes": self._shown[0],
            "shown_ids": self._shown[1],
            "next_id": np.array(self.tracker._next_track_id, np.int64),
            "last": np.array(np.nan if last is None else last, np.float64),
        }

    def restore(self, snapshot: Snapshot) -> None:
        from trackers.core.bytetrack.tracklet import ByteTrackTracklet

        self.tracker.tracks = []
        for counters, clock, mean, covariance in zip(
            snapshot["counters"], snapshot["clocks"], snapshot["means"], snapshot["covariances"], strict=True
        ):
            track = ByteTrackTracklet(np.array([0.0, 0.0, 1.0, 1.0]))
            for name, value in zip(COUNTERS, counters.tolist(), strict=True):
                setattr(track, name, value)
            setattr(track, CLOCK, float(clock))
            track.state_estimator.kf.state = mean.copy()
            track.state_estimator.kf.state_covariance = covariance.copy()
            self.tracker.tracks.append(track)
        self._shown = snapshot["shown_boxes"], snapshot["shown_ids"]
        self.tracker._next_track_id = int(snapshot["next_id"])
        last = float(snapshot["last"])
        self.tracker._last_timestamp = None if np.isnan(last) else last
