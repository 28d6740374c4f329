"""``action=run``: probe, plan, execute, report."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dualface.actions import Request
from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.running.outcome import JobResult
from dualface.inputs import Wish, wishes


def main(config: Mapping[str, Any], request: Request) -> int:
    """Do the jobs. A video that cannot be read is a failed job; the others go on."""
    from dualface.actions.plan import make
    from dualface.graph.execute import execute
    from dualface.graph.lease import Leases, limits
    from dualface.paths import runtime_dir
    from dualface.progress import progress
    from dualface.report import build_report, check_objective, objective

    folder = request.folder if request.sweep else None
    jobs, bad = probe_all(config, folder)
    for _, sentence in bad:
        print(sentence, file=sys.stderr)
    if not jobs:
        request.outcome.update(status="failed", failed=len(bad), objective=float("inf"))
        return 1
    plan = make(config, request, jobs, trust=False)
    check_objective(plan, config["objective"])
    check(plan, jobs, overwrite=bool(config["overwrite"]))
    _keep_plan(plan, request.folder)
    started, clock = datetime.now(UTC), time.perf_counter()
    leases = Leases(runtime_dir() / "leases", limits(plan.hardware))
    with stopping() as stop, progress(jobs, quiet=bool(config["quiet"])) as listener:
        results = execute(plan, leases=leases, listener=listener, stop=stop)
    results = tuple(sorted((*results, *(_unread(w, s) for w, s in bad)), key=lambda r: r.job.index))
    report = build_report(
        plan,
        results,
        started=started,
        seconds=time.perf_counter() - clock,
        command=request.command,
        debug=bool(config["debug"]),
    )
    if request.folder:
        _write(request.folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False))
    counts = {s: sum(r.status == s for r in results) for s in ("done", "failed", "interrupted")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    where = f"; report: {request.folder / 'report.json'}" if request.folder else ""
    print(f"{told}{where}", file=sys.stderr)
    status = next((s for s in ("interrupted", "failed") if counts[s]), "done")
    totals = report["totals"]
    request.outcome.update(
        status=status,
        objective=objective(report, config["objective"]),
        fps=totals["fps"],
        seconds=report["seconds"],
        frames=totals["frames"],
        failed=counts["failed"],
    )
    return {"interrupted": 130, "failed": 1, "done": 0}[status]


def probe_all(config: Mapping[str, Any], folder: Path | None) -> tuple[list[Job], list[tuple[Wish, str]]]:
    """The jobs that can be read, and a sentence for each that cannot."""
    from dualface.nodes.decode.probe import probe

    jobs: list[Job] = []
    bad: list[tuple[Wish, str]] = []
    for wish in wishes(config, folder):
        try:
            protocols = tuple(config["protocols"])
            job = probe(wish.path, output=wish.output, name=wish.name, index=wish.index, protocols=protocols)
            jobs.append(job)
        except InputError as error:
            bad.append((wish, str(error)))
    return jobs, bad


def check(plan: Plan, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Raise `RequestError` with everything that would go wrong with files and jobs, and make the
    outputs' folders when nothing would."""
    problems: list[Problem] = []
    owners: dict[str, Job] = {}
    inputs = {os.path.realpath(job.input): job for job in jobs}
    outputs: dict[Path, None] = {}
    for job in jobs:
        for node in plan.pipelines[0].graph.nodes:
            where = f"{job.name}, {node.name}"
            for sentence in node.kind.cls.check(node.config, job):
                problems.append(Problem("bad-job", where, sentence))
            for path in node.kind.cls.writes(node.config, job):
                outputs[path] = None
                real = os.path.realpath(path)
                if real in owners:
                    other = owners[real]
                    message = f"{other.input} and {job.input} would both write {path}."
                    problems.append(
                        Problem("same-output", "output", message, "Use {name} or {index} in output=.")
                    )
                owners[real] = job
                if real in inputs or any(_same(path, other.input) for other in jobs):
                    message = f"{path} is one of the inputs, and inputs are never overwritten."
                    problems.append(Problem("output-is-input", "output", message, "Choose another output=."))
                elif path.is_dir():
                    problems.append(
                        Problem("output-folder", "output", f"{path} is a folder.", "Name a file.")
                    )
                elif path.exists() and not overwrite:
                    message = f"{path} exists already."
                    problems.append(Problem("exists", "output", message, "Say overwrite=true to replace it."))
    if not problems:
        for parent in dict.fromkeys(path.parent for path in outputs):
            try:
                parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                message = f"the folder {parent} cannot be made: {error.strerror}."
                problems.append(Problem("output-folder", "output", message, "Choose another output=."))
    if problems:
        raise RequestError(dict.fromkeys(problems))


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; the second ends the process at once."""
    stop = threading.Event()

    def heard(number: int, frame: Any) -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()
        print("\nStopping; once more to stop at once.", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _same(path: Path, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _unread(wish: Wish, sentence: str) -> JobResult:
    from dataclasses import replace

    from dualface.actions.plan import NOMINAL

    job = replace(
        NOMINAL, name=wish.name, input=wish.path, output=wish.output, index=wish.index, frames=0, duration=0.0
    )
    return JobResult(job, "failed", sentence)


def _keep_plan(plan: Plan, folder: Path | None) -> None:
    if folder:
        from dualface.graph.draw import draw_plan

        _write(folder / "plan.txt", draw_plan(plan, "text"))
        _write(folder / "plan.json", draw_plan(plan, "json"))


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
