"""Doctor: findings are values with something to do, and nothing makes it fall over."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_nvml import H100, FakeNvml

from dualface.hw import doctor as module
from dualface.hw.doctor import Check, doctor
from dualface.hw.layers import Layer
from dualface.hw.probe import probe

NO_GPU = Layer("probed", {"gpus": []}, ("No NVIDIA GPU: none here.",))


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_everything_is_looked_at_here() -> None:
    found = by_name(doctor(machine=NO_GPU))
    for name in (
        "python",
        "packages",
        "ffmpeg encoders",
        "ffmpeg decoders",
        "cache folder",
        "memory",
        "nodes",
    ):
        assert found[name].ok, found[name]
    assert any(name.startswith("model ") for name in found)
    assert not found["gpu"].ok
    assert not found["gpu"].needed
    assert all(check.hint for check in found.values() if not check.ok)


def test_a_card_without_an_encoder(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.cards = [H100]
    found = by_name(doctor(machine=probe(cache=tmp_path / "c.json")))
    assert found["gpu 0"].message == "NVIDIA H100 80GB HBM3, 81559 MB, compute 9.0"
    assert found["nvdec"] == Check("nvdec", True, "7 engines on the chip", "", needed=False)
    assert (found["nvenc"].ok, found["nvenc"].hint) == (False, "Videos are encoded on the CPU (x264).")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "importable", lambda name: name not in ("av", "matplotlib"))
    found = by_name(doctor(machine=NO_GPU))
    assert found["packages"].message == "missing: av (decoding and encoding)"
    assert found["extra report"].hint == 'To have it: pip install "dualface[report]"'
    assert not found["extra report"].needed


def test_missing_codecs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENCODERS", ("libx264", "no_such_codec"))
    check = by_name(doctor(machine=NO_GPU))["ffmpeg encoders"]
    assert not check.ok
    assert check.message.startswith("missing: no_such_codec (PyAV")


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path / "file"))
    check = by_name(doctor(machine=NO_GPU))["cache folder"]
    assert not check.ok
    assert "cannot be written" in check.message


def test_no_room_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISK_MB", 1 << 60)
    assert not by_name(doctor(machine=NO_GPU))["disk for outputs"].ok


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("half an installation")

    monkeypatch.setattr("dualface.graph.registry.installed", broken)
    check = by_name(doctor(machine=NO_GPU))["plugins"]
    assert check.message == "could not be checked (RuntimeError: half an installation)"
