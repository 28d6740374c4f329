"""The cache of engines: found again by what they are for, loaded only where nobody else can write."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from dualface.infer import engines
from dualface.infer.engines import Target

TARGET = Target("NVIDIA GeForce RTX 5090", "12.0", "580.95.05")
PROFILE = engines.profile((), (384, 224), 8)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    return engines.path(b"network", "tensorrt", "11.4", TARGET, PROFILE)


def test_what_was_kept_is_loaded_and_is_this_users_alone(file: Path) -> None:
    assert engines.load(file) is None
    engines.save(file, b"plan")
    assert engines.load(file) == b"plan"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in file.parent.iterdir()] == [file.name], "a temporary file was left"


def test_another_file_for_everything_an_engine_depends_on(file: Path) -> None:
    name, version = "tensorrt", "11.4"
    files = [
        file,
        engines.path(b"other", name, version, TARGET, PROFILE),
        engines.path(b"network", "tensorrt_rtx", version, TARGET, PROFILE),
        engines.path(b"network", name, "11.5", TARGET, PROFILE),
        engines.path(b"network", name, version, TARGET, dataclasses.replace(PROFILE, batch=32)),
        *(
            engines.path(b"network", name, version, dataclasses.replace(TARGET, **{key: "9"}), PROFILE)
            for key in ("name", "compute_capability", "driver")
        ),
    ]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_can_write_is_not_loaded(file: Path, mode: int) -> None:
    engines.save(file, b"plan")
    file.chmod(mode)
    assert engines.load(file) is None


def test_a_folder_that_others_can_write_is_not_trusted(file: Path) -> None:
    engines.save(file, b"plan")
    file.parent.chmod(0o777)
    assert engines.load(file) is None


def test_a_folder_that_others_could_write_is_closed_and_emptied(file: Path) -> None:
    engines.save(file, b"plan")
    file.parent.chmod(0o777)
    assert engines.folder() == file.parent
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert not file.exists()
    engines.save(file, b"plan")
    file.parent.chmod(0o755)  # others could read it
    engines.folder()
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert engines.load(file) == b"plan"


def test_a_pipe_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file, 0o600)
    assert engines.load(file) is None


def test_a_file_of_somebody_else_is_not_loaded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines.save(file, b"plan")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert engines.load(file) is None


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    engines.save(tmp_path / "elsewhere", b"plan")
    file.symlink_to(tmp_path / "elsewhere")
    assert engines.load(file) is None


def test_a_damaged_file_is_not_loaded(file: Path) -> None:
    engines.save(file, b"plan of some length")
    file.write_bytes(file.read_bytes()[:-1])
    assert engines.load(file) is None
    file.write_bytes(b"")
    assert engines.load(file) is None
