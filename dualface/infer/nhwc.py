"""Small 16-bit networks on a GPU: 3x3 filters of each channel by itself, and halving, by kernels of our own.

cuDNN's take four times as long for so few channels, and torch adds the bias in a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualface.kernels import kernel

SOURCE = Path(__file__).with_suffix(".cu")
# On an H100 the quickest of those that experiments/depthwise.py tries, with four channels a thread.
STRIP, THREADS, MOST = 2, 256, 1024  # MOST channels: ten floats of each are shared by a block


def takes_depthwise(
    x: Tensor, w: Tensor, pads: Sequence[int], strides: Sequence[int], dilations: Sequence[int], groups: int
) -> bool:
    """Whether `depthwise` does this convolution."""
    plain = [*strides, *dilations] == [1] * 4 and list(pads) == [1, 1]
    return plain and _ours(x) and tuple(w.shape) == (x.shape[1], 1, 3, 3) and groups == x.shape[1] <= MOST


def depthwise(x: Tensor, w: Tensor, b: Tensor | None, relu: bool) -> Tensor:
    """``x`` ``[n, c, h, w]``, each channel filtered by its own of ``w`` ``[c, 1, 3, 3]``, plus ``b`` ``[c]``
    where there is one; with ``relu`` nothing is below 0."""
    n, channels, height, width = x.shape
    vector = next(v for v in (4, 2, 1) if channels % v == 0)
    out = torch.empty_like(x)
    threads = channels // vector * -(-width // STRIP) * height
    sizes = (*map(np.int32, (height, width, channels, relu)),)
    given = (x.data_ptr(), w.data_ptr(), 0 if b is None else b.data_ptr(), out.data_ptr(), *sizes)
    _launch(f"depthwise_{vector}", x, threads, n, given, 40 * channels)
    return out


def takes_halve(x: Tensor, kernel: Sequence[int], strides: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether `halve` does this pooling."""
    plain = [*kernel, *strides, *pads] == [2, 2, 2, 2, 0, 0]
    return plain and _ours(x) and x.shape[1] % 8 == 0 and x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0


def halve(x: Tensor) -> Tensor:
    """The largest of each 2x2 of ``x`` ``[n, c, h, w]``: ``[n, c, h/2, w/2]``."""
    n, channels, height, width = x.shape
    size = (n, channels, height // 2, width // 2)
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    threads = channels // 8 * (height // 2) * (width // 2)
    sizes = (*map(np.int32, (height // 2, width // 2, channels)),)
    _launch("halve", x, threads, n, (x.data_ptr(), out.data_ptr(), *sizes), 0)
    return out


def _ours(x: Tensor) -> bool:
    inside = x.is_cuda and x.dtype == torch.float16 and x.dim() == 4
    return bool(inside and x.is_contiguous(memory_format=torch.channels_last))


def _launch(name: str, x: Tensor, threads: int, pictures: int, given: tuple[Any, ...], shared: int) -> None:
    import cupy

    gpu = x.device.index
    grid = (-(-threads // THREADS), pictures)
    with cupy.cuda.ExternalStream(torch.cuda.current_stream(gpu).cuda_stream, gpu):
        kernel(SOURCE, name, gpu)(grid, (THREADS,), given, shared_mem=shared)
