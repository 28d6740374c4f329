"""Tiles looked at and mended on the GPU, without the host waiting for what was found."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface.graph.node import Device
from dualface.graph.types import Layout
from dualface.hw.cuda import on, stream_of
from dualface.kernels import kernel

SOURCE = Path(__file__).with_name("cuda.cu")
FLAT = 3  # what `judge` writes of a tile that is flat where its source is not, as in cuda.cu
LOOKS, THREADS = 256, 256  # threads of a block of `judge`, of `mend`


class Mending:
    """Two launches a batch behind composing: `look` at the tiles, then `mend` those that are bad.

    What was found comes back by a copy of a byte a tile that nobody waits for; `found` tells it a batch or
    more later. With ``keep``, bad tiles get the last good picture, of which one of the output's size is kept.
    """

    def __init__(self, device: Device, layout: Layout, batch: int, keep: bool, black: int) -> None:
        import cupy

        self.device, self._tiles = device, len(layout.tiles)
        self._judge, self._mend = (kernel(SOURCE, name, device.gpu) for name in ("judge", "mend"))
        pairs = max(t.width // 2 * (t.height * 3 // 2) for t in layout.tiles)
        self._grid = (-(-pairs // THREADS), self._tiles)
        self._pending: deque[tuple[int, Any, Any]] = deque()  # first frame, states on the host, event
        with on(device):
            self._states = cupy.zeros((batch, self._tiles), np.uint8)
            self.kept = cupy.full((layout.height * 3 // 2, layout.width), black, np.uint8) if keep else None
            if self.kept is not None:
                self.kept[layout.height :] = 128

    def look(self, picture: Any, tiles: Any, crops: Any, first: int, count: int) -> None:
        """Judge ``count`` tiles from number ``first`` of the batch on."""
        args = (picture, tiles, crops, np.int32(first), self._states)
        self._judge((count, 1, 1), (LOOKS, 1, 1), args)

    def mend(self, picture: Any, tiles: Any, count: int, first: int) -> None:
        """Mend a batch of ``count`` pictures, the first of them frame ``first``, and ask what was found."""
        import cupy

        if self.kept is not None:
            args = (picture, tiles, self._states, self.kept, np.int32(count))
            self._mend(self._grid, (THREADS, 1, 1), args)
        stream = stream_of(self.device)
        # CuPy keeps pinned memory that is given back, so that after a few batches nothing is taken anew.
        memory = cupy.cuda.alloc_pinned_memory(count * self._tiles)
        host = np.frombuffer(memory, np.uint8, count * self._tiles).reshape(count, self._tiles)
        self._states[:count].get(stream=stream, out=host, blocking=False)
        event = cupy.cuda.Event(block=True, disable_timing=True)
        event.record(stream)
        self._pending.append((first, host, event))

    def found(self, *, wait: bool = False) -> list[tuple[int, int]]:
        """Frame and number of the flat tiles that are known by now, with ``wait`` of all of them."""
        flat: list[tuple[int, int]] = []
        while self._pending:
            first, states, event = self._pending[0]
            if wait:
                event.synchronize()
            elif not event.done:
                break
            self._pending.popleft()
            flat += [(first + int(n), int(t)) for n, t in np.argwhere(states == FLAT)]
        return flat

    def picture(self) -> npt.NDArray[np.uint8]:
        """A copy of what is kept, on the host; empty where nothing is."""
        if self.kept is None:
            return np.zeros((0, 0), np.uint8)
        with on(self.device):
            return np.asarray(self.kept.get())

    def keep(self, picture: npt.NDArray[np.uint8]) -> None:
        """Take up what `picture` gave."""
        if self.kept is not None:
            with on(self.device) as stream:
                self.kept.set(picture)
                stream.synchronize()  # the copy reads an array that may be gone then
