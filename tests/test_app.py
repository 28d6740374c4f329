"""The command from outside: exit codes, sentences, files, interrupts and sweeps."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import MissingConfigException
from media import Film, Sound, make, tracks

from dualface.app import main
from dualface.graph.errors import Problem, RequestError
from dualface.sentences import problems_of

Run = Callable[..., int]
LONG = "가" * 82 + "12.mp4"  # takes no more than five bytes more


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text


def test_a_run_leaves_its_report_plan_and_config(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4")
    assert run("input=a.mp4") == 0
    (folder,) = (tmp_path / "runs").glob("*/*")
    assert {p.name for p in folder.iterdir()} >= {"report.json", "plan.txt", "plan.json", ".hydra"}
    report = json.loads((folder / "report.json").read_text())
    assert report["jobs"][0]["outputs"] == [str(tmp_path / "outputs" / "a_copy.mp4")]
    assert (tmp_path / "outputs" / "a_copy.mp4").is_file()


def test_other_actions_leave_nothing_behind(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    for args in (["action=nodes", "format=json"], ["action=plan", "format=json"], ["action=hw"]):
        assert run(*args) == 0
        out = capsys.readouterr().out
        if "format=json" in args:
            json.loads(out)
    for shape in ("mermaid", "svg"):
        assert run("action=plan", f"format={shape}") == 0
        assert capsys.readouterr().out.startswith({"mermaid": "flowchart", "svg": "<svg"}[shape])
    assert sorted(tmp_path.rglob("*")) == before


def test_nodes_of_a_role_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["action=nodes", "kind=write"]) == 0
    out = capsys.readouterr().out
    assert "write/people" in out
    assert "detect/yunet" not in out
    assert main(["action=nodes", "kind=convert"]) == 0
    assert "options:" in capsys.readouterr().out  # a role that is a kind itself is shown in full


def test_isolate_puts_out_decoders_that_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for files that may be attacks: a GPU's decoder would read them in this very process."""
    for isolate, kind in (("true", "decode/pyav"), ("false", "decode/nvdec")):
        ask = ["action=plan", "hw=rtx5090", "format=json", f"graph.nodes.decode.isolate={isolate}"]
        assert main(ask) == 0
        nodes = json.loads(capsys.readouterr().out)["pipelines"][0]["graph"]["nodes"]
        assert {node["name"]: node["kind"] for node in nodes}["decode"] == kind
    assert (
        main(["action=plan", "hw=rtx5090", "strict_zero_copy=true", "graph.nodes.decode.isolate=true"]) == 2
    )
    assert "decode.frames" in capsys.readouterr().err


@pytest.mark.parametrize("hardware", ["rtx5090", "h100", "cpu"])
def test_a_plan_for_hardware_that_is_not_here(hardware: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["action=plan", f"hw={hardware}"]) == 0
    assert f"hw={hardware}" in capsys.readouterr().out


EXPERIMENTS = {
    "null_graph": "graph: null",
    "bogus": "bogus: 1",
    "bad_hw": "hw: {decode_batch: 999}",
    "list": "objective: [1]",
    "null_objective": "objective: null",
    "maybe": "quiet: maybe",
    "nowhere": "objective: ${x}",
}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "no video was named"),
        (["input=gone.mp4"], "there is no file gone.mp4"),
        (["input=*.avi"], "no file matches *.avi"),
        (["input=."], "is a folder"),
        (["inptu=a.mp4"], "Did you mean 'input'"),
        (["action=rnu"], "Did you mean 'run'"),
        (["input=a.mp4", "graph=dualfce"], "Did you mean 'dualface'"),
        (["input=a.mp4", "hw=rtx509"], "Did you mean 'rtx5090'"),
        (["input=a.mp4", "hw.decod_batch=4"], "Did you mean 'decode_batch'"),
        (["input=a.mp4", "hw=rtx5090", "hw.decode_batch=0"], "a whole number from 1 to 256"),
        (["input=a.mp4", "graph.nodes.encode.crff=20"], "Did you mean 'crf'"),
        (["input=a.mp4", "+graph.nodes.encode.crff=20"], "Did you mean 'crf'"),
        (["input=a.mp4", "graph.nodes.encode.crf=high"], "crf"),
        (["input=a.mp4", "+graph.nodes.encode._target_=os.system"], "_target_"),
        (["input=a.mp4", "output=a.mp4"], "is one of the inputs"),
        (["input=a.mp4", "output=link.mp4"], "is one of the inputs"),
        (["input=[a.mp4,b.mp4]", "output=x.mp4"], "would both write x.mp4"),
        (["input=a.mp4", "output=there.mp4"], "overwrite=true"),
        (["input=a.mp4", "output={nme}.mp4"], "{nme}"),
        (["input=a.mp4", "output=x.avi"], ".mp4"),
        (["input=a.mp4", "objective=totals.fpss"], "Did you mean 'totals.fps'"),
        (["input=a.mp4", "objective=jobs.0.fpss"], "Did you mean 'jobs.0.fps'"),
        (["input=a.mp4", "objective=jobs.1.fps"], "Did you mean 'jobs.0.fps'"),
        (
            ["action=hw", "hw.gpus.9.vram_mb=4096"],
            "hw.gpus: it cannot be {'9': {'vram_mb': 4096}}: it must be",
        ),
        (["action=hw", "hw.gpus=[3]"], "0: it must hold KEY: VALUE"),
        (["action=plan", "hw=h100", "hw.gpus.9.vram_mb=4096"], "vram_mb: the list has no such item"),
        (["action=plan", "hw=h100", "hw.gpus.x.vram_mb=4096"], "vram_mb: the list has no such item"),
        (["input=a.mp4", "+experiment=bad_hw"], "bad_hw.yaml: hw.decode_batch cannot be 999: it must be"),
        (["input=a.mp4", "hw=h100", "+experiment=bad_hw"], "bad_hw.yaml: hw.decode_batch cannot be 999"),
        (["input=a.mp4", "+experiment=list"], "experiment/list.yaml: objective is one text, not [1]."),
        (["input=a.mp4", "+experiment=null_objective"], "null_objective.yaml: objective cannot be null."),
        (["input=a.mp4", "+experiment=maybe"], "experiment/maybe.yaml: quiet cannot be 'maybe'."),
        (["input=a.mp4", "+experiment=nowhere"], "objective: there is no ${x} to take a value from."),
        (["-m", "input=a.mp4", "hydra/sweeper=foo"], "hydra/sweeper=foo: there is no such choice."),
        (["input=a.mp4", "objective=${x}"], "no number '${x}'"),
        (["input=a.mp4", "graph.nodes.encode.crf=${x}"], "graph.nodes.encode.crf: "),
        (["action=nodes", "kind=décode/é (x)"], "no kind is called 'décode/é (x)'"),
        (["action=models", "model=it's"], "no model 'it's'"),
        (["input=a.mp4", "record=true"], "has no node of kind write/people"),
        (["input_list=gone.txt"], "gone.txt cannot be read"),
        (["action=bench", "bench=cpuu"], "cpu"),
        (["action=models", "model=nope"], "There are dlib-face, yunet"),
        (["action=nodes", "format=mermaid"], "It has text, json."),
        (["action=plan", "format=png"], "It has text, json, mermaid, svg."),
        (["input=empty"], "It holds no video"),
        (["input=conf/.."], "Say input='conf/../*.mp4'."),
        (["graph=null"], "a choice must be named"),
        (["hw=null"], "a choice must be named"),
        (["+experiment=null_graph"], "experiment/null_graph.yaml: graph cannot be null"),
        (["+experiment=bogus"], "experiment/bogus.yaml: there is no key 'bogus'"),
        (["input=null"], "no video was named"),
        (["action=null"], "no action 'null'"),
        (["input=a.mp4", "graph.nodes.encode.crf=20,26"], "Say -m to run each of them"),
        (["input=a.mp4", "graph.nodes.encode.crf=range(1,3)"], "Say -m to run each."),
        (["-m", "input=a.mp4", "hydra.run.dir=x,y"], "it takes one value"),
        (["-m", "action=plan"], "is not for sweeps"),
        (["-m", "--cfg", "job"], "only one of them can be done"),
        (["--run", "--multirun", "input=a.mp4"], "only one of them can be done"),
        (["--resolve", "input=a.mp4"], "Say --cfg job too"),
        (["--shell-completion", "install=bash"], "it is not for dualface"),
        (["action=plan", "input=a.mp4", "output=a.mp4"], "is one of the inputs"),
        (["action=plan", "input=[a.mp4,b.mp4]", "output=x.mp4"], "would both write x.mp4"),
        (["action=plan", "input=a.mp4", "output=x.avi"], ".mp4"),
        (["action=plan", "input=a.mp4", "output=there.mp4/x.mp4"], "there.mp4 is a file"),
        (["+layout=solo"], "Write it without the +."),
        (["~input"], "there is nothing to take away"),
        (["input=a.mp4", "output=/proc/x.mp4"], "the folder /proc cannot be written to"),
        (["input=a.mp4", "output=/proc/new/x.mp4"], "the folder /proc/new cannot be made"),
        (["input=a.mp4", f"output={'한' * 84}.mp4"], "has 256 bytes; a name has at most 255"),
        (["input=a.mp4", f"output={'한' * 86}/a.mp4"], "has 258 bytes"),
        (["input=a.mp4", f"output={'a/' * 2000}a.mp4"], "4000 are the most"),
        ([f"input={LONG}", "output=made/{name}_dual.mp4"], "_dual.mp4 has 257 bytes"),
        (["input=a.mp4", "hydra.run.dir=/proc/new"], "the run folder /proc/new cannot be written"),
        (["-m", "input=a.mp4", "hydra.sweep.dir=/proc/new"], "the run folder /proc/new cannot be written"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_starts_nothing(
    args: list[str], sentence: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4")
    make(tmp_path / "b.mp4")
    make(tmp_path / LONG)
    (tmp_path / "there.mp4").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "conf" / "experiment").mkdir()
    for name, text in EXPERIMENTS.items():
        (tmp_path / "conf" / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    (tmp_path / "link.mp4").hardlink_to(tmp_path / "a.mp4")
    kept = (tmp_path / "a.mp4").read_bytes()
    assert run(*args) == 2
    assert sentence in said(capsys)
    assert (tmp_path / "there.mp4").read_text() == "mine"
    assert (tmp_path / "a.mp4").read_bytes() == kept
    assert not (tmp_path / "outputs").exists()
    assert not (tmp_path / "x.mp4").exists()
    assert not (tmp_path / "runs").exists()


def test_what_a_killed_run_left_half_replaced_is_put_right(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    earlier = tmp_path / f".x.earlier-{child.pid}.mp4"
    earlier.write_text("mine")
    assert run("input=a.mp4", "output=x.mp4") == 2  # the name is not free
    assert "x.mp4: a run was killed while it replaced this file; the earlier one is back." in said(capsys)
    assert (tmp_path / "x.mp4").read_text() == "mine"
    earlier.write_text("mine")
    assert run("input=a.mp4", "output=x.mp4", "overwrite=true") == 0
    assert "what it left beside it is removed" in said(capsys)
    assert not earlier.exists()


def test_a_name_that_only_its_suffix_makes_too_long(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    make(Path("a.mp4"))
    assert main(["input=a.mp4", "graph=inspect", "record=true", f"output={'a' * 245}.mp4"]) == 2
    assert "a.people.jsonl has 258 bytes; a name has at most 255" in said(capsys)


def test_what_is_wrong_in_different_places_is_told_at_once(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["overwrite=maybe", "quiet=[x", "recrod=true", "graph.nodes.encode.crff=1", "hw.slots=2"]
    assert run("input=gone.mp4", *wrong) == 2
    text = said(capsys)
    for word in ("overwrite", "quiet", "recrod", "crff", "hw.slots", "gone.mp4"):
        assert word in text
    assert run("input=gone.mp4", "graph.nodes.encode.crff=1", "objective=nope") == 2
    text = said(capsys)
    assert "crff" in text
    assert "gone.mp4" in text


def test_what_hangs_on_a_wrong_choice_is_not_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inptu=a.mp4", "graph=nope", "graph.nodes.mine.x=1") == 2
    text = said(capsys)
    assert text.count("\n") == 2
    assert "inspect'?" not in text


def test_inputs_that_cannot_be_read_are_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    assert run("input=a.mp4", "hydra.run.dir=here") == 1
    report = json.loads((tmp_path / "here" / "report.json").read_text())
    assert [job["status"] for job in report["jobs"]] == ["failed"]
    assert "is not a video" in report["jobs"][0]["error"]


def test_every_typo_is_told_at_once(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "a.mp4")
    assert run("input=a.mp4", "graph.nodes.encode.crff=1", "graph.nodes.encode.preseet=x") == 2
    text = said(capsys)
    assert "crff" in text
    assert "Did you mean 'preset'" in text


def test_a_job_that_cannot_be_done_leaves_the_others(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mkv", Film(sounds=(Sound(codec="pcm_u8"),)))
    make(tmp_path / "b.mp4")
    assert run("input=[a.mkv,b.mp4]", "output={name}_x.mp4") == 1
    assert ".mp4 cannot hold the source's pcm_u8 sound" in said(capsys)
    assert (tmp_path / "b_x.mp4").exists()
    assert not (tmp_path / "a_x.mp4").exists()
    assert run("input=a.mkv", "output={name}_x.mp4") == 2


def test_sound_whose_channels_have_no_names(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mkv", Film(sounds=(Sound(codec="pcm_s16le"),)))
    assert run("input=a.mkv", "output=x.mp4") == 0
    ours, theirs = tracks(tmp_path / "x.mp4", "audio"), tracks(tmp_path / "a.mkv", "audio")
    assert b"".join(ours[0].data) == b"".join(theirs[0].data)


def test_lists_of_videos(run: Run, tmp_path: Path) -> None:
    names = ["가 나.mp4", "#1, [x].mp4", "a=b.mp4"]
    for name in names:
        make(tmp_path / name, Film(times=range(3)))
    (tmp_path / "list.txt").write_text("\r\n".join(["\ufeff" + names[0], "", *names[1:]]), "utf-8")
    assert run("input_list=list.txt", "output=out/{index}-{name}.mp4") == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == sorted(
        f"{i}-{name}" for i, name in enumerate(names)
    )


def test_overwrite_keeps_the_old_file_until_the_new_one_is_whole(run: Run, tmp_path: Path) -> None:
    make(tmp_path / "a.mp4")
    (tmp_path / "x.mp4").write_text("old")
    assert run("input=a.mp4", "output=x.mp4", "overwrite=true") == 0
    assert (tmp_path / "x.mp4").stat().st_size > 100


def test_the_extra_of_a_missing_launcher_is_named() -> None:
    error = MissingConfigException("In 'x': no", "hydra/launcher/joblib", ["basic"])
    (problem,) = problems_of(error) or ()
    assert "pip install 'dualface[joblib]'" in str(problem)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{importlib.metadata.version('dualface')}\n"


def test_an_experiment_may_name_the_action(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "conf" / "experiment").mkdir()
    (tmp_path / "conf" / "experiment" / "look.yaml").write_text("# @package _global_\naction: plan\n")
    assert run("+experiment=look") == 0
    assert capsys.readouterr().out.startswith("plan: ")
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the command in a process of its own."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str) -> subprocess.Popen[str]:
        own = ["--config-dir", str(tmp_path / "conf"), "graph=copy", "hw=fallback"]
        command = [sys.executable, "-m", "dualface", *own, *args]
        processes.append(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("start", ["run_path('run.py', None,", "run_module('dualface', None,"])
def test_ctrl_c_while_modules_are_imported_is_quiet(start: str) -> None:
    code = f"""
import os, runpy, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "dualface.actions":  # half-way through dualface.app
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ["dualface"]
runpy.{start} "__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("overwrite", ["true", "false"])
def test_an_output_that_another_run_writes_is_refused_at_once(
    overwrite: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4", Film(times=range(2)))
    (tmp_path / f".x.partial-{os.getppid()}.mp4").write_text("")
    assert run("graph=copy", "input=a.mp4", "output=x.mp4", f"overwrite={overwrite}") == 2
    assert capsys.readouterr().err == (
        f"output: x.mp4 is being written by another run, process {os.getppid()}. "
        "Wait for it, or choose another output=. [being-written]\n"
    )


def test_sigterm_while_planning_leaves_nothing(run: Run, tmp_path: Path, started: Any) -> None:
    os.mkfifo(tmp_path / "list.txt")  # reading the list waits for someone to write it
    process = started("input_list=list.txt")
    with (tmp_path / "list.txt").open("w"):  # returns when the command reads
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert text == "Interrupted.\n"
    assert not (tmp_path / "runs").exists()


def test_an_interrupted_parallel_sweep_tells_its_table(run: Run, tmp_path: Path, started: Any) -> None:
    make(tmp_path / "short.mp4", Film(times=range(2)))
    make(tmp_path / "long.mp4", Film(size=(640, 480), times=range(1500)))
    sweep = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=many"]
    process = started(*sweep, "input=short.mp4,long.mp4", "graph.nodes.encode.preset=veryslow")
    deadline = time.monotonic() + 120
    while not (tmp_path / "many" / "0" / "outcome.json").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    rows = list(csv.DictReader((tmp_path / "many" / "summary.csv").open()))
    assert rows[0]["status"] == "done"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_what_is_finished(number: int, run: Run, tmp_path: Path) -> None:
    make(tmp_path / "short.mp4", Film(times=range(2)))
    make(tmp_path / "long.mp4", Film(size=(640, 480), times=range(1500)))
    command = [sys.executable, "-m", "dualface", "--config-dir", str(tmp_path / "conf"), "graph=copy"]
    # Two slots, so that the short one is done while the long one runs.
    args = ["input=[long.mp4,short.mp4]", "output={name}_x.mp4", "hw=fallback", "hw.cpu_slots=2"]
    args.append("graph.nodes.encode.preset=veryslow")
    process = subprocess.Popen([*command, *args], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "short_x.mp4").exists() and time.monotonic() < deadline:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    os.kill(process.pid, number)
    _, text = process.communicate(timeout=30)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert sorted(p.name for p in tmp_path.glob("*_x.mp4")) == ["short_x.mp4"]
    assert not list(tmp_path.glob(".*partial*")), "an unfinished file stays"


# As `python -m dualface`, but its encoder does not come back; the pool's thread is one that Python
# would wait for before it exits.
STUCK = """
import functools, sys, time
from concurrent.futures import ThreadPoolExecutor
from dualface.app import main
from dualface.nodes.encode.x264 import X264
@functools.wraps(X264.process)
def process(self, **inputs):
    print("stuck", flush=True)
    ThreadPoolExecutor().submit(time.sleep, 3600).result()
X264.process = process
sys.exit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_does_not_wait_for_a_node(number: int, times: int, run: Run, tmp_path: Path) -> None:
    make(tmp_path / "long.mp4", Film(times=range(100)))
    (tmp_path / "stuck.py").write_text(STUCK)
    command = [sys.executable, "stuck.py", "--config-dir", str(tmp_path / "conf"), "graph=copy"]
    args = ["input=long.mp4", "output={name}_x.mp4", "hw=fallback"]
    process = subprocess.Popen(
        [*command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "stuck\n", process.stderr.read()
    assert list(tmp_path.glob(".*partial*"))
    process.send_signal(number)
    if times == 2:
        while "Stopping" not in process.stderr.readline():
            pass
        process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert not list(tmp_path.glob(".*partial*")), "an unfinished file stays"
    assert not (tmp_path / "long_x.mp4").exists()
    if times == 1:
        (report,) = (tmp_path / "runs").rglob("report.json")
        told = {job["name"]: job["error"] for job in json.loads(report.read_text())["jobs"]}
        assert told["long"] == "Stopped before its end: node 'encode' (encode/x264) did not come back."


def test_a_name_that_is_not_utf8_is_a_name_like_any_other(run: Run, tmp_path: Path) -> None:
    odd = os.fsdecode(b"m\xc7\xd1.mp4")
    make(tmp_path / "a.mp4")
    make(tmp_path / odd)
    assert run("input=*.mp4", "output=out/{name}.mp4", "quiet=true") == 0
    assert {path.name for path in (tmp_path / "out").glob("*.mp4")} == {"a.mp4", odd}
    (report,) = (tmp_path / "runs").rglob("report.json")
    named = [job["name"] for job in json.loads(report.read_text(encoding="utf-8"))["jobs"]]
    assert sorted(named) == sorted(["a", Path(odd).stem])


def test_a_refusal_at_the_start_leaves_no_empty_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **named: object) -> None:
        raise RequestError([Problem("bad-option", "", "not today.")])

    make(tmp_path / "a.mp4")
    monkeypatch.setattr("dualface.graph.execute.execute", refuse)
    (tmp_path / "kept").mkdir()
    assert run("input=a.mp4", "output=new/{name}/x.mp4") == 2
    assert run("input=a.mp4", "output=kept/x.mp4") == 2
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "kept").exists()


def test_a_plan_says_that_its_output_is_there(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "a.mp4")
    (tmp_path / "there.mp4").write_text("mine")
    assert run("action=plan", "input=a.mp4", "output=there.mp4") == 0
    out, err = capsys.readouterr()
    assert err == "output: there.mp4 exists already. Say overwrite=true to replace it. [exists]\n"
    assert out.startswith("plan: 1 job")
    assert run("action=plan", "input=a.mp4", "output=new/x.mp4") == 0
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "new").exists()
