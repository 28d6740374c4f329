"""Temporary names, and files that appear complete or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from execute_fakes import FakeConfig, Sink, Source, make_graph, make_job, make_plan, place, run

from dualface.graph.errors import InputError
from dualface.graph.running.outputs import Outputs, writer_of

PID = os.getpid()


def test_the_temporary_name_is_hidden_says_what_it_is_and_keeps_the_suffix(tmp_path: Path) -> None:
    made = Outputs().write_as(tmp_path / "new" / "x_dual.mp4")
    assert made == tmp_path / "new" / f".x_dual.partial-{PID}.mp4"


@pytest.mark.parametrize(
    "name",
    [
        "한" * 83 + ".mp4",
        "a" * 251 + ".mp4",
        "🎬" * 62 + ".mkv",
        "x." + "s" * 250,
        "[a] b,c='d'.mp4",
        "noextension",
    ],
)
def test_names_of_any_length_can_be_written(name: str, tmp_path: Path) -> None:
    outputs = Outputs()
    made = outputs.write_as(tmp_path / name)
    assert len(os.fsencode(made.name)) <= 255
    assert made.name.startswith(".")
    assert f".partial-{PID}" in made.name
    made.write_text("whole")
    assert outputs.commit() == (tmp_path / name,)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_long_names_that_begin_alike_stay_apart(tmp_path: Path) -> None:
    outputs = Outputs()
    assert outputs.write_as(tmp_path / ("한" * 82 + "a.mp4")) != outputs.write_as(
        tmp_path / ("한" * 82 + "b.mp4")
    )


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the name is too long; choose a shorter one with output="):
        Outputs().write_as(tmp_path / ("a" * 256))


def test_leftovers_of_dead_processes_go_those_of_others_stay(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = tmp_path / f".x[1].partial-{child.pid}.mp4"
    others = [
        tmp_path / f".x[1].partial-{os.getppid()}.mp4",
        tmp_path / f".y.partial-{child.pid}.mp4",
        tmp_path / f".x[1].partial-{child.pid}.mkv",
        tmp_path / "x[1].mp4",
    ]
    for path in [dead, *others]:
        path.write_text("")
    Outputs(overwrite=True).write_as(tmp_path / "x[1].mp4")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_another_run_at_work_on_an_output_is_known(tmp_path: Path) -> None:
    final, mine = tmp_path / "x.mp4", tmp_path / f".x.partial-{PID}.mp4"
    other = tmp_path / f".x.partial-{os.getppid()}.mp4"
    assert writer_of(tmp_path / "none" / "x.mp4") is None
    mine.write_text("")
    assert writer_of(final) is None
    other.write_text("")
    assert writer_of(final) == os.getppid()
    assert writer_of(tmp_path / "y.mp4") is None


def test_what_a_dead_process_left_holds_nobody_up(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / f".x.partial-{child.pid}.mp4").write_text("")
    # Its number may have been given to another since.
    again = tmp_path / f".x.partial-{os.getppid()}.mp4"
    again.write_text("")
    os.utime(again, (1e9, 1e9))
    assert writer_of(tmp_path / "x.mp4") is None


def test_an_existing_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    final = tmp_path / "x.mp4"
    final.write_text("old")
    outputs = Outputs(overwrite=True)
    outputs.write_as(final).write_text("new")
    assert final.read_text() == "old"
    outputs.commit()
    assert final.read_text() == "new"


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "x.mp4"
    link.symlink_to(tmp_path / "disk" / "real.mp4")
    outputs = Outputs()
    outputs.write_as(link).write_text("new")
    outputs.commit()
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.mp4").read_text() == "new"


def test_several_files_appear_together_or_not_at_all(tmp_path: Path) -> None:
    outputs = Outputs()
    for name in ("a.mp4", "b.jsonl"):
        outputs.write_as(tmp_path / name).write_text(name)
    (tmp_path / "b.jsonl").mkdir()
    with pytest.raises(InputError, match=r"b\.jsonl is a folder"):
        outputs.commit()
    assert [p.name for p in tmp_path.iterdir()] == ["b.jsonl"]


def test_a_file_that_was_promised_and_not_written(tmp_path: Path) -> None:
    outputs = Outputs()
    outputs.write_as(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"a\.mp4 was not written"):
        outputs.commit()


def test_two_nodes_cannot_write_one_file(tmp_path: Path) -> None:
    graph = make_graph(
        place("source", Source, FakeConfig()),
        place("one", Sink, FakeConfig(write="x.mp4"), a="source"),
        place("two", Sink, FakeConfig(write="x.mp4"), a="source"),
    )
    (result,) = run(make_plan(graph, [make_job(folder=tmp_path)]))
    assert result.error == (
        f"{tmp_path}/x.mp4 would be written by two nodes, 'one' and 'two'; "
        "set graph.nodes.two.enabled=false, or take one of them out of the graph."
    )


@pytest.mark.parametrize("target", ["folder", "pipe", "file/x.mp4"])
def test_what_cannot_become_a_file(target: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught:
        Outputs().write_as(tmp_path / target)
    said = {
        "folder": f"{tmp_path}/folder is a folder; name a file with output=.",
        "pipe": f"{tmp_path}/pipe is not an ordinary file; name one with output=.",
        "file/x.mp4": f"{tmp_path}/file/x.mp4 cannot be written: {tmp_path}/file is not a folder; "
        "choose another place with output=.",
    }
    assert str(caught.value) == said[target]


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", refused)  # the tests may run as root, who may do anything
    with pytest.raises(InputError) as caught:
        Outputs().write_as(tmp_path / "x.mp4")
    assert str(caught.value) == (
        f"{tmp_path}/x.mp4 cannot be written: permission denied; choose another place with output=."
    )


def test_a_full_disk(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    sink = FakeConfig(write="x.mp4", fail="process", fail_frame=5, error=error)
    graph = make_graph(place("source", Source, FakeConfig()), place("sink", Sink, sink, a="source"))
    (result,) = run(make_plan(graph, [make_job(folder=tmp_path)]))
    assert result.status == "failed"
    assert result.error == (
        f"The disk that holds {tmp_path} is full: free some space, or choose another folder with output=."
    )
    assert list(tmp_path.iterdir()) == []


def test_errors_speak_of_the_file_that_was_asked_for(tmp_path: Path) -> None:
    error = OSError(errno.EIO, "Input/output error", str(tmp_path / f".x.partial-{PID}.mp4"))
    sink = FakeConfig(write="x.mp4", fail="process", error=error)
    graph = make_graph(place("source", Source, FakeConfig()), place("sink", Sink, sink, a="source"))
    (result,) = run(make_plan(graph, [make_job(folder=tmp_path)]))
    assert str(tmp_path / "x.mp4") in result.error
    assert "partial" not in result.error
