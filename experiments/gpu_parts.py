"""What two parts of the GPU path take by themselves.

    python experiments/gpu_parts.py VIDEO [MODEL]

How soon NVDEC gives the first pictures of a file, by a new decoder and by the one that the file before
left; and with MODEL, the descriptor of a YOLO network of one's own, milliseconds a picture of detect/yolo.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from dualface.graph.job import Job  # noqa: E402
from dualface.graph.node import Context, Device  # noqa: E402
from dualface.hw.cuda import open_device  # noqa: E402
from dualface.nodes.decode.nvdec import Nvdec, NvdecConfig  # noqa: E402
from dualface.nodes.decode.probe import probe  # noqa: E402

BATCH, TIMES = 16, 5


def opened(node: Any, job: Job, device: Device) -> Any:
    node.open(Context(job, "", BATCH, 2, lambda event: None, lambda: False, lambda path: path,
                      lambda name, value: None, lambda name, value: None, device, 0, 4))  # fmt: skip
    return node


def first_pictures(job: Job, device: Device, kept: bool) -> float:
    """Milliseconds until the first batch; the file is read to its end, so that its decoder is kept."""
    if not kept:
        device.spare.clear()
    start = time.perf_counter()
    node = opened(Nvdec(NvdecConfig()), job, device)
    node.process()
    taken = time.perf_counter() - start
    while node.process() is not None:
        pass
    node.close()
    return 1000 * taken


def looking(job: Job, device: Device, model: str, half: bool) -> float:
    """Milliseconds a picture of detect/yolo, its answers included."""
    from dualface.nodes.detect.yolo import Yolo, YoloConfig

    source = opened(Nvdec(NvdecConfig()), job, device)
    finder = opened(Yolo(YoloConfig(model=model, backend="torch", half=half)), job, device)
    frames = source.process().frames
    finder.process(frames)
    start = time.perf_counter()
    for _ in range(20):
        finder.process(frames)
    taken = time.perf_counter() - start
    for node in (finder, source):
        node.close()
    return 1000 * taken / 20 / len(frames)


def main(video: str, model: str = "") -> None:
    job, device = probe(Path(video), output=Path("none.mp4"), name="clip"), open_device(0)
    first_pictures(job, device, False)  # libraries load
    for name, kept in (("new", False), ("kept", True)):
        print(f"{name} decoder: first pictures after "
              f"{median(first_pictures(job, device, kept) for _ in range(TIMES)):.0f} ms")  # fmt: skip
    for half in (False, True) if model else ():
        print(f"{model} in {16 if half else 32} bits: {looking(job, device, model, half):.2f} ms a picture")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
