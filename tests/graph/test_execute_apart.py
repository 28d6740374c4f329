"""Slots that share a GPU work in processes of their own; what goes wrong there stays there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from apart_fakes import Count, CountConfig, Note, NoteConfig, open_device
from execute_fakes import Recorder, make_graph, make_job, make_plan, place, run

from dualface.graph.dag import Passed
from dualface.graph.execute import execute
from dualface.graph.plan import Plan

WAIT = 30.0  # seconds until something that ought to happen is given up


def plan(folder: Path, names: str = "abc", *, slots: int = 2, gpu: int | None = 0, frames: int = 40,
         fault: str = "", of: str = "b") -> Plan:  # fmt: skip
    graph = make_graph(
        place("count", Count, CountConfig(frames)), place("note", Note, NoteConfig(fault, of), a="count")
    )
    jobs = [make_job(name, folder, index) for index, name in enumerate(names)]
    return make_plan(graph, jobs, slots=slots, gpu=gpu)


def children() -> set[int]:
    """Our processes, without the one that multiprocessing keeps for itself."""
    found = psutil.Process().children()
    return {p.pid for p in found if not any("resource_tracker" in word for word in p.cmdline())}


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file())


def test_jobs_run_elsewhere_and_all_they_tell_comes_back(tmp_path: Path) -> None:
    heard = Recorder()
    results = run(plan(tmp_path), apart=True, open_device=open_device, listener=heard)
    assert [r.status for r in results] == ["done"] * 3
    processes = {r.figures["process"] for r in results}
    assert os.getpid() not in processes
    assert 1 <= len(processes) <= 2  # a slot keeps its process
    for result in results:
        assert result.outputs == (str(result.job.output),)
        assert result.job.output.read_text() == "".join(f"{n}\n" for n in range(40))
        assert (result.frames_in, result.frames_out, result.figures["seen"]) == (40, 40, 40)
        assert [e.message for e in result.events] == ["device Device(gpu=0, stream=7)"]
        assert result.slot.startswith("slot")
        assert ("event", result.job.name, "device Device(gpu=0, stream=7)") in heard.calls
        assert any(call[:2] == ("progress", result.job.name) for call in heard.calls)
    assert not children()


@pytest.mark.parametrize(("slots", "gpu"), [(1, 0), (2, None)])
def test_a_slot_alone_and_slots_on_the_cpu_stay_here(tmp_path: Path, slots: int, gpu: int | None) -> None:
    results = run(plan(tmp_path, slots=slots, gpu=gpu), apart=True, open_device=open_device)
    assert {r.figures["process"] for r in results} == {os.getpid()}


def test_a_process_that_dies_takes_only_its_job_along(tmp_path: Path) -> None:
    results = run(plan(tmp_path, "abcd", fault="die"), apart=True, open_device=open_device)
    assert [r.status for r in results] == ["done", "failed", "done", "done"]
    assert results[1].error.startswith(f"The process of {results[1].slot} ended with signal 9 (Killed)")
    assert results[1].events  # what it had told before
    assert files(tmp_path) == ["a.out", "c.out", "d.out"]


def test_what_a_node_raises_is_told_as_ever(tmp_path: Path) -> None:
    result = run(plan(tmp_path, fault="raise"), apart=True, open_device=open_device)[1]
    assert result.error == "node 'note' (apart/note) failed at frame 8: ValueError: no more"
    assert "no more" in result.trace
    assert files(tmp_path) == ["a.out", "c.out"]


def test_what_cannot_travel_is_described_and_costs_no_job(tmp_path: Path) -> None:
    results = run(plan(tmp_path, "abcd", fault="odd", slots=2), apart=True, open_device=open_device)
    assert [r.status for r in results] == ["done"] * 4
    assert [r.outputs for r in results] == [(str(r.job.output),) for r in results]
    odd = results[1]
    assert "lock object" in odd.figures["lock"]
    assert odd.figures["error"] == "OneWay('1 and 2')"
    assert "1 and 2" in [e.message for e in odd.events]
    assert files(tmp_path) == ["a.out", "b.out", "c.out", "d.out"]


def test_what_an_earlier_job_left_behind_is_not_told_of_the_next(tmp_path: Path) -> None:
    heard = Recorder()
    made = plan(tmp_path, "abcd", fault="late", of="a", frames=4000)
    results = run(made, apart=True, open_device=open_device, listener=heard)
    assert [r.status for r in results] == ["done"] * 4
    assert {call[1] for call in heard.calls if call[0] == "event" and call[2] == "late"} <= {"a"}
    assert all("late" not in [e.message for e in r.events] for r in results[1:])


def test_a_kind_that_only_this_process_knows_fails_its_job_and_hangs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("only_here")
    monkeypatch.setitem(sys.modules, "only_here", module)
    cls = type(
        "Hidden", (Note,), {"__module__": "only_here", "__qualname__": "Hidden", "kind": "apart/hidden"}
    )
    module.Hidden = cls  # type: ignore[attr-defined]
    graph = make_graph(place("count", Count, CountConfig(8)), place("note", cls, NoteConfig(), a="count"))
    made = make_plan(graph, [make_job(n, tmp_path, i) for i, n in enumerate("ab")], slots=2, gpu=0)
    results = run(made, apart=True, open_device=open_device)
    assert [r.status for r in results] == ["failed"] * 2
    assert "No module named 'only_here'" in results[0].error


def test_a_process_that_does_not_start_fails_its_jobs_alike(tmp_path: Path) -> None:
    results = run(plan(tmp_path, "abcd"), apart=True, open_device=lambda gpu: open_device(gpu))
    assert [r.status for r in results] == ["failed"] * 4
    assert all("pickle" in r.error for r in results)


def test_what_a_dead_process_left_where_a_link_leads_is_removed(tmp_path: Path) -> None:
    real, links = tmp_path / "real", tmp_path / "links"
    real.mkdir()
    links.mkdir()
    (links / "b.out").symlink_to(real / "b.real")
    results = run(plan(links, "ab", fault="die"), apart=True, open_device=open_device)
    assert [r.status for r in results] == ["done", "failed"]
    assert not files(real)


@pytest.mark.skipif(os.name == "nt", reason="multiprocessing ends them another way there")
@pytest.mark.parametrize("frozen", [False, True])
def test_the_program_can_end_while_they_are_busy(tmp_path: Path, frozen: bool) -> None:
    """Also where they cannot act on it, as on a machine that is much too busy."""
    here = Path(__file__).parent
    script = (
        f"import sys, threading, time; sys.path[:0] = [{str(here)!r}, {str(here.parent.parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_execute_apart import files, plan, open_device, until\n"
        "from dualface.graph.execute import execute\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "go = lambda: execute(plan(folder, frames=0), apart=True, open_device=open_device)\n"
        "threading.Thread(target=go, daemon=True).start()\n"
        "until(lambda: len([n for n in files(folder) if '.partial-' in n]) == 2)\n"
    )
    if frozen:
        script += "import psutil\nfor child in psutil.Process().children(): child.suspend()\n"
    process = psutil.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    process.wait(WAIT)
    until(lambda: not files(tmp_path))


def test_a_candidate_that_gives_up_there_is_replaced(tmp_path: Path) -> None:
    asked = []

    def rebuild(excluded: Any) -> Any:
        asked.append(dict(excluded))
        return plan(tmp_path).pipelines[0].graph

    refusing = plan(tmp_path, fault="refuse")
    note = refusing.pipelines[0].graph.nodes[1]
    object.__setattr__(note, "candidate", "first")
    object.__setattr__(note, "passed", (Passed("second", "apart/note", "it comes second", True),))
    refusing.pipelines[0].graph.__dict__.pop("by_name", None)
    results = run(refusing, apart=True, open_device=open_device, rebuild=rebuild)
    assert asked == [{("note", "first"): "b.mp4: refused"}]
    assert [r.status for r in results] == ["done"] * 3


def test_stop_ends_them_and_leaves_no_file(tmp_path: Path) -> None:
    stop = threading.Event()

    class StopLater(Recorder):
        def progress(self, job: Any, frames: int) -> None:
            stop.set()

    results = run(
        plan(tmp_path, frames=0), apart=True, open_device=open_device, stop=stop, listener=StopLater()
    )
    assert [r.status for r in results] == ["interrupted"] * 3
    assert not files(tmp_path)
    assert not children()


def test_a_node_that_never_comes_back_is_killed(tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_when_stuck() -> None:
        until(lambda: (tmp_path / "a.out").exists())
        stop.set()

    waiting = threading.Thread(target=stop_when_stuck)
    waiting.start()
    before = threading.active_count()
    results = execute(plan(tmp_path, "ab", fault="hang"), apart=True, open_device=open_device, stop=stop)
    waiting.join()
    until(lambda: threading.active_count() < before)
    assert [r.status for r in results] == ["done", "interrupted"]
    assert files(tmp_path) == ["a.out"]
    assert not children()


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_nothing_is_left_when_we_are_killed_ourselves(tmp_path: Path) -> None:
    here = Path(__file__).parent
    script = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent.parent)!r}]\n"
        "from pathlib import Path\n"
        "from test_execute_apart import plan, open_device\n"
        "from dualface.graph.execute import execute\n"
        f"execute(plan(Path({str(tmp_path)!r}), frames=0), apart=True, open_device=open_device)\n"
    )
    process = psutil.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    until(lambda: len([n for n in files(tmp_path) if ".partial-" in n]) == 2)
    family = process.children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE])
    assert not files(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
def test_a_terminals_ctrl_c_does_not_reach_them(tmp_path: Path) -> None:
    stop, results = threading.Event(), []
    thread = threading.Thread(
        target=lambda: results.extend(
            run(plan(tmp_path, frames=0), apart=True, open_device=open_device, stop=stop)
        )
    )
    thread.start()
    until(lambda: len([n for n in files(tmp_path) if ".partial-" in n]) == 2)
    for pid in children():
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    before = sum(p.stat().st_size for p in tmp_path.iterdir())
    until(lambda: sum(p.stat().st_size for p in tmp_path.iterdir()) > before)
    stop.set()
    thread.join()
    assert [r.status for r in results] == ["interrupted"] * 3
