"""No config file and no typed key makes Hydra run code; what is meant to be set can be."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import Film, make

from dualface.app import main

HOOK = "{_target_: evil.Hook}"
LOGGING = "{version: 1, root: {handlers: [x]}, handlers: {x: {'()': evil.Hook}}}"
FILES = {  # of a folder given by --config-dir: an attack each
    "header": ("graph/bad.yaml", f"# @package _global_\nhydra: {{callbacks: {{x: {HOOK}}}}}", "graph=bad"),
    "logging": ("hw/bad.yaml", f"# @package _global_\nhydra: {{hydra_logging: {LOGGING}}}", "hw=bad"),
    "job logging": ("layout/bad.yaml", f"# @package hydra.job_logging\n{LOGGING}", "layout=bad"),
    "package": ("graph/bad.yaml", f"# @package hydra.callbacks.x\n{HOOK}", "graph=bad"),
    "parent": ("graph/bad.yaml", f"# @package _global_.hydra.callbacks.x\n{HOOK}", "graph=bad"),
    "experiment": (
        "experiment/bad.yaml",
        f"# @package _global_\nhydra: {{callbacks: {{x: {HOOK}}}}}",
        "+experiment=bad",
    ),
    "own group": ("mine/bad.yaml", f"# @package hydra.callbacks.x\n{HOOK}", "+mine=bad"),
    "choice": (
        "experiment/bad.yaml",
        "# @package _global_\ndefaults: [override /hydra/hydra_logging: default]",
        "+experiment=bad",
    ),
    "pulled": ("graph/bad.yaml", "defaults: [/hydra/launcher@nodes: basic]", "graph=bad"),
    "target": ("graph/bad.yaml", f"nodes: {{a: {HOOK}}}", "graph=bad"),
    "overwrite": ("graph/bad.yaml", "# @package _global_\noverwrite: true", "graph=bad"),
    "limits": (
        "experiment/bad.yaml",
        "# @package _global_\nlimits: {pixels: 1000000000000}",
        "+experiment=bad",
    ),
    "protocols": ("experiment/bad.yaml", "# @package _global_\nprotocols: [http]", "+experiment=bad"),
    "shadow": ("hydra/config.yaml", "x: 1", "quiet=true"),
    "shadowed choice": ("hydra/launcher/basic.yaml", "n_jobs: 1", "quiet=true"),
    "record": ("hw/bad.yaml", "# @package _global_\nrecord: true", "hw=bad"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in, with a video; importing ``evil`` leaves a file."""
    make(tmp_path / "a.mp4", Film(times=range(3)))
    (tmp_path / "evil.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    yield tmp_path
    assert not (tmp_path / "ran").exists(), "a config ran code"
    sys.modules.pop("evil", None)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("action", ["run", "plan"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_reaches_only_what_it_describes(
    name: str, action: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, text, arg = FILES[name]
    put(folder / "conf" / file, text)
    assert main(["--config-dir", "conf", arg, f"action={action}", "input=a.mp4"]) == 2
    told = capsys.readouterr().err
    assert f"{file}: it " in told
    assert told.count("\n") == 1
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    "put_there",
    ["/layout@_global_.hydra.job_logging.root: solo", "/layout@_global_.hydra.callbacks.x: solo",
     "/node/write@_global_.hydra.job_logging.formatters: people"],
)  # fmt: skip
def test_nor_are_dualface_s_own_configs_put_where_hydra_runs_them(
    put_there: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"# @package _global_\ndefaults: [{{{put_there}}}, dualface@_global_.graph, _self_]"
    put(folder / "conf" / "graph" / "bad.yaml", text)
    assert main(["--config-dir", "conf", "graph=bad", "input=a.mp4", "output=b.mp4"]) == 2
    assert "which no config file may" in capsys.readouterr().err
    assert not (folder / "b.mp4").exists()


def test_nor_does_a_main_config_name_places_to_search(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(folder / "home"))
    text = "# @package graph\ndefaults: [_self_]\nhydra: {searchpath: ['pkg://evil']}"
    put(folder / "home" / "config" / "mine.yaml", text)
    assert main(["--config-name", "mine", "action=plan", "input=a.mp4"]) == 2
    assert "mine.yaml: it sets something of Hydra's own" in capsys.readouterr().err


def test_a_user_s_file_may_be_called_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(folder / "home"))
    put(folder / "home" / "config" / "settings.yaml", "quiet: true")
    assert main(["action=plan", "input=a.mp4"]) == 0


def outside(*args: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own: joblib keeps its workers, and the folder they are in."""
    return subprocess.run([sys.executable, "-m", "dualface", *args], capture_output=True, text=True)


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_nor_in_a_sweep_and_the_others_go_on(launcher: str, folder: Path) -> None:
    files = [FILES["header"][:2], FILES["logging"][:2], ("graph/over.yaml", FILES["overwrite"][1])]
    for file, text in files:
        put(folder / "conf" / file, text)
    args = ["-m", f"hydra/launcher={launcher}", "--config-dir", "conf", "input=a.mp4", "quiet=true"]
    done = outside(*args, "graph=solo,bad,over", "hw=auto,bad")
    assert done.returncode == 1, done.stderr
    (table,) = (folder / "runs" / "multirun").rglob("summary.csv")
    rows = list(csv.DictReader(table.open()))
    assert [row["status"] for row in rows] == ["done", *["refused"] * 5]
    for file, row in zip(("", "hw/bad", "graph/bad", "", "graph/over"), rows, strict=False):
        assert f"{file}.yaml: it sets" in row["problem"] or not file


def test_nor_from_outside_of_any_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "bad.yaml", f"# @package hydra.callbacks.x\n{HOOK}")
    put(folder / "conf" / "graph" / "far.yaml", f"defaults: [/{folder}/bad]")
    put(folder / "conf" / "graph" / "near.yaml", f"defaults: [{'../' * 30}{folder}/bad]")
    for name in ("far", "near"):
        assert main(["--config-dir", "conf", f"graph={name}", "input=a.mp4"]) == 2
        assert "it sets something of Hydra's own" in capsys.readouterr().err


def test_nor_from_the_user_s_own_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(folder / "home"))
    put(folder / "home" / "config" / "graph" / "bad.yaml", FILES["header"][1])
    put(folder / "home" / "config" / "bad.yaml", f"defaults: [config]\nhydra: {{callbacks: {{x: {HOOK}}}}}")
    for arg in ("graph=bad", "--config-name=bad"):
        assert main([arg, "input=a.mp4"]) == 2
        assert "bad.yaml: it sets something of Hydra's own" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        ["+hydra.callbacks.x._target_=evil.Hook"],
        ["++hydra.callbacks.x={_target_:evil.Hook}"],
        ["+hydra.launcher.x._target_=evil.Hook"],
        ["+hydra.sweeper={x:{_target_:evil.Hook}}"],
        ["hydra.job_logging.handlers={x:{'()':evil.Hook}}"],
        ["hydra.searchpath=[file:///tmp]"],
        ["hydra.foo=1"],
        ["~hydra.callbacks.dualface"],
        ["hydra/job_logging=default"],
        ["+layout@hydra.callbacks.x=solo"],
        ["layout@_global_=solo"],
        ["--config-path", "conf"],
        ["-cp", "conf"],
        ["--experimental-rerun", "a.pickle"],
        ["-m", "+hydra.sweeper.params={hydra.callbacks.x._target_:evil.Hook}"],
        ["-m", "+hydra.sweeper.params={hydra.verbose:true}"],
    ],
)
def test_hydra_s_settings_are_closed(
    args: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "conf").mkdir()
    assert main([*args, "input=a.mp4"]) == 2
    told = capsys.readouterr().err
    assert "closed-setting" in told or "bad-flag" in told


def test_what_is_meant_to_be_set_can_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(folder / "home"))
    put(folder / "conf" / "experiment" / "mine.yaml", "# @package _global_\nquiet: true\nhw: {cpu_slots: 1}")
    put(folder / "conf" / "layout" / "mine.yaml", "defaults: [stacked]")
    put(folder / "home" / "config" / "mine.yaml", "defaults: [config, _self_]\nquiet: true")
    own = ["--config-dir", "conf", "input=a.mp4", "+experiment=mine"]
    assert main([*own, "layout=mine", "--config-name=mine", "hydra.run.dir=one"]) == 0
    assert (folder / "one" / "report.json").is_file()
    sweep = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=many"]
    sweep += [
        "hydra.sweep.subdir=n${hydra.job.num}",
        "+hydra.sweeper.params={layout:'mine,solo'}",
    ]
    assert outside(*own, *sweep).returncode == 0
    assert sorted(p.parent.name for p in (folder / "many").rglob("report.json")) == ["n0", "n1"]


def test_the_main_config_may_be_in_a_given_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "my, ü conf" / "mine.yaml", "defaults: [config, _self_]\nquiet: true\nobjective: totals.fps")
    own = ["--config-dir", "my, ü conf", "--config-name", "mine"]
    assert main([*own, "--cfg", "job", "--package", "quiet"]) == 0
    assert capsys.readouterr().out == "True\n"
    assert main([*own, "input=a.mp4", "hydra.run.dir=one"]) == 0
    assert main([*own, "-m", "input=a.mp4", "hydra.sweep.dir=many"]) == 0
    assert "totals.fps" not in capsys.readouterr().err
    assert "fps (higher is better)" in (folder / "many" / "summary.csv").read_text()
    put(folder / "my, ü conf" / "bad.yaml", f"defaults: [config]\nhydra: {{callbacks: {{x: {HOOK}}}}}")
    assert main([*own[:-1], "bad", "action=hw"]) == 2
    assert main(["--config-name", "mine", "action=hw"]) == 2  # without its folder
