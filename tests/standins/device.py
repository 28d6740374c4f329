"""Host memory that behaves like a GPU's: arrays that only offer an address, and know when they are gone."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

STREAM = 0x5EED  # the handle of a slot's stream; 0 is the default stream, which nobody may use


class Device:
    """Where device arrays are. ``alive`` are the address ranges that may be read."""

    def __init__(self) -> None:
        self.alive: dict[int, int] = {}

    def put(self, array: np.ndarray[Any, Any]) -> DeviceArray:
        """``array`` copied to the device."""
        made = DeviceArray(array)
        start = made.host.ctypes.data
        self.alive[start] = start + made.host.nbytes
        weakref.finalize(made.host, self.alive.pop, start, None)
        return made

    def holds(self, start: int, size: int) -> bool:
        return any(a <= start and start + size <= b for a, b in list(self.alive.items()))


class DeviceArray:
    """As a CuPy array: no ``cuda``, no ``__dlpack__``, only ``__cuda_array_interface__``; slicing
    the first axis gives views that keep the memory."""

    def __init__(self, array: np.ndarray[Any, Any], host: np.ndarray[Any, Any] | None = None) -> None:
        self.host = np.array(array) if host is None else host  # the memory itself
        self.view = self.host if host is None else array
        self.shape, self.dtype = self.view.shape, self.view.dtype

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, key: slice) -> DeviceArray:
        return DeviceArray(self.view[key], self.host)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.view.shape,
            "strides": None if self.view.flags.c_contiguous else self.view.strides,
            "typestr": self.view.dtype.str,
            "data": (self.view.ctypes.data, False),
        }
