"""Files take their final names all or none, whatever the file system refuses."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from execute_fakes import FakeConfig, Sink, Source, make_graph, make_job, make_plan, place, run

from dualface.graph.errors import InputError
from dualface.graph.running.outputs import Outputs, recover

CALLS = ("link", "replace", "open")


@pytest.fixture(params=["hard links", "no hard links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", _refuse)


def _refuse(*_: Any, **__: Any) -> None:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _failing(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[int]:
    """Let the call number ``at`` of those that publishing makes fail; what comes is their number."""
    count = itertools.count(1)

    def wrap(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(count) == at:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(args[0]), None, str(args[1]))
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrap(getattr(os, name)))
    return count


def listing(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def two(folder: Path, *, overwrite: bool) -> Outputs:
    outputs = Outputs(overwrite)
    for name in ("a.mp4", "b.jsonl"):
        outputs.write_as(folder / name).write_text(f"new {name}")
    return outputs


NEW = {"a.mp4": "new a.mp4", "b.jsonl": "new b.jsonl"}


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("overwrite", [False, True])
def test_two_files_take_free_names(overwrite: bool, tmp_path: Path) -> None:
    outputs = two(tmp_path, overwrite=overwrite)
    assert outputs.commit() == (tmp_path / "a.mp4", tmp_path / "b.jsonl")
    assert listing(tmp_path) == NEW


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("old", [("a.mp4",), ("b.jsonl",), ("a.mp4", "b.jsonl")])
def test_two_files_replace_others(old: tuple[str, ...], tmp_path: Path) -> None:
    for name in old:
        (tmp_path / name).write_text("old")
    two(tmp_path, overwrite=True).commit()
    assert listing(tmp_path) == NEW


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("late", ["a.mp4", "b.jsonl"])
def test_what_appeared_meanwhile_stays(late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = two(tmp_path, overwrite=False)
    # After the last look at whether the name is free, where only the file system can tell.
    monkeypatch.setattr("dualface.graph.running.outputs._check_free", lambda *_: None)
    (tmp_path / late).write_text("another run's")
    with pytest.raises(InputError) as caught:
        outputs.commit()
    assert str(caught.value) == f"{tmp_path}/{late} exists already; say overwrite=true to replace it."
    assert listing(tmp_path) == {late: "another run's"}


def test_a_job_whose_output_appeared_meanwhile_fails_and_the_first_stays(tmp_path: Path) -> None:
    final = tmp_path / "x.mp4"

    class Other:
        """Another run, which is done while this one works."""

        def progress(self, *_: Any) -> None:
            final.write_text("the first")

        job_started = event = job_finished = lambda *_: None

    graph = make_graph(
        place("source", Source, FakeConfig()), place("sink", Sink, FakeConfig(write="x.mp4"), a="source")
    )
    plan = make_plan(graph, [make_job(folder=tmp_path)])
    (result,) = run(plan, listener=Other())
    assert result.status == "failed"
    assert result.error == f"{final} exists already; say overwrite=true to replace it."
    assert listing(tmp_path) == {"x.mp4": "the first"}
    (result,) = run(plan, overwrite=True)
    assert result.status == "done"
    assert final.read_text() != "the first"


@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("old", [(), ("a.mp4",), ("b.jsonl",), ("a.mp4", "b.jsonl")])
def test_a_failure_at_any_call_leaves_what_was_there(
    old: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dict.fromkeys(old, "old")
    for at in itertools.count(1):
        for name, text in before.items():
            (tmp_path / name).write_text(text)
        outputs = two(tmp_path, overwrite=bool(old))
        with monkeypatch.context() as patch:
            made = _failing(patch, at)
            try:
                outputs.commit()
            except InputError as error:
                assert "input/output error" in str(error)  # noqa: PT017
                assert listing(tmp_path) == before, at
                continue
        assert listing(tmp_path) == NEW, at  # a failure that there is a way around, or none
        if next(made) <= at:
            assert at > 2
            return
        for path in tmp_path.iterdir():
            path.unlink()


# Publishes two files over two others and dies, as by SIGKILL, at one of the renames.
KILLED = """
import itertools, os, sys
from pathlib import Path
from dualface.graph.running.outputs import Outputs, recover
folder, links, at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
outputs = Outputs(overwrite=True)
for name in ("a.mp4", "b.jsonl"):
    outputs.write_as(folder / name).write_text(f"new {name}")
count, rename = itertools.count(1), os.replace
def replace(*names):
    if next(count) == at:
        os._exit(9)
    rename(*names)
def link(*names):
    raise OSError(95, "no hard links")
os.replace = replace
if links == "no hard links":
    os.link = link
outputs.commit()
"""


@pytest.mark.parametrize(("links", "deaths"), [("hard links", 2), ("no hard links", 4)])
def test_the_next_run_puts_right_what_a_killed_one_left(links: str, deaths: int, tmp_path: Path) -> None:
    for at in range(1, deaths + 1):
        for name in NEW:
            (tmp_path / name).write_text(f"old {name}")
        command = [sys.executable, "-c", KILLED, str(tmp_path), links, str(at)]
        assert subprocess.run(command, check=False).returncode == 9
        missing = [name for name in NEW if not (tmp_path / name).exists()]
        left = list(tmp_path.glob(".*.earlier-*"))
        told = [recover(tmp_path / name) for name in NEW]
        assert len([sentence for sentence in told if sentence]) == len(left)
        assert not list(tmp_path.glob(".*.earlier-*")), at
        for name, sentence in zip(NEW, told, strict=True):
            assert (tmp_path / name).read_text() in (f"old {name}", f"new {name}"), at
            assert ("the earlier one is back" in sentence) == (name in missing)
        assert [recover(tmp_path / name) for name in NEW] == ["", ""]


def test_a_replacement_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    earlier = tmp_path / f".a.earlier-{os.getpid()}.mp4"
    earlier.write_text("old")
    assert recover(tmp_path / "a.mp4") == ""
    assert earlier.exists()
    assert recover(tmp_path / "nowhere" / "a.mp4") == ""
