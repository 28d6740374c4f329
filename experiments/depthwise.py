"""How fast are our depthwise filters, by channels a thread, neighbours a thread and threads a block?

    python experiments/depthwise.py        # on a machine with an NVIDIA GPU

Shapes are YuNet's at 384x224, batches of 8. Each is run 50 times from one CUDA graph; a line has the median
of five such runs in microseconds, shape by shape, and the sum over the network's larger filters.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from statistics import median

import cupy as cp
import numpy as np

SOURCE = Path(__file__).resolve().parent.parent / "dualface/infer/nhwc.cu"
BATCH, TIMES = 8, 50
SHAPES = {
    (16, 112, 192): 1,
    (32, 56, 96): 2,
    (64, 56, 96): 1,
    (64, 28, 48): 4,
    (64, 14, 24): 3,
    (64, 7, 12): 3,
}
LAUNCHED = "x, w, b, out, height, width, channels, relu"


def compiled(vector: int, strip: int) -> cp.RawKernel:
    """The filter for so many channels and neighbours a thread."""
    text = SOURCE.read_text(encoding="utf-8").replace("STRIP = 2;", f"STRIP = {strip};")
    text += (
        'extern "C" __global__ void tried(const Half* x, const Half* w, const Half* b, Half* out, '
        f"int height, int width, int channels, int relu) {{ depthwise<{vector}>({LAUNCHED}); }}"
    )
    return cp.RawModule(code=text, options=("--std=c++17",)).get_function("tried")


def microseconds(
    kernel: cp.RawKernel, shape: tuple[int, int, int], vector: int, strip: int, threads: int
) -> float:
    channels, height, width = shape
    x = cp.random.rand(BATCH, height, width, channels).astype(cp.float16)
    w, b = (cp.random.rand(channels, n).astype(cp.float16) for n in (9, 1))
    needed = channels // vector * -(-width // strip) * height
    given = (x, w, b, cp.empty_like(x), *map(np.int32, (height, width, channels, 1)))
    launch = ((-(-needed // threads), BATCH), (threads,), given)
    with cp.cuda.Stream(non_blocking=True) as stream:
        kernel(*launch, shared_mem=40 * channels)
        stream.synchronize()
        stream.begin_capture()
        for _ in range(TIMES):
            kernel(*launch, shared_mem=40 * channels)
        graph = stream.end_capture()
        graph.launch(stream)
        taken = []
        for _ in range(5):
            begin, end = cp.cuda.Event(), cp.cuda.Event()
            begin.record(stream)
            graph.launch(stream)
            end.record(stream)
            end.synchronize()
            taken.append(cp.cuda.get_elapsed_time(begin, end) * 1000 / TIMES)
    return median(taken)


def main() -> int:
    print(
        "channels neighbours threads  "
        + "  ".join("x".join(map(str, shape)) for shape in SHAPES)
        + "     sum"
    )
    for vector, strip, threads in itertools.product((2, 4, 8), (1, 2, 4, 8), (64, 128, 256, 512)):
        kernel = compiled(vector, strip)
        row = [microseconds(kernel, shape, vector, strip, threads) for shape in SHAPES]
        total = sum(us * times for us, times in zip(row, SHAPES.values(), strict=True))
        print(f"{vector:8}{strip:11}{threads:8}  " + "  ".join(f"{us:9.2f}" for us in row) + f"{total:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
