"""What no detector can save: ffmpeg's own work, with the bare network beside it once for every frame.

    python experiments/network_beside.py WIDTH HEIGHT FRAMES ffmpeg -i ...

Nothing is decoded, made small or read for the network: it is shown the same noise over and over, as many
frames as there are, two at a time as in dualface. ``cpu.py`` measures it as one of its contenders.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from dualface import zoo
from dualface.graph.types import Video
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.detect.looking import Network, YunetConfig
from dualface.nodes.detect.small import plan_small


def main(width: int, height: int, frames: int, command: Sequence[str]) -> int:
    process = subprocess.Popen(command)
    video = Video(width, height, Fraction(1, 30))
    across, down = plan_small(video, YunetConfig().size).padded
    session = OnnxSession(zoo.onnx_path("yunet"))
    noise = np.random.default_rng(0).uniform(0, 255, (Network.batch, 3, down, across)).astype(np.float32)
    for _ in range(0, frames, Network.batch):
        session.run({session.inputs[0]: noise})
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4]), sys.argv[4:]))
