"""A checkout that is newer than its installation says so."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from dualface import installation
from dualface.app import main
from dualface.hw.doctor import doctor
from dualface.hw.layers import Layer

PROJECT = """
[project]
scripts = {dualface = "dualface.entry:main"}
[project.entry-points."dualface.nodes"]
"decode/new" = "dualface.nodes.new:New"
"decode/moved" = "dualface.nodes.here:Moved"
"decode/old" = "dualface.nodes.old:Old"
"""
WRITTEN = """
[console_scripts]
dualface = dualface.entry:main
[dualface.nodes]
decode/moved = dualface.nodes.there:Moved
decode/gone = dualface.nodes.gone:Gone
decode/old = dualface.nodes.old:Old
"""


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout with a new node, a moved one and one that it has no more."""
    info = tmp_path / "dualface-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text(WRITTEN)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    monkeypatch.setattr(installation, "checkout", lambda: tmp_path)
    whole = importlib.metadata.distribution
    monkeypatch.setattr(
        importlib.metadata,
        "distribution",
        lambda name: importlib.metadata.PathDistribution(info) if name == "dualface" else whole(name),
    )


@pytest.mark.usefixtures("pulled")
def test_what_differs_is_named() -> None:
    assert installation.stale() == ("decode/gone", "decode/moved", "decode/new")


def test_what_is_no_checkout_is_never_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "checkout", lambda: None)
    assert installation.stale() == ()


@pytest.mark.usefixtures("pulled")
def test_doctor_finds_it() -> None:
    (check,) = (c for c in doctor(machine=Layer("probed", {"gpus": []})) if c.name == "installation")
    assert check.needed
    assert not check.ok
    assert "decode/new" in check.message
    assert "pip install -e ." in check.hint


@pytest.mark.usefixtures("pulled")
def test_a_kind_that_is_not_known_yet(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["action=nodes", "kind=decode/new"]) == 2
    assert "as to decode/new. Run: pip install -e ." in capsys.readouterr().err
    assert run("action=plan", "~graph.nodes.decode.auto", "+graph.nodes.decode.kind=decode/new") == 2
    assert "as to decode/new. Run: pip install -e ." in capsys.readouterr().err
    assert main(["action=nodes", "kind=decode/nope"]) == 2
    assert "pip install" not in capsys.readouterr().err
