"""Which GPUs CUDA shows to this process, and what the machine calls them."""

from __future__ import annotations

import os
from collections.abc import Sequence

VARIABLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


def visible(uuids: Sequence[str], asked: str | None = None) -> list[int]:
    """The machine's indices of the GPUs that CUDA shows, in CUDA's order.

    ``uuids`` are those of all GPUs; ``asked`` stands for CUDA_VISIBLE_DEVICES: indices or beginnings
    of UUIDs, of which CUDA takes no more after the first that it does not know, and none where one is
    named twice.

    >>> visible(["GPU-a1", "GPU-b2"]), visible(["GPU-a1", "GPU-b2"], "1,0"), visible(["GPU-a1"], "GPU-a")
    ([0, 1], [1, 0], [0])
    >>> visible(["GPU-a1", "GPU-b2"], ""), visible(["GPU-a1", "GPU-b2"], "1,-1,0")
    ([], [1])
    """
    if asked is None:
        return list(range(len(uuids)))
    found: list[int] = []
    for word in (word.strip() for word in asked.split(",")):
        if word.isdecimal():
            matches = [int(word)] if int(word) < len(uuids) else []
        else:
            matches = [index for index, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        if len(matches) != 1:
            break
        found += matches
    return found if len(set(found)) == len(found) else []


def shown(uuids: Sequence[str]) -> list[int]:
    """`visible`, for this process, in which CUDA from now on counts GPUs as the machine does. (By
    itself it would begin with the fastest.)"""
    os.environ.setdefault(ORDER, "PCI_BUS_ID")
    return visible(uuids, os.environ.get(VARIABLE))


def hidden() -> str:
    """Why CUDA may show no GPU of a machine that has some; "" where nothing hides them."""
    asked = os.environ.get(VARIABLE)
    return "" if asked is None else f"{VARIABLE}={asked} names none that is here"
