"""What one look at the machine tells, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_nvml import Card, FakeNvml

from dualface.hw import sampling
from dualface.hw.sampling import Sampler, disks


@pytest.fixture
def look(request: pytest.FixtureRequest) -> object:
    made: list[Sampler] = []

    def make(*folders: Path, **options: object) -> Sampler:
        made.append(Sampler(folders, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sampler in made:
        sampler.close()


def test_a_gpu_tells_everything(nvml: FakeNvml, look: object) -> None:
    nvml.cards[0].clocks = 0x40 | 0x04 | 0x01  # heat; its power cap; and that it idles, which is no matter
    gpu = look()().gpus[0]
    assert (gpu.index, gpu.load_percent, gpu.decoder_percent, gpu.encoder_percent) == (0, 40, 30, 20)
    assert (gpu.vram_used_mb, gpu.vram_total_mb, gpu.celsius, gpu.watts) == (4096, 32607, 55, 210.5)
    assert gpu.throttle == ("power cap", "hardware thermal slowdown")
    assert gpu.throttled == 1


@pytest.mark.parametrize(
    ("bits", "throttled"), [(0, 0), (0x04, 0), (0x01, 0), (0x20, 1), (0x08, 1), (0x80, 1)]
)
def test_only_trouble_counts_as_throttling(nvml: FakeNvml, look: object, bits: int, throttled: int) -> None:
    nvml.cards[0].clocks = bits
    assert look()().gpus[0].throttled == throttled


def test_newer_drivers_have_another_name_for_the_reasons(
    nvml: FakeNvml, look: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        FakeNvml, "nvmlDeviceGetCurrentClocksEventReasons", lambda self, card: 0x80, raising=False
    )
    assert look()().gpus[0].throttle == ("power brake",)


def test_what_the_driver_refuses_is_missing_and_nothing_else(nvml: FakeNvml, look: object) -> None:
    nvml.cards[:] = [
        Card(load=None, decoder=None, encoder_load=None, celsius=None, milliwatts=None, clocks=None)
    ]
    figures = look()().figures()
    assert {name for name in figures if name.startswith("gpu")} == {"gpu0_vram_used_mb", "gpu0_vram_total_mb"}


def test_a_lost_card_and_hidden_ones_are_left_out(
    nvml: FakeNvml, look: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvml.cards[:] = [Card(load=1), Card(load=2), Card(load=3)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1")
    assert [(gpu.index, gpu.load_percent) for gpu in look()().gpus] == [(0, 3), (1, 2)]
    sampler = look()
    nvml.cards[2].lost = True
    monkeypatch.setattr(FakeNvml, "nvmlDeviceGetUtilizationRates", lambda self, card: _lost())
    assert [gpu.load_percent for gpu in sampler().gpus] == [None, None]


def _lost() -> object:
    from fake_nvml import NVMLError

    raise NVMLError(15, "GPU is lost")


def test_without_a_driver_there_is_the_rest(nvml: FakeNvml, look: object, tmp_path: Path) -> None:
    nvml.init_error = "Driver Not Loaded"
    sampler = look(tmp_path)
    sampler()
    time.sleep(0.05)
    figures = sampler().figures()
    assert set(figures) == {
        "cpu_percent", "process_cpu_percent", "memory_used_mb", "process_memory_mb", "disk0_free_mb",
    }  # fmt: skip
    assert 0 <= figures["cpu_percent"] <= 100
    assert 5 < figures["process_memory_mb"] < figures["memory_used_mb"]


def test_the_first_look_claims_no_load(nvml: FakeNvml, look: object) -> None:
    first = look()()
    assert (first.cpu_percent, first.process_cpu_percent) == (None, None)


def test_children_count_with_their_parent(
    nvml: FakeNvml, look: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "RELIST", 0.0)
    sampler = look()
    alone = sampler().process_memory_mb
    code = "held = bytearray(b'x' * (200 << 20)); print('.', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        assert sampler().process_memory_mb > alone + 180
    finally:
        child.communicate(b"\n")
    assert sampler().process_memory_mb < alone + 100


def test_free_space_is_by_disk_and_a_folder_that_is_gone_has_none(
    nvml: FakeNvml, look: object, tmp_path: Path
) -> None:
    free = {tmp_path: 3 << 20}
    sample = look(tmp_path, tmp_path / "gone", free=lambda folder: free.get(folder) or _gone())()
    assert sample.free_mb == (3.0, None)
    assert "disk1_free_mb" not in sample.figures()
    assert look(tmp_path)().free_mb[0] == pytest.approx(sampling.free_bytes(tmp_path) / 2**20, rel=0.2)


def _gone() -> int:
    raise FileNotFoundError


def test_folders_of_one_disk_share_its_number(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert disks([tmp_path, tmp_path / "a", tmp_path / "gone"]) == {
        tmp_path: 0, tmp_path / "a": 0, tmp_path / "gone": 1,
    }  # fmt: skip
