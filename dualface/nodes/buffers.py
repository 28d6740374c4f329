"""Frame buffers that are used again and again.

A 1080p batch of 8 is 25 MB. Fresh memory of that size comes from the kernel page by page, zeroed,
which costs more than the copy into it; so a node that makes pictures takes its batches from a
`FramePool`, and a batch returns by itself when the last array that looks at it is gone.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class _Loan:
    """Owner of one lent buffer: numpy keeps it alive through ``base`` of every view."""

    __slots__ = ("__array_interface__", "buffer", "free")

    def __init__(self, buffer: Pixels, free: deque[Pixels], shape: tuple[int, ...]) -> None:
        self.buffer, self.free = buffer, free
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "shape": shape,
            "typestr": "|u1",
            "data": (buffer.ctypes.data, False),
        }

    def __del__(self) -> None:
        # May run in any thread, in the middle of anything: append is atomic and takes no lock.
        self.free.append(self.buffer)


class FramePool:
    """NV12 batches ``[n, rows, width]`` uint8 for up to ``batch`` frames of one size.

    Memory is as much as was ever lent at one time and no more; an idle pool keeps at most
    ``idle`` buffers. All methods may be called from any thread. What is taken holds old pixels.

    >>> pool = FramePool(4, 6, batch=2)
    >>> first = pool.take(2)
    >>> first.shape
    (2, 6, 6)
    >>> address, view = first.ctypes.data, first[1:, ::2]
    >>> del first
    >>> pool.take(2).ctypes.data == address  # the view still looks at it
    False
    >>> del view
    >>> address in {pool.take(1).ctypes.data, pool.take(1).ctypes.data}
    True
    """

    def __init__(self, height: int, width: int, batch: int, *, idle: int = 16) -> None:
        if height % 2 or width % 2 or min(height, width, batch) < 1:
            raise ValueError(f"a pool of {batch} frames of {width}x{height}: sizes are even, at least 2")
        self.height, self.width, self.batch = height, width, batch
        self._free: deque[Pixels] = deque(maxlen=idle)

    @property
    def rows(self) -> int:
        """Rows of one frame, luma and chroma together: ``height * 3 // 2``."""
        return self.height * 3 // 2

    def make(self) -> Pixels:
        """Memory for one more batch."""
        return np.empty(self.batch * self.rows * self.width, np.uint8)

    def take(self, n: int) -> Pixels:
        """An array ``[n, rows, width]`` for ``n`` frames, ``1 <= n <= batch``."""
        if not 1 <= n <= self.batch:
            raise ValueError(f"{n} frames from a pool of batches of {self.batch}")
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = self.make()
        return np.asarray(_Loan(buffer, self._free, (n, self.rows, self.width)))
