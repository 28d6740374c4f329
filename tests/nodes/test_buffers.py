"""The pool: what is lent stays whole, what is let go comes back, memory stays flat."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from dualface.nodes.buffers import FramePool


def test_views_keep_a_buffer() -> None:
    pool = FramePool(8, 8, batch=3)
    batch = pool.take(3)
    batch[:] = 7
    view = batch[1, 2:4].reshape(2, 4, 2)[..., 0]
    del batch
    other = pool.take(3)
    other[:] = 9
    assert (view == 7).all()


def test_memory_is_what_was_in_use_at_once() -> None:
    pool = FramePool(8, 8, batch=2)
    addresses = set()
    for _ in range(100):
        first, second = pool.take(2), pool.take(1)
        addresses |= {first.ctypes.data, second.ctypes.data}
        del first, second
    assert len(addresses) == 2


def test_an_idle_pool_keeps_few() -> None:
    pool = FramePool(8, 8, batch=1, idle=3)
    lent = [pool.take(1) for _ in range(10)]
    del lent
    gc.collect()
    assert len(pool._free) == 3


def test_threads_never_share_a_buffer() -> None:
    pool = FramePool(16, 16, batch=2)
    wrong: list[int] = []

    def work(mark: int) -> None:
        for _ in range(300):
            batch = pool.take(2)
            batch[:] = mark
            view = batch[1:]
            del batch
            if not (view == mark).all():
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(pool._free) <= 8  # each thread held at most two at once


def test_a_pool_outlived_by_its_batches() -> None:
    batch = FramePool(4, 4, batch=1).take(1)
    batch[:] = 3
    assert batch.dtype == np.uint8
    assert batch.flags.writeable
    assert batch.flags.c_contiguous
    assert int(batch.sum()) == 3 * 24


@pytest.mark.parametrize("n", [0, 3])
def test_more_than_a_batch_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="batches of 2"):
        FramePool(4, 4, batch=2).take(n)


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="even"):
        FramePool(5, 4, batch=1)
