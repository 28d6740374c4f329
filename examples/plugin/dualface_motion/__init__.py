from dataclasses import dataclass

import cv2
import numpy as np

from dualface.graph.node import Node, NodeConfig, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Cuts, Faces, Frames
from dualface.nodes.roles import Detected


@dataclass
class MotionConfig(NodeConfig):
    change: int = 12  # grey levels that set a moving pixel apart from the background
    most: int = 2  # regions to keep in a frame, the largest first
    cut: float = 40.0  # mean change of the picture, in grey levels, that starts a new scene


@node("detect/motion")
class Motion(Node[MotionConfig]):
    """Knows no faces: takes the top of what differs from a running mean, at 160 pixels across."""

    mean = np.zeros((0, 0), np.float32)  # none yet

    @staticmethod
    def state(config: MotionConfig) -> Unbounded:
        return Unbounded()

    def process(self, frames: Frames[NV12, Cpu]) -> Detected:
        video, found, flags = frames.video, [], []
        size = (160, max(1, round(160 * video.height / video.width)))
        for picture in frames.data:
            grey = cv2.resize(picture[: video.height, : video.width], size, interpolation=cv2.INTER_AREA)
            grey = np.rot90(grey, -video.rotation // 90).astype(np.float32)  # boxes are as displayed
            change = np.abs(grey - self.mean) if self.mean.size else np.zeros_like(grey)
            flags.append(change.mean() > self.config.cut)
            self.mean = grey if flags[-1] or not self.mean.size else 0.95 * self.mean + 0.05 * grey
            moving = cv2.dilate(np.uint8(change > self.config.change), np.ones((9, 9)))
            regions = cv2.connectedComponentsWithStats(moving)[2][1:]  # x, y, width, height, area
            largest = sorted(regions, key=lambda region: -region[4])[: self.config.most]
            found.append([(x, y, x + w, y + min(w, h)) for x, y, w, h, _ in largest])
        boxes = np.array([box for boxes in found for box in boxes], np.float32).reshape(-1, 4)
        scores, nowhere = np.ones(len(boxes), np.float32), np.full((len(boxes), 5, 2), np.nan, np.float32)
        counts, looked = np.array([len(boxes) for boxes in found]), np.ones(len(found), bool)
        faces = Faces(counts, boxes * np.float32(video.width / 160), scores, nowhere, looked)
        return Detected(faces, Cuts(np.array(flags, bool), frames.seconds()))

    def snapshot(self) -> dict[str, np.ndarray]:
        return {"mean": self.mean}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        self.mean = snapshot["mean"]
