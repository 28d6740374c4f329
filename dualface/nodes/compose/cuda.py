"""compose/cuda: crops of the source into the tiles of the output on the GPU, one launch a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from dualface.graph.errors import InputError
from dualface.graph.node import Context, Needs, Node, Snapshot, State, Stateless, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Shots, Video
from dualface.hw.cuda import gave_up, giving_up, on
from dualface.kernels import kernel
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.mending import SOURCE, Mending
from dualface.nodes.compose.policy import Action, Reason, fault, fitted, usable, ways
from dualface.nodes.compose.repairs import Repairs, TileError
from dualface.nodes.compose.stored import stored
from dualface.nodes.device_buffers import DevicePool

ACROSS, DOWN, THREADS, MOST = 64, 32, 128, 64  # of a block; and crops of a launch, as in cuda.cu
BLANK, MEND = np.array([(np.nan, 0, 0, 0), (np.nan, 1, 0, 0)], np.float32)  # crops of tiles that have none
PICTURE = np.dtype(
    {
        "names": ["source", "out", "source_rows", "source_pitch", "source_width", "source_height", "out_rows",
                  "out_pitch", "source_step", "out_step", "rotation", "black", "tiles", "across", "luma_down",
                  "down"],
        "formats": ["u8", "u8"] + ["i4"] * 6 + ["i8", "i8"] + ["i4"] * 6,
    },
    align=True,
)  # fmt: skip
CROPS = np.dtype([("at", "f4", (MOST, 4))])


@dataclass(slots=True)
class _Work:
    """A batch under way. ``crops`` ``[n * tiles, 4]`` are of the pictures as stored; ``bad`` are the tiles
    that something is wrong with, by picture and number, ``errors`` what was raised there."""

    out: Any
    frames: Frames[NV12, Cuda]
    crops: Any
    blank: Any
    bad: dict[tuple[int, int], Reason]
    errors: dict[tuple[int, int], Exception] = field(default_factory=dict)


@node("compose/cuda", rank=20)
class ComposeCuda(Node[ComposeConfig]):
    """Crops, scales and places with one CUDA kernel; NV12 all the way."""

    takes_over = frozenset({"compose/cpu"})  # but for its last good tiles

    @staticmethod
    def needs(config: ComposeConfig, memory: Memory) -> Needs:
        return Needs(engine="cuda", features=("cuda",), packages=("cupy",), threads=0.1)

    @staticmethod
    def state(config: ComposeConfig) -> State:
        return Unbounded() if config.on_error == "last" else Stateless()

    def open(self, context: Context) -> None:
        import cupy

        assert context.device is not None
        self.device, layout = context.device, self.config.layout
        self._pool = DevicePool(self.device, layout.height, layout.width, context.batch, context.held)
        context.count("vram_mb", self._pool.total_mb)
        self._compose = kernel(SOURCE, "compose", self.device.gpu)
        self._blacken = kernel(SOURCE, "blacken", self.device.gpu)
        tiles = layout.tiles
        self._covered = sum(t.width * t.height for t in tiles) == layout.width * layout.height
        self._picture = picture = np.zeros((), PICTURE)
        picture["out_rows"], picture["out_pitch"] = layout.height, layout.width
        picture["tiles"] = len(tiles)
        widest, highest = max(t.width for t in tiles), max(t.height for t in tiles)
        picture["across"] = -(-widest // ACROSS)
        picture["luma_down"] = -(-highest // DOWN)
        picture["down"] = picture["luma_down"] + -(-(highest // 2) // DOWN)
        video = context.job.video
        whole = [fitted(t, video) for t in tiles]
        with on(self.device):
            self._tiles, self._fitted = (
                cupy.asarray(np.array([[t.x, t.y, t.width, t.height] for t in some], np.int32))
                for some in (tiles, whole)
            )
        last = self.config.on_error == "last"
        self._mending = Mending(self.device, layout, context.batch, last, _black(video))
        self._repairs, self._has = Repairs(context), [False for _ in tiles]

    def process(self, frames: Frames[NV12, Cuda], shots: Shots) -> Frames[NV12, Cuda]:
        layout, video, count = self.config.layout, frames.video, len(frames)
        tiles, source, picture = len(layout.tiles), frames.data, self._picture
        crops, blank = usable(shots, count, tiles)
        bad = {
            (n, t): reason
            for n, row in enumerate(crops.tolist())
            for t, crop in enumerate(row)
            if not blank[n, t] and (reason := fault(crop, video.display_size))
        }
        with giving_up("compose/cuda"), on(self.device):
            self._tell(self._mending.found())
            out = self._pool.take(count)
            picture["source"], picture["out"] = source.data.ptr, out.data.ptr
            picture["source_rows"], picture["source_pitch"] = source.shape[1] * 2 // 3, source.strides[1]
            picture["source_width"], picture["source_height"] = video.width, video.height
            picture["source_step"], picture["out_step"] = source.strides[0], out.strides[0]
            picture["rotation"], picture["black"] = video.rotation, _black(video)
            work = _Work(out, frames, _crops(crops, blank, bad, video), blank, bad)
            if not self._covered:
                self._blacken((-(-out.strides[0] // 1024), 1, count), (256, 1, 1), (picture,))
            for first, given, some in _launches(work.crops):
                grid = (int(picture["across"]), int(picture["down"]), some)
                try:
                    self._compose(grid, (THREADS, 1, 1), (picture, self._tiles, given, np.int32(first)))
                except Exception as error:
                    if isinstance(error, InputError) or gave_up(error):
                        raise
                    for n, t in (divmod(first + i, tiles) for i in range(some)):
                        if not blank[n, t]:
                            work.bad.setdefault((n, t), Reason.error)
                            work.errors[n, t] = error
                        self._black(work, n, t)
            for n, t in sorted(work.bad):
                self._repair(work, n, t)
            for first, given, some in _launches(work.crops):
                self._mending.look(picture, self._tiles, given, first, some)
            self._mending.mend(picture, self._tiles, count, frames.first)
        for t in range(tiles):
            self._has[t] |= any(not blank[n, t] and (n, t) not in work.bad for n in range(count))
        made = replace(video, width=layout.width, height=layout.height, rotation=0, pixel_aspect=Fraction(1))
        return Frames(out, frames.pts, made, frames.first)

    def finish(self) -> Iterator[Frames[NV12, Cuda]]:
        with giving_up("compose/cuda"), on(self.device):
            self._tell(self._mending.found(wait=True))
        self._repairs.summary()
        return iter(())

    def snapshot(self) -> Snapshot:
        """The last good tiles leave the GPU only in a job in which some tile went wrong. In others, one that
        goes wrong in the very first picture after a restart shows the whole picture in place of its last."""
        with giving_up("compose/cuda"), on(self.device):
            self._tell(self._mending.found(wait=True))
        kept = self._mending.picture() if self._repairs.total else np.zeros((0, 0), np.uint8)
        return {"kept": kept, "has": np.array(self._has), **self._repairs.snapshot()}

    def restore(self, snapshot: Snapshot) -> None:
        if "kept" in snapshot and snapshot["kept"].size:  # not compose/cpu's
            self._has = snapshot["has"].tolist()
            self._mending.keep(snapshot["kept"])
        self._repairs.restore(snapshot)

    def _repair(self, work: _Work, n: int, t: int) -> None:
        """Have something else in tile ``t`` of picture ``n``: now, or by `Mending` its last good picture."""
        tile, frame, reason = self.config.layout.tiles[t], work.frames.first + n, work.bad[n, t]
        earlier = any(not work.blank[m, t] and (m, t) not in work.bad for m in range(n))
        number, error = n * len(self._has) + t, work.errors.get((n, t))
        for action in ways(self.config.on_error, earlier or self._has[t]):
            work.crops[number] = MEND if action is Action.last else BLANK
            if action is not Action.wide or self._wide(work, n, t):
                self._repairs.add(tile.name, frame, reason, action, error)
                return
        raise error or TileError(tile.name, frame, reason)

    def _wide(self, work: _Work, n: int, t: int) -> bool:
        """Draw the whole picture into the middle of a tile, unless that fails too."""
        picture, given, video = self._picture.copy(), np.zeros((), CROPS), work.frames.video
        picture["tiles"] = 1
        given["at"][0] = 0, 0, video.width, video.height
        grid = (int(picture["across"]), int(picture["down"]), 1)
        args = (picture, self._fitted[t : t + 1], given, np.int32(n))
        try:
            self._compose(grid, (THREADS, 1, 1), args)
        except Exception as error:
            if isinstance(error, InputError) or gave_up(error):
                raise
            self._black(work, n, t)
            return False
        return True

    def _black(self, work: _Work, n: int, t: int) -> None:
        tile, rows = self.config.layout.tiles[t], self.config.layout.height
        x, y, right, low = tile.x, tile.y, tile.x + tile.width, tile.y + tile.height
        work.out[n, y:low, x:right] = _black(work.frames.video)
        work.out[n, rows + y // 2 : rows + low // 2, x:right] = 128

    def _tell(self, flat: list[tuple[int, int]]) -> None:
        """Count the tiles that came out flat. By now they are mended, or went out as they are."""
        for frame, t in flat:
            tile = self.config.layout.tiles[t].name
            if self.config.on_error == "fail":
                raise TileError(tile, frame, Reason.flat)
            action = Action.last if self.config.on_error == "last" else Action.blank
            self._repairs.add(tile, frame, Reason.flat, action, None)

    def close(self) -> None:
        pool = getattr(self, "_pool", None)
        if pool is not None:
            pool.close()


def _crops(crops: Any, blank: Any, bad: dict[tuple[int, int], Reason], video: Video) -> Any:
    """Crops ``[n * tiles, 4]`` of the pictures as stored, `BLANK` where a tile has none."""
    if video.rotation:
        crops = np.array([[stored(crop, video) for crop in tiles] for tiles in crops], np.float32)
    given = np.where(blank[..., None], BLANK, crops)
    for n, t in bad:
        given[n, t] = BLANK
    return given.reshape(-1, 4)


def _launches(crops: Any) -> Iterator[tuple[int, Any, int]]:
    """The number of the first crop, the crops as a kernel takes them, and how many: `MOST` at a time."""
    for first in range(0, len(crops), MOST):
        some, given = crops[first : first + MOST], np.zeros((), CROPS)
        given["at"][: len(some)] = some
        yield first, given, len(some)


def _black(video: Video) -> int:
    return 0 if video.color.range == "pc" else 16
