"""Probing: cards by a stand-in for NVML, packages, cores, and the cache."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_nvml import H100, Card, FakeNvml

from dualface.graph.node import Needs
from dualface.hw import probe as module
from dualface.hw import system
from dualface.hw.engines import engines
from dualface.hw.layers import resolve
from dualface.hw.probe import asked, importable, machine_gpus, probe


def test_a_card_becomes_values(nvml: FakeNvml, tmp_path: Path) -> None:
    found = probe(cache=tmp_path / "c.json")
    assert found.values["gpus"] == [
        {
            "index": 0,
            "name": "NVIDIA GeForce RTX 5090",
            "vram_mb": 32607,
            "compute_capability": "12.0",
            "decode_engines": 2,
            "encode_engines": 3,
        }
    ]
    assert found.values["features"] == ["cuda", "nvdec", "nvenc"]
    assert found.notes == ()
    hardware = resolve({"name": "auto"}, machine=found).hardware
    assert (hardware.cuda_streams, hardware.decode_sessions, hardware.encode_sessions) == (3, 3, 3)
    assert hardware.vram_per_stream_mb * hardware.cuda_streams <= hardware.vram_limit_mb <= 32607


@pytest.mark.parametrize(
    ("asked_for", "names", "places"),
    [("1", ["H100"], [1]), ("1,0", ["H100", "NVIDIA GeForce RTX 5090"], [1, 0]), ("GPU-1", ["H100"], [1]),
     ("", [], []), ("MIG-7", [], [])],
)  # fmt: skip
def test_gpus_that_cuda_hides_are_none(
    nvml: FakeNvml,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked_for: str,
    names: list[str],
    places: list[int],
) -> None:
    nvml.cards = [Card(), Card(name="H100", capability=(9, 0))]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", asked_for)
    found = probe(cache=tmp_path / "c.json")
    gpus = found.values["gpus"]
    assert [gpu["name"] for gpu in gpus] == names
    hidden = f"No NVIDIA GPU: CUDA_VISIBLE_DEVICES={asked_for} names none that is here."
    assert (hidden in found.notes) == (not names)
    assert [gpu["index"] for gpu in gpus] == list(range(len(names)))
    assert machine_gpus() == places


def test_an_h100_has_no_encoder_although_nvml_says_so(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.cards = [H100]
    found = probe(cache=tmp_path / "c.json")
    assert found.values["features"] == ["cuda", "nvdec"]
    resolved = resolve({"name": "auto"}, machine=found)
    assert (resolved.hardware.encode_sessions, resolved.warnings) == (0, ())


def test_two_cards_share_the_smaller_ones_budget(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.cards = [Card(), Card("NVIDIA GeForce RTX 3060", 12288, (8, 6))]
    hardware = resolve({"name": "auto"}, machine=probe(cache=tmp_path / "c.json")).hardware
    assert [gpu.index for gpu in hardware.gpus] == [0, 1]
    assert hardware.vram_limit_mb == 9216
    assert (hardware.cuda_streams, hardware.encode_sessions) == (1, 1)


def test_a_lost_card_does_not_take_the_other_down(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.cards = [Card(lost=True), Card()]
    assert [gpu["index"] for gpu in probe(cache=tmp_path / "c.json").values["gpus"]] == [1]


def test_no_driver_is_a_note_not_an_error(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.init_error = "Driver Not Loaded"
    found = probe(cache=tmp_path / "c.json")
    assert (found.values["gpus"], found.values["features"]) == ([], [])
    assert found.notes == ("No NVIDIA GPU: the NVIDIA driver does not answer (Driver Not Loaded).",)
    hardware = resolve({"name": "auto"}, machine=found).hardware
    assert (hardware.gpus, hardware.cuda_streams, hardware.vram_limit_mb) == ((), 0, 0)


def test_missing_driver_libraries_take_the_feature_away(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_library", lambda feature: feature != "nvenc")
    found = probe(cache=tmp_path / "c.json")
    assert found.values["features"] == ["cuda", "nvdec"]
    assert "libnvidia-encode.so.1 cannot be loaded" in found.notes[0]


def test_the_cache_holds_until_driver_or_versions_change(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "deep" / "c.json"
    first = probe(cache=cache)
    assert nvml.calls == 1
    assert probe(cache=cache) == first
    assert nvml.calls == 1
    probe(refresh=True, cache=cache)
    assert nvml.calls == 2
    nvml.driver = "581.01"
    probe(cache=cache)
    assert nvml.calls == 3
    monkeypatch.setattr(module, "_versions", lambda: {"torch": "99"})
    probe(cache=cache)
    assert nvml.calls == 4
    nvml.cards = [replace(Card(), name="NVIDIA GeForce RTX 4090", vram_mb=24564)]
    assert probe(cache=cache).values["gpus"][0]["vram_mb"] == 24564


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null", '{"gpus": [{}]}'])
def test_a_damaged_cache_is_measured_again(nvml: FakeNvml, tmp_path: Path, text: str) -> None:
    cache = tmp_path / "c.json"
    whole = probe(cache=cache)
    cache.write_text(text)
    assert probe(cache=cache) == whole
    assert json.loads(cache.read_text())["gpus"] == whole.values["gpus"]


def test_a_cache_with_damaged_cards_is_measured_again(nvml: FakeNvml, tmp_path: Path) -> None:
    cache = tmp_path / "c.json"
    whole = probe(cache=cache)
    kept = json.loads(cache.read_text())
    cache.write_text(json.dumps({**kept, "gpus": [{"name": "x"}]}))
    assert probe(cache=cache) == whole


def test_a_cache_that_cannot_be_written_is_left_alone(nvml: FakeNvml, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert probe(cache=tmp_path / "file" / "c.json").values["features"]


def test_a_cache_folder_that_cannot_be_made_is_left_alone(
    nvml: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path / "file"))
    assert probe().values["features"] == ["cuda", "nvdec", "nvenc"]


def test_the_users_cache_is_used_by_default(nvml: FakeNvml) -> None:
    from dualface.paths import cache_dir

    probe()
    assert (cache_dir() / "hardware.json").is_file()


def test_packages_are_found_without_importing_them(nvml: FakeNvml, tmp_path: Path) -> None:
    found = probe(cache=tmp_path / "c.json", packages=["json", "no_such_package_at_all"]).values["packages"]
    assert "json" in found
    assert "av" in found
    assert "no_such_package_at_all" not in found
    assert not importable("no_such_package_at_all.inside")


def test_what_kinds_ask_for() -> None:
    class Wants:
        @staticmethod
        def needs(config: object, memory: object) -> Needs:
            return Needs(packages=("mediapipe",))

    class Breaks:
        @staticmethod
        def needs(config: object, memory: object) -> Needs:
            raise RuntimeError

    kinds = [SimpleNamespace(cls=cls, config=dict) for cls in (Wants, Breaks)]
    assert asked(kinds) == {"mediapipe"}


@pytest.mark.parametrize(
    ("name", "capability", "encoder", "expected"),
    [
        ("NVIDIA GeForce RTX 5090", "12.0", True, (2, 3)),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", "12.0", True, (2, 3)),
        ("NVIDIA GeForce RTX 4090", "8.9", None, (1, 2)),
        ("NVIDIA A100-SXM4-80GB", "8.0", None, (5, 0)),
        ("NVIDIA A10", "8.6", True, (2, 1)),
        ("NVIDIA A10G", "8.6", True, (2, 1)),
        ("NVIDIA L4", "8.9", True, (4, 2)),
        ("NVIDIA L40S", "8.9", True, (3, 3)),
        ("Tesla T4", "7.5", True, (2, 1)),
        ("NVIDIA H200", "9.0", True, (7, 0)),
        ("Some new card", "13.0", True, (1, 1)),
        ("Some new card", "13.0", False, (1, 0)),
        ("Some new compute card", "10.0", True, (1, 0)),
    ],
)
def test_engines(name: str, capability: str, encoder: bool | None, expected: tuple[int, int]) -> None:
    assert engines(name, capability, encoder) == expected


@pytest.mark.parametrize(("text", "cores"), [("max 100000", 64), ("150000 100000", 2), ("rubbish", 64)])
def test_cores_follow_affinity_and_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, cores: int
) -> None:
    monkeypatch.setattr(system.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text(text)
    assert system.cpu_cores(tmp_path) == cores
    monkeypatch.setattr(system.os, "sched_getaffinity", lambda pid: {3}, raising=False)
    assert system.cpu_cores(tmp_path) == 1


def test_the_first_generation_of_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    for name, value in (("cpu/cpu.cfs_quota_us", 300000), ("cpu/cpu.cfs_period_us", 100000)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(str(value))
    assert system.cpu_cores(tmp_path) == 3
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1")
    assert system.cpu_cores(tmp_path) == 64


def test_memory_follows_the_containers_limit(tmp_path: Path) -> None:
    whole = system.memory_mb(tmp_path)
    (tmp_path / "memory.max").write_text(str(256 << 20))
    assert system.memory_mb(tmp_path) == 256
    (tmp_path / "memory.max").write_text("max")
    assert system.memory_mb(tmp_path) == whole
