"""Tests of the nodes on a real NVIDIA GPU; they skip where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gpu import nodes

from dualface.graph.node import Device

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(scope="session")
def gpu() -> int:
    """The index of a GPU that works."""
    cupy: Any = pytest.importorskip("cupy", reason="cupy is not installed: pip install 'dualface[gpu]'")
    try:
        cupy.cuda.Device(0).use()
        cupy.cuda.runtime.free(0)
    except Exception as error:  # CuPy's own classes, or those of a driver that does not load
        pytest.skip(f"there is no NVIDIA GPU: {error}")
    return 0


@pytest.fixture(scope="session")
def nvdec(gpu: int) -> int:
    """The index of a GPU that decodes."""
    pytest.importorskip(
        "PyNvVideoCodec", reason="PyNvVideoCodec is not installed: pip install 'dualface[gpu]'"
    )
    return gpu


@pytest.fixture
def device(gpu: int) -> Iterator[Device]:
    """A stream of its own on the GPU."""
    from dualface.hw.cuda import open_device

    opened = open_device(gpu)
    yield opened
    while nodes.OPEN:  # those of a test that failed
        nodes.OPEN[-1].close()
    opened.owner.synchronize()
