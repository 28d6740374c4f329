"""What recognition hands to a GPU, without one: the CPU does the kernel's work, and torch's."""

from __future__ import annotations

import ctypes
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import test_reid_embed
from test_reid_embed import scene

from dualface import zoo
from dualface.graph.errors import DeviceError
from dualface.graph.node import Device
from dualface.infer.shapes import pictures
from dualface.nodes.reid import align, embed_cuda
from dualface.nodes.reid.embed import Embedder
from dualface.nodes.reid.embed_cuda import CUT, DeviceNetworks

torch_network = pytest.importorskip("dualface.infer.torch", reason="torch is not installed")

made = test_reid_embed.made  # the fixture


class There:
    """As a CuPy array, over memory of the host."""

    def __init__(self, array: Any) -> None:
        self.host = array.numpy() if hasattr(array, "numpy") else array
        self.shape, self.strides, self.itemsize = self.host.shape, self.host.strides, self.host.itemsize
        self.data = SimpleNamespace(ptr=self.host.ctypes.data)

    def __getitem__(self, key: slice) -> There:
        return There(self.host[key])

    def get(self, stream: Any) -> Any:
        return self.host.copy()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Stands in for one; how many faces each launch was for."""
    launches, networks = list[int](), list[Any]()
    _, video, _ = scene()

    def open_network(backend: str, model: str, device: Device, *, batch: int, size: Any) -> Any:
        assert backend == "torch"
        path = zoo.onnx_path(model, half=True)
        networks.append(torch_network.TorchNetwork(path, pictures(path, batch, size), gpu=None, stream=0))
        return networks[-1]

    def cut_out(grid: Any, block: Any, given: Any) -> None:
        (call,) = given
        assert call.dtype == CUT
        rows, pitch = int(call["rows"]), int(call["pitch"])
        memory = (ctypes.c_uint8 * (rows * 3 // 2 * pitch)).from_address(int(call["source"]))
        picture = np.frombuffer(memory, np.uint8).reshape(-1, pitch)
        assert (rows, pitch) == (video.height, video.width)
        shown = next(
            There(n.input(n.inputs[0])) for n in networks if n.input(n.inputs[0]).data_ptr() == call["out"]
        )
        assert [4 * n for n in call["apart"]] == list(shown.strides)
        size = int(call["size"])
        assert grid[0] * block[0] >= size <= grid[1] * block[1]
        for n in range(grid[2]):
            way, channels = call["ways"][n].reshape(2, 3), call["weights"].reshape(3, 4)
            chip = align.cut_out(picture, video, way.astype(float), size, channels.astype(float))
            shown.host[n] = (chip - call["mean"]) * call["scale"]
            assert call["blocks"][n][0] == align.block_of(way)
        launches.append(grid[2])

    monkeypatch.setitem(
        sys.modules, "cupy", SimpleNamespace(asarray=lambda a: a if isinstance(a, There) else There(a))
    )
    monkeypatch.setattr(embed_cuda, "on", lambda device: nullcontext())
    monkeypatch.setattr(embed_cuda, "open_network", open_network)
    monkeypatch.setattr(embed_cuda, "kernel", lambda source, name, index: cut_out)
    return launches


def test_faces_get_the_numbers_that_they_get_on_the_cpu(made: Any, gpu: list[int]) -> None:
    picture, video, faces = scene()
    figures: dict[str, float] = {}
    networks = DeviceNetworks(Device(0, 7), lambda name, n: figures.update({name: figures.get(name, 0) + n}))
    embedder = Embedder(networks=networks)
    there, here = embedder.embed(There(picture), video, faces), Embedder().embed(picture, video, faces)
    assert there.shape == here.shape == (11, 128)
    assert np.abs(there - here).max() < 0.02 * np.abs(here).max()
    assert set(gpu) == {8, 3}, "eight at a time, and no more than there are"
    # Numbers only: YuNet's 189 cells of 16, and 128 a face.
    assert figures["device_to_host_bytes"] <= sum(gpu) * 4 * 189 * 16
    embedder.close()
    embedder.close()


def test_a_network_that_does_not_run_is_the_devices_fault(
    made: Any,
    gpu: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that with `auto` the job goes on without recognition."""

    def refuse(*given: Any, **more: Any) -> None:
        raise RuntimeError("CUDA out of memory\nTried to allocate")

    monkeypatch.setattr(embed_cuda, "open_network", refuse)
    picture, video, faces = scene()
    with pytest.raises(DeviceError, match=r"'yunet' does not run on the GPU: CUDA out of memory$"):
        Embedder(networks=DeviceNetworks(Device(0, 7), lambda *_: None)).embed(There(picture), video, faces)


def test_the_kernel_has_room_for_as_many_faces() -> None:
    text = Path(embed_cuda.SOURCE).read_text(encoding="utf-8")
    assert f"MOST = {embed_cuda.MOST};" in text
