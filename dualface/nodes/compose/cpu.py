"""compose/cpu: crops of the source into the tiles of the output, NV12 all the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from dualface.graph.errors import InputError
from dualface.graph.node import Context, Node, Snapshot, State, Stateless, Unbounded
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Frames, Shots, Tile, Video
from dualface.nodes.buffers import FramePool
from dualface.nodes.compose.config import ComposeConfig
from dualface.nodes.compose.looks import Looks, verdict
from dualface.nodes.compose.policy import Action, Reason, fault, fitted, usable, ways
from dualface.nodes.compose.repairs import Repairs, TileError
from dualface.nodes.compose.resample import Plane, Resampler
from dualface.nodes.compose.stored import Box, stored

Planes = tuple[Plane, Plane]  # luma [h, w] and chroma [h/2, w/2, 2]


@dataclass(frozen=True, slots=True)
class _Work:
    """A batch under way: pictures to be made, and what goes into them. ``bad`` are the tiles that something
    is wrong with, by picture and number, ``errors`` what was raised there."""

    out: Plane
    frames: Frames[NV12, Cpu]
    crops: npt.NDArray[np.float32]
    blank: list[list[bool]]
    bad: dict[tuple[int, int], Reason]
    errors: dict[tuple[int, int], Exception] = field(default_factory=dict)

    def latest(self, before: int, t: int) -> int | None:
        """The last picture ``before`` that one in which the tile is good."""
        good = (n for n in range(before - 1, -1, -1) if not self.blank[n][t] and (n, t) not in self.bad)
        return next(good, None)

    def source(self, n: int) -> Planes:
        """The visible part of source picture ``n``."""
        (luma, chroma), video = planes(self.frames.data[n]), self.frames.video
        luma = luma[: video.height, : video.width]
        return luma, chroma[: (video.height + 1) // 2, : (video.width + 1) // 2]

    def box(self, n: int, t: int) -> Box:
        """The crop of a tile in the picture as stored."""
        return stored(self.crops[n, t], self.frames.video)


@node("compose/cpu", rank=50)
class ComposeCpu(Node[ComposeConfig]):
    """Crops, scales and places with swscale and OpenCV on one thread."""

    takes_over = frozenset({"compose/cuda"})  # but for its last good tiles

    @staticmethod
    def state(config: ComposeConfig) -> State:
        return Unbounded() if config.on_error == "last" else Stateless()

    def open(self, context: Context) -> None:
        layout = self.config.layout
        self._pool = FramePool(layout.height, layout.width, context.batch)
        self._resamplers = [(Resampler(), Resampler()) for _ in layout.tiles]
        self._looks, self._repairs = Looks(layout), Repairs(context)
        # The last good picture of each tile: of the last batch where it was good there, else a copy.
        self._kept: list[Planes | None] = [None for _ in layout.tiles]

    def process(self, frames: Frames[NV12, Cpu], shots: Shots) -> Frames[NV12, Cpu]:
        layout, video = self.config.layout, frames.video
        crops, blank = usable(shots, len(frames), len(layout.tiles))
        work = _Work(self._pool.take(len(frames)), frames, crops, blank.tolist(), {})
        for n, tiles in enumerate(crops.tolist()):
            for t, crop in enumerate(tiles):
                if not work.blank[n][t] and (reason := fault(crop, video.display_size)):
                    work.bad[n, t] = reason
        self._compose(work)
        self._look(work)
        for n, t in sorted(work.bad):
            above = [] if self._looks.seen[t] else layout.tiles[t + 1 :]  # these may lie on it
            saved = [(plane, plane.copy()) for tile in above for plane in part(work.out[n], tile)]
            self._repair(work, n, t)
            for plane, was in saved:
                plane[:] = was
        if self.config.on_error == "last":
            self._keep(work)
        made_as = replace(
            video, width=layout.width, height=layout.height, rotation=0, pixel_aspect=Fraction(1)
        )
        return Frames(work.out, frames.pts, made_as, frames.first)

    def finish(self) -> Iterator[Frames[NV12, Cpu]]:
        self._repairs.summary()
        return iter(())

    def close(self) -> None:
        self._kept = []

    def snapshot(self) -> Snapshot:
        kept = {
            f"{name}.{t}": plane.copy()
            for t, planes in enumerate(self._kept)
            for name, plane in zip(("luma", "chroma"), planes or (), strict=False)
        }
        return {**kept, **self._repairs.snapshot()}

    def restore(self, snapshot: Snapshot) -> None:
        for t in range(len(self._kept)):
            there = f"luma.{t}" in snapshot
            self._kept[t] = (snapshot[f"luma.{t}"], snapshot[f"chroma.{t}"]) if there else None
        self._repairs.restore(snapshot)

    def _compose(self, work: _Work) -> None:
        """Draw all tiles that have a crop; what raises is put down."""
        tiles, video = self.config.layout.tiles, work.frames.video
        covered = sum(t.width * t.height for t in tiles) == work.out[0].size * 2 // 3
        for n, picture in enumerate(work.out):
            source = work.source(n)
            if not covered:
                black(*planes(picture), video)
            for t, tile in enumerate(tiles):
                if work.blank[n][t]:
                    black(*part(picture, tile), video)
                elif (n, t) not in work.bad:
                    try:
                        resample(self._resamplers[t], source, work.box(n, t), video, part(picture, tile))
                    except InputError:
                        raise
                    except Exception as error:
                        work.bad[n, t], work.errors[n, t] = Reason.error, error
                        self._resamplers[t] = Resampler(), Resampler()  # the old ones may be in any state

    def _look(self, work: _Work) -> None:
        """Put down the tiles that do not look like what they were made from."""
        video = work.frames.video
        for n, t in self._looks.doubtful(work.out, work.frames.data, video, work.crops):
            if not work.blank[n][t] and (n, t) not in work.bad:
                made = part(work.out[n], self.config.layout.tiles[t])
                if reason := verdict(made, work.source(n), work.box(n, t), video.rotation):
                    work.bad[n, t] = reason

    def _repair(self, work: _Work, n: int, t: int) -> None:
        """Draw something else in tile ``t`` of picture ``n``."""
        tile, frame, last = self.config.layout.tiles[t], work.frames.first + n, work.latest(n, t)
        target, reason, error = part(work.out[n], tile), work.bad[n, t], work.errors.get((n, t))
        good = self._kept[t] if last is None else part(work.out[last], tile)
        for action in ways(self.config.on_error, good is not None):
            if action is Action.last and good is not None:
                for plane, was in zip(target, good, strict=True):
                    plane[:] = was
            else:
                black(*target, work.frames.video)
            if action is not Action.wide or self._wide(work, n, tile):
                self._repairs.add(tile.name, frame, reason, action, error)
                return
        raise error or TileError(tile.name, frame, reason)

    def _wide(self, work: _Work, n: int, tile: Tile) -> bool:
        """Draw the whole picture into the middle of a tile, unless that fails too."""
        video, source = work.frames.video, work.source(n)
        box, target = (
            (0.0, 0.0, float(video.width), float(video.height)),
            part(work.out[n], fitted(tile, video)),
        )
        try:
            resample((Resampler(), Resampler()), source, box, video, target)
        except InputError:
            raise
        except Exception:
            good = False
        else:
            good = verdict(target, source, box, video.rotation) is Reason.fine
        if not good:
            black(*target, video)
        return good

    def _keep(self, work: _Work) -> None:
        """Keep what was good last in each tile, for the next batch."""
        for t, (tile, kept) in enumerate(zip(self.config.layout.tiles, self._kept, strict=True)):
            if (n := work.latest(len(work.out), t)) is not None:
                self._kept[t] = part(work.out[n], tile)
            elif kept is not None and kept[0].base is not None:
                self._kept[t] = kept[0].copy(), kept[1].copy()  # so that its batch is not held any longer


def resample(
    pair: tuple[Resampler, Resampler], source: Planes, crop: Box, video: Video, target: Planes
) -> None:
    """Fill the planes of a tile from ``crop`` of a picture as stored, turned as ``video`` says."""
    boxes = crop, siting(crop, target[0].shape, video.rotation)
    for one, plane, box, out in zip(pair, source, boxes, target, strict=True):
        if video.rotation == 0:
            one(plane, box, out)
            continue
        turns = video.rotation // 90
        shape = out.shape[1::-1] if turns % 2 else out.shape[:2]
        upright = np.empty((*shape, *out.shape[2:]), np.uint8)
        one(plane, box, upright)
        out[:] = np.rot90(upright, -turns)


def part(picture: Plane, tile: Tile) -> Planes:
    """Luma and chroma of a tile of one NV12 picture."""
    luma, chroma = planes(picture)
    x, y, right, low = tile.x, tile.y, tile.x + tile.width, tile.y + tile.height
    return luma[y:low, x:right], chroma[y // 2 : low // 2, x // 2 : right // 2]


def planes(picture: Plane) -> tuple[Plane, Plane]:
    """Luma ``[h, w]`` and chroma ``[h/2, w/2, 2]`` of one NV12 picture."""
    rows, width = picture.shape
    height = rows * 2 // 3
    return picture[:height], picture[height:].reshape(height // 2, width // 2, 2)


def black(luma: Plane, chroma: Plane, video: Video) -> None:
    luma[:] = 0 if video.color.range == "pc" else 16
    chroma[:] = 128


def siting(crop: Box, size: tuple[int, ...], rotation: int) -> Box:
    """The crop on the chroma plane, so that left-sited samples fall on left-sited samples.

    Such a sample sits a quarter of a chroma pixel left of its pixel's middle, before and after; a zoom
    about the crop's corner alone would move colours by ``(1 - crop/tile)/4`` of a chroma pixel. Below
    an eighth of one nobody sees it, and the crop stays on whole pixels for the quick way.
    """
    x0, y0, x1, y1 = (v / 2 for v in crop)
    if rotation:
        return x0, y0, x1, y1
    zoom = (crop[2] - crop[0]) / size[1]
    shift = 0.25 * (1 - zoom)
    return (x0, y0, x1, y1) if abs(shift) <= 0.125 else (x0 + shift, y0, x1 + shift, y1)
