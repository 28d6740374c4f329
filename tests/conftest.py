"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from dualface.app import main

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


GRAPH = """
defaults: [/node/decode@nodes.decode: auto, /node/encode@nodes.encode: auto, _self_]
name: copy
output: outputs/{name}_copy.mp4
nodes:
  encode: {inputs: {frames: decode.frames, source: decode.source}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The command in an empty folder, on a small graph of its own: decode → encode."""
    (tmp_path / "conf" / "graph").mkdir(parents=True)
    (tmp_path / "conf" / "graph" / "copy.yaml").write_text(GRAPH)
    monkeypatch.chdir(tmp_path)
    return lambda *args: main(["--config-dir", str(tmp_path / "conf"), "graph=copy", "quiet=true", *args])
