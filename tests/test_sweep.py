"""Sweeps: each run a line of the table, and what is wrong with all of them told before any begins."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from media import Film, make

from dualface.sweep import options

Run = Callable[..., int]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_a_sweep_goes_on_after_a_failure(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4", Film(times=range(5)))
    assert run("-m", "input=a.mp4", "graph.nodes.encode.crf=20,99,30") == 1
    (table,) = (tmp_path / "runs" / "multirun").rglob("summary.csv")
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 3
    assert [row["status"] for row in rows].count("done") == 2
    assert len(list((tmp_path / "runs").rglob("a_copy.mp4"))) == 2


def test_a_run_that_cannot_be_composed_is_a_line_of_the_table(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4", Film(times=range(5)))
    assert run("-m", "input=a.mp4", "overwrite=true,maybe,false") == 1
    assert "overwrite: it cannot be 'maybe'" in said(capsys)
    (table,) = (tmp_path / "runs" / "multirun").rglob("summary.csv")
    rows = list(csv.DictReader(table.open()))
    assert [row["status"] for row in rows] == ["done", "refused", "done"]
    assert "it cannot be 'maybe'" in rows[1]["problem"]
    assert "seconds_per_source_second (lower is better)" in rows[0]


def test_the_table_names_the_objective(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", Film(times=range(5)))
    assert run("-m", "input=a.mp4", "objective=totals.frames") == 0
    (table,) = (tmp_path / "runs" / "multirun").rglob("summary.csv")
    assert next(csv.DictReader(table.open()))["totals.frames (which way is better is unknown)"] == "5"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["graph.nodes.encode.crf=interval(1,2)"], "interval(...) is for an optimiser."),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "quiet=true"], "n_jobs == 0"),
        (
            ["hydra.sweep.subdir=x", "graph.nodes.encode.crf=20,30"],
            "runs 0 and 1 would both be in the folder x",
        ),
        (
            ["hydra.sweep.subdir=${graph.name}", "graph.nodes.encode.crf=20,30"],
            "would both be in the folder copy",
        ),
        (
            ["hydra.sweep.subdir=c${graph.nodes.encode.crf}", "graph.nodes.encode.crf=20,21,20"],
            "runs 0 and 2",
        ),
        (["action=hw"], "action=hw is not for sweeps"),
    ],
)
def test_a_sweep_that_cannot_begin_says_why_and_leaves_nothing(
    args: list[str], sentence: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4")
    assert run("-m", "input=a.mp4", *args) == 2
    text = said(capsys)
    assert sentence in text
    assert text.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_runs_may_be_named_by_what_they_try(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", Film(times=range(2)))
    folders = ["hydra.sweep.dir=many", "hydra.sweep.subdir=crf${graph.nodes.encode.crf}"]
    assert run("-m", "input=a.mp4", "graph.nodes.encode.crf=20,30", *folders) == 0
    assert sorted(path.parent.name for path in tmp_path.rglob("report.json")) == ["crf20", "crf30"]


def test_an_action_among_others_is_refused_in_its_line(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4", Film(times=range(2)))
    assert run("-m", "input=a.mp4", "action=run,plan", "hydra.sweep.dir=many") == 1
    rows = list(csv.DictReader((tmp_path / "many" / "summary.csv").open()))
    assert [row["status"] for row in rows] == ["done", "refused"]


def test_the_table_shows_names_as_they_are(run: Run, tmp_path: Path) -> None:
    names = ["it's.mp4", "${x}.mp4"]
    for name in names:
        make(tmp_path / name, Film(times=range(2)))
    assert run("-m", f"input={','.join(names)}", "hydra.sweep.dir=many") == 0
    rows = list(csv.DictReader((tmp_path / "many" / "summary.csv").open()))
    assert [row["input"] for row in rows] == names


def test_a_list_of_names_is_shown_without_quotes() -> None:
    assert options(["input=['a.mp4','b c.mp4']", "x=[1,2]"]) == {"input": "[a.mp4, b c.mp4]", "x": "[1,2]"}
