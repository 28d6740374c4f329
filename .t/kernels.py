# compose/cuda against a float reference; detection against the CPU's
import time
from fractions import Fraction
from pathlib import Path

import cupy
import numpy as np

from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import *
from dualface.hw.cuda import on, open_device
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.cuda import ComposeCuda


def cub(x):
    x = np.abs(x)
    return np.where(
        x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)
    )


def axis(begin, end, size, limit, shift=0.0):
    r = (end - begin) / size
    c = begin + (np.arange(size) + 0.5) * r - 0.5 + shift
    w = np.zeros((size, limit))
    m = max(r, 1)
    for i, x in enumerate(c):
        k = np.arange(int(np.ceil(x - 2 * m)), int(np.floor(x + 2 * m)) + 1)
        v = cub((k - x) / m)
        v /= v.sum()
        np.add.at(w[i], k.clip(0, limit - 1), v)
    return w


dev = open_device(0)
rng = np.random.default_rng(1)


def go(W, H, crops, layout, n=2):
    v = Video(W, H, Fraction(1, 30))
    data = rng.integers(0, 256, (n, (H + H % 2) * 3 // 2, W + W % 2)).astype(np.uint8)
    node = ComposeCuda(ComposeConfig(layout))
    node.open(
        Context(
            Job("x", "x", Path("y"), v, 1, 0.0, "h264", "yuv420p"),
            "compose",
            n,
            1,
            None,
            None,
            None,
            None,
            None,
            device=dev,
            held=3,
        )
    )

    with on(dev):
        d = cupy.asarray(data)
    s = Shots(
        tuple(t.name for t in layout.tiles),
        np.array([crops] * n, np.float32),
        np.zeros((n, len(crops)), bool),
    )
    out = node.process(Frames(d, np.arange(n), v, 0), s).data
    with on(dev) as st:
        st.synchronize()
    out = out.get()
    worst = []
    mean = []
    Hs = H + H % 2
    for t, c in zip(layout.tiles, np.array(crops, np.float32).astype(float)):
        ax = axis(c[0], c[2], t.width, W)
        ay = axis(c[1], c[3], t.height, H)
        ref = ay @ data[0][:H, :W].astype(float) @ ax.T
        got = out[0][t.y : t.y + t.height, t.x : t.x + t.width]
        e = np.abs(np.clip(ref, 0, 255) - got)
        worst.append(e.max())
        mean.append(e.mean())
        r = (c[2] - c[0]) / t.width
        ch = data[0][Hs:].reshape(Hs // 2, -1, 2).astype(float)
        cw, chh = (W + 1) // 2, (H + 1) // 2
        ax = axis(c[0] / 2, c[2] / 2, t.width // 2, cw, 0.25 * (1 - r))
        ay = axis(c[1] / 2, c[3] / 2, t.height // 2, chh)
        g = out[0][layout.height :].reshape(layout.height // 2, -1, 2)[
            t.y // 2 : (t.y + t.height) // 2, t.x // 2 : (t.x + t.width) // 2
        ]
        for k in (0, 1):
            ref = ay @ ch[:chh, :cw, k] @ ax.T
            e = np.abs(np.clip(ref, 0, 255) - g[..., k])
            worst.append(e.max())
            mean.append(e.mean())
    print(f"{W}x{H} {crops}: max {max(worst):.2f} mean {max(mean):.3f}")


L = Layout(640, 360, (Tile("l", 0, 0, 320, 360), Tile("r", 320, 0, 320, 360)))
go(640, 360, [(10, 20, 200, 233.75), (300.3, 10.7, 620.1, 360)], L)
go(641, 361, [(-20, -13.3, 250.1, 300), (400, 100, 700, 400)], L)
go(1920, 1080, [(0, 0, 960, 1080), (100.5, 3.25, 1890.2, 1079)], L)
# speed
L = Layout(1920, 1080, (Tile("l", 0, 0, 960, 1080), Tile("r", 960, 0, 960, 1080)))
v = Video(1920, 1080, Fraction(1, 30))
n = 8
node = ComposeCuda(ComposeConfig(L))
node.open(
    Context(
        Job("x", "x", Path("y"), v, 1, 0.0, "h264", "yuv420p"),
        "compose",
        n,
        1,
        None,
        None,
        None,
        None,
        None,
        device=dev,
        held=6,
    )
)
with on(dev):
    ds = [cupy.asarray(rng.integers(0, 256, (n, 1620, 1920)).astype(np.uint8)) for _ in range(4)]
for crops in (
    [(100.3, 100.4, 812.3, 901.4), (1000.2, 50.1, 1700.7, 838.6)],
    [(0, 0, 960, 1080), (960, 0, 1920, 1080)],
):
    s = Shots(("l", "r"), np.array([crops] * n, np.float32), np.zeros((n, 2), bool))
    f = [Frames(d, np.arange(n), v, 0) for d in ds]
    for x in f:
        node.process(x, s)
    e0, e1 = cupy.cuda.Event(), cupy.cuda.Event()
    with on(dev) as st:
        e0.record()
        t = time.perf_counter()
        for k in range(60):
            node.process(f[k % 4], s)
        t = time.perf_counter() - t
        e1.record()
        e1.synchronize()
    print(
        f"compose {cupy.cuda.get_elapsed_time(e0, e1) / 60 / n * 1000:.2f} us/frame on the GPU; host {t / 60 * 1e6:.0f} us/batch"
    )
