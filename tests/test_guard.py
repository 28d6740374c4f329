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
    "faults": ("graph/bad.yaml", "# @package _global_\nfaults: [{node: encode}]", "graph=bad"),
    "faults in a group": ("mine/bad.yaml", "# @package _global_\nfaults: [{node: encode}]", "+mine=bad"),
    "rules that record": ("recovery/bad.yaml", "# @package _global_\nrecord: true", "recovery=bad"),
    "rules for a graph": ("recovery/bad.yaml", "# @package _global_\ngraph: {name: x}", "recovery=bad"),
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


ENV = "${oc.env:DUALFACE_HOME}"
CONTENTS = {  # a graph's text, and what is said of it
    "environment": (f"name: {ENV}", "calls a resolver"),
    "in a key": (f"nodes: {{'{ENV}': {{}}}}", "calls a resolver"),
    "in the defaults": (f"defaults: [{{/layout@nodes.x: '{ENV}'}}]", "calls a resolver"),
    "a defaults item": (f"defaults: ['{ENV}']", "calls a resolver"),
    "decoded": (r"name: '${oc.decode:\${oc.env:DUALFACE_HOME}}'", "calls a resolver"),
    "escaped": (r"name: '\${oc.env:DUALFACE_HOME}'", "calls a resolver"),
    "by another's name": ("name: '${oc.${layout.width}:HOME}'", "calls a resolver"),
    "hydra's": ("name: '${hydra:runtime.cwd}'", "calls a resolver"),
    "one of somebody's": ("name: '${evil:}'", "calls a resolver"),
    "NUL": (r'output: "outputs/a\0.mp4"', "a character that cannot be shown"),
    "a terminal's": (r'name: "\e[31m"', r"the text \x1b[31m holds a character that cannot be shown"),
    "half a character": (r'name: "\ud800"', "a character that cannot be shown"),
    "a number as key": ("nodes: {7: {}}", "the key 7 is no text. Put quotes around it"),
    "off as key": ("nodes: {off: {}}", "the key False is no text"),
    "no map": ("[a, b]", "it holds no keys"),
    "a date": (
        "name: !!timestamp 2026-13-45",
        "it holds a value that cannot be read (month must be in 1..12)",
    ),
    "digits": (f"name: {'9' * 5000}", "it holds a value that cannot be read (Exceeds the limit"),
    "nothing as number": ("name: !!int ''", "it holds a value that cannot be read"),
    "no bool": ("name: !!bool maybe", "it holds a value that cannot be read"),
    "defaults of text": ("defaults: solo", "its defaults hold 'solo', which is no choice of a config"),
    "defaults of a map": ("defaults: {layout: solo}", "which is no choice of a config"),
    "a number in defaults": ("defaults: [5]", "its defaults hold 5, which is no choice of a config"),
    "two in one": ("defaults: [{a: b, c: d}]", "which is no choice of a config"),
    "a map as choice": ("defaults: [{/layout: {a: b}}]", "which is no choice of a config"),
    "long": ("# " + "a" * 300_000, "it has more than 262144 bytes, which no config needs"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_no_file_may_hold_is_a_sentence(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, says = CONTENTS[name]
    put(folder / "conf" / "graph" / "bad.yaml", text)
    assert main(["--config-dir", "conf", "graph=bad", "action=plan"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{folder}/conf/graph/bad.yaml: ")
    assert says in told
    assert told.count("\n") == 1
    assert os.environ["DUALFACE_HOME"] not in told


def test_keys_may_be_referred_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "defaults: [dualface, _self_]\nname: '${layout.width}x${..action}, a: b 가　나'"
    put(folder / "conf" / "graph" / "good.yaml", text.replace("${..action}", "${action}"))
    assert main(["--config-dir", "conf", "graph=good", "action=plan"]) == 0
    assert "1920xplan, a: b 가　나" in capsys.readouterr().out


def test_what_a_refusal_in_a_sweep_cites_is_not_followed(folder: Path) -> None:
    put(folder / "conf" / "graph" / "bad.yaml", f"name: {ENV}")
    args = ["-m", "--config-dir", "conf", "input=a.mp4", "quiet=true", "graph=bad,solo"]
    assert main(args) == 1
    (table,) = (folder / "runs" / "multirun").rglob("summary.csv")
    problems = [row["problem"] for row in csv.DictReader(table.open())]
    assert f"{ENV} calls a resolver" in problems[0]
    assert not problems[1]


def test_what_is_typed_may_call_resolvers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHAT", "mine")
    assert main(["action=plan", "graph.name=${oc.env:WHAT}"]) == 0
    assert "mine" in capsys.readouterr().out


def test_shapes_that_hydra_does_not_expect_are_sentences(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["action=plan", "+graph=[{a: x}]"]) == 2
    assert "Something went wrong" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["nam", "7: 1", "[1]", f"name: {ENV}"])
def test_a_target_holds_no_more_than_a_config(
    text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "conf" / "hw" / "mine.yaml", text)
    assert main(["--config-dir", "conf", "action=models", "model=yunet", "target=mine"]) == 2
    assert "mine.yaml: " in capsys.readouterr().err
