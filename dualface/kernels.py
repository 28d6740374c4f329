"""CUDA sources beside the modules that use them, compiled by CuPy on first use and kept in its cache."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any


@functools.cache
def kernel(file: Path, name: str, gpu: int) -> Any:
    """The kernel ``name`` of the ``.cu`` file, for the architecture of ``gpu``."""
    import cupy

    with cupy.cuda.Device(gpu):
        module = cupy.RawModule(code=file.read_text(encoding="utf-8"), options=("--std=c++17",))
        return module.get_function(name)
