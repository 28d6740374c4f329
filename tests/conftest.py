"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None)  # a shared machine may be slow at any moment
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def footage() -> Path:
    """The folder with real two-person footage; skips where there is none."""
    folder = Path(os.environ.get("DUALFACE_FOOTAGE", ROOT.parent / "shared" / "media"))
    if not (folder / "duo_1080p.mp4").is_file():
        pytest.skip("no test footage: set DUALFACE_FOOTAGE to a folder that holds duo_1080p.mp4")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own config and caches out of the tests."""
    shared = tmp_path_factory.getbasetemp() / "home"
    shared.mkdir(exist_ok=True)
    monkeypatch.setenv("DUALFACE_HOME", str(shared))
