"""Frame buffers on a GPU, all taken when the job opens.

As `dualface.nodes.buffers`: a batch returns by itself when the last array that looks at it is gone.
Readers are on the slot's stream. If the writer is too, a buffer may be written again as soon as its
readers are enqueued; a writer on another stream waits for an event behind them.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from dualface.graph.node import Device
from dualface.hw.cuda import on, stream_of

PATIENCE = 60.0  # seconds; a buffer that does not come back in this time never will


class _Loan:
    """Owner of one lent buffer: CuPy keeps it alive through every view."""

    __slots__ = ("memory", "pool")

    def __init__(self, memory: Any, pool: DevicePool) -> None:
        self.memory, self.pool = memory, pool

    def __del__(self) -> None:
        self.pool._return(self.memory)


class DevicePool:
    """``count`` NV12 batches ``[n, rows, width]`` uint8 of up to ``batch`` frames on ``device``, to be
    written on the slot's stream or on ``writer``, a stream of CuPy's.

    `take` may be called from any thread and waits while all are lent: the graph's queues bound how
    many that can be, so that it waits only where a node keeps more than it said it would.
    """

    def __init__(
        self, device: Device, height: int, width: int, batch: int, count: int, writer: Any = None
    ) -> None:
        import cupy

        self.device, self.height, self.width = device, height, width
        self.batch, self.count = batch, count
        self.rows = height * 3 // 2
        self._cupy, self._closed = cupy, False
        self._writer, self._readers = writer, stream_of(device)
        self._free: deque[tuple[Any, Any]] = deque()  # memory, and the event behind its readers
        self._back = threading.Semaphore(0)
        with on(device):
            for _ in range(count):
                self._return(cupy.cuda.Memory(batch * self.rows * width))

    @property
    def total_mb(self) -> float:
        """What all batches take."""
        return self.count * self.batch * self.rows * self.width / (1 << 20)

    def take(self, n: int) -> Any:
        """A CuPy array ``[n, rows, width]``, ``1 <= n <= batch``, with old pixels in it."""
        if not self._back.acquire(timeout=PATIENCE):
            raise RuntimeError(
                "all frame buffers of the GPU stay lent; a node keeps more frames than it says"
            )
        memory, read = self._free.popleft()
        if read is not None:
            self._writer.wait_event(read)
        cuda = self._cupy.cuda
        owned = cuda.UnownedMemory(memory.ptr, memory.size, _Loan(memory, self), self.device.gpu)
        return self._cupy.ndarray((n, self.rows, self.width), "u1", cuda.MemoryPointer(owned, 0))

    def close(self) -> None:
        """Let go of all buffers, of those that are lent when they come back."""
        self._closed = True
        self._free.clear()

    def _return(self, memory: Any) -> None:
        if self._closed:
            return  # nobody will take it, and the streams may be gone
        # May run in any thread, in the middle of anything: no call takes a Python lock for long.
        read = None
        if self._writer is not None:
            read = self._cupy.cuda.Event(disable_timing=True)
            read.record(self._readers)
        self._free.append((memory, read))
        self._back.release()
