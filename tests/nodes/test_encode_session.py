"""A session of NVENC: what it holds and for how long, what it refuses, and what it relies on in
PyNvVideoCodec. Only the last test runs the chip, where there is one."""

from __future__ import annotations

import gc
import importlib.util
import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from standins import nvenc_contract as contract
from standins.device import STREAM, Device, DeviceArray
from standins.machine import Machine
from standins.pynvvideocodec import Chip

from dualface.graph import node as nodes
from dualface.graph.errors import DeviceError
from dualface.nodes.encode.nvenc import NvencConfig, options
from dualface.nodes.encode.session import Session


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made.chip.module)
    return made


def noise(n: int = 4, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (n, 192, 160), np.uint8)


def session(height: int = 128) -> Session:
    return Session(nodes.Device(0, STREAM), 160, height, options(NvencConfig(), Fraction(30)))


def test_frames_are_held_until_they_are_read_and_no_longer(machine: Machine) -> None:
    one = session()
    alive = []
    got = []
    for k in range(6):
        got += [coded.index for coded in one.encode(machine.device.put(noise(2, k)))]
        gc.collect()
        alive.append(len(machine.device.alive))
    assert got == list(range(9)), "three frames wait in the encoder"
    assert alive == [1, 2, 2, 2, 2, 2]
    assert [coded.index for coded in one.finish()] == [9, 10, 11]
    assert len(machine.device.alive) == 0


def test_views_of_a_larger_batch(machine: Machine) -> None:
    one, batch = session(), machine.device.put(noise(8))
    assert len([*one.encode(batch[:3]), *one.encode(batch[3:]), *one.finish()]) == 8


PIXELS = {
    "another size": noise()[:, :96],
    "another type": noise().astype(np.uint16),
    "rows with gaps": np.zeros((4, 192, 320), np.uint8)[:, :, :160],
    "every second row": np.zeros((4, 384, 160), np.uint8)[:, ::2],
}


@pytest.mark.parametrize("pixels", PIXELS.values(), ids=PIXELS)
def test_pictures_it_cannot_take_are_the_callers_fault(
    machine: Machine, pixels: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(ValueError, match="frames"):
        list(session().encode(DeviceArray(pixels, pixels)))


def test_the_stand_in_notices_what_the_chip_would_not(machine: Machine) -> None:
    def start() -> tuple[Session, DeviceArray]:
        one, batch = session(), machine.device.put(noise(2))
        list(one.encode(batch))
        return one, batch

    one, batch = start()
    batch.host[1, 5, 5] ^= 1
    with pytest.raises(DeviceError, match="overwritten before it was read"):
        list(one.finish())
    one, batch = start()
    one._held.clear()
    del batch
    gc.collect()
    with pytest.raises(DeviceError, match="given back"):
        list(one.finish())
    one, batch = start()
    one._next = 0
    with pytest.raises(DeviceError, match="frame 0 after frame 1"):
        list(one.encode(batch))
    one, batch = start()
    list(one.finish())
    with pytest.raises(DeviceError, match="nothing may follow EndEncode"):
        list(one.encode(batch))
    one = session()
    with pytest.raises(DeviceError, match="not the device's memory"):
        list(one.encode(DeviceArray(noise())))
    with pytest.raises(DeviceError, match="default stream"):
        Session(nodes.Device(0, 0), 160, 128, options(NvencConfig(), None))
    with pytest.raises(DeviceError, match="no option"):
        Session(nodes.Device(0, STREAM), 160, 128, options(NvencConfig(), None) | {"profile": "high"})


# The contract, for the stand-in and for the real module.


def test_the_stand_in_keeps_the_contract() -> None:
    assert list(contract.faults(Chip(Device()).module)) == []


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("rate", ["cbr", "vbr", "quality", "constqp"])
def test_only_what_is_in_the_contract_is_used(codec: Any, rate: Any) -> None:
    most = 9_000_000 if rate == "vbr" else None
    for effort in range(1, 8):
        config = NvencConfig(codec=codec, rate=rate, effort=effort, max_bitrate=most)
        for key, value in options(config, None).items():
            assert key in contract.OPTIONS
            assert value in contract.VALUES.get(key, (value,))


def installed_package() -> Path:
    spec = importlib.util.find_spec("PyNvVideoCodec")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("PyNvVideoCodec is not installed")
    return Path(spec.submodule_search_locations[0])


def test_the_installed_package_has_every_name() -> None:
    assert list(contract.strings_missing(installed_package())) == []


def real() -> Any:
    installed_package()
    try:
        import PyNvVideoCodec
    except Exception as error:
        pytest.skip(f"PyNvVideoCodec does not start here: {str(error).splitlines()[0]}")
    return PyNvVideoCodec


def test_the_real_module_keeps_the_contract() -> None:
    assert list(contract.faults(real())) == []


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_the_chip_encodes_or_says_why_not(codec: str) -> None:
    real()
    cupy = pytest.importorskip("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    chosen = options(NvencConfig(codec=codec), Fraction(30))  # type: ignore[arg-type]
    with stream:
        batch = cupy.asarray(np.random.default_rng(0).integers(0, 255, (8, 540, 640), np.uint8))
        try:
            one = Session(nodes.Device(0, stream.ptr), 640, 360, chosen)
        except DeviceError as error:
            pytest.skip(str(error))
        coded = [*one.encode(batch), *one.encode(batch), *one.finish()]
    assert [c.index for c in coded] == list(range(16))
    assert coded[0].key
    with av.open(io.BytesIO(b"".join(c.data for c in coded)), format={"av1": "obu"}.get(codec, codec)) as f:
        assert len(list(f.decode(video=0))) == 16
        if codec == "h264":
            assert f.streams.video[0].profile == "High"
