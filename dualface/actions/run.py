"""``action=run``: probe, plan, execute, report."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dualface.actions import Request, ends
from dualface.actions.monitoring import monitored
from dualface.actions.outputs import check, tidied
from dualface.actions.prepare import NOMINAL, Ready, prepare, without_unable
from dualface.graph.plan import Plan
from dualface.graph.running.manifest import finished
from dualface.graph.running.outcome import STATUSES, JobResult
from dualface.graph.running.unfinished import Unfinished, identity
from dualface.inputs import Wish


def main(config: Mapping[str, Any], request: Request) -> int:
    """Do the jobs. A video that cannot be read, or not be made into what was asked for, is a failed
    job; the others go on."""
    from dualface.graph.execute import execute
    from dualface.graph.lease import Leases, limits
    from dualface.hw.cuda import open_device
    from dualface.hw.probe import machine_gpus
    from dualface.paths import lease_dir, runtime_dir
    from dualface.progress import progress, summary
    from dualface.report import as_text, build_report, objective

    folder = request.folder if request.sweep else None
    ready = prepare(config, request, trust=False, folder=folder)
    failed = [_unread(wish, sentence) for wish, sentence in ready.bad]
    for _, sentence in ready.bad:
        print(sentence, file=sys.stderr)
    resume = bool(config["resume"])
    skipped = _finished(ready) if resume else {}
    todo = [job for job in ready.jobs if job.index not in skipped]
    plan, unable = without_unable(ready.plan(todo), todo)
    for job, sentence in unable:
        print(sentence, file=sys.stderr)
        failed.append(JobResult(job, "failed", sentence))
    jobs = [assignment.job for assignment in plan.assignments]
    overwrite = bool(config["overwrite"])
    folders = check(plan, jobs, overwrite=overwrite)
    for result in skipped.values():
        print(summary(result), file=sys.stderr)
    started, clock = datetime.now(UTC), time.perf_counter()
    gc.freeze()  # what start-up made lives as long as the process; collecting need not walk it again
    gpus = machine_gpus() if plan.hardware.gpus else []
    own = runtime_dir() / "leases"
    leases = Leases.of_machine(limits(plan.hardware), lease_dir(), own, _note, gpus)
    with (
        tidied(folders),
        stopping() as stop,
        progress(jobs, quiet=bool(config["quiet"])) as listener,
        monitored(config["monitor"], plan, listener, len(failed)) as watch,
    ):
        _keep_plan(plan, request.folder)
        made: tuple[JobResult, ...] = ()
        if jobs:
            made = execute(
                plan,
                leases=leases,
                listener=watch.listener,
                pace=watch.pace,
                stop=stop,
                overwrite=overwrite,
                resume=resume,
                manifest=True,
                open_device=open_device,
                rebuild=ready.rebuild,
                on_cpu=ready.on_cpu,
                apart=True,
                recovery=ready.recovery,
                faults=ready.faults,
            )
    results = tuple(sorted((*made, *failed, *skipped.values()), key=lambda r: r.job.index))
    report = build_report(
        plan,
        results,
        started=started,
        seconds=time.perf_counter() - clock,
        command=request.command,
        debug=bool(config["debug"]),
        monitor=watch.report,
    )
    if request.folder:
        _write(request.folder / "report.json", as_text(report))
    counts = {s: sum(r.status == s for r in results) for s in STATUSES}
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
        problem=next((result.error for result in results if result.status == "failed"), None),
    )
    return {"interrupted": 130, "failed": 1, "done": 0}[status]


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, or one of `ends`; the second ends the process at once,
    without a report and without a file under a temporary name; what a job could go on from stays."""
    from dualface.graph.running.outputs import discard_all

    stop = threading.Event()

    def heard(number: int, frame: Any) -> None:
        if stop.is_set():
            discard_all()
            os._exit(130)
        stop.set()
        # Not print: the interrupted code may be in the middle of one.
        with suppress(OSError):
            os.write(2, b"\nStopping; once more to stop at once.\n")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, *ends())}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _note(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _finished(ready: Ready) -> dict[int, JobResult]:
    """The jobs that an earlier run finished, by their index."""
    done = {}
    for job in ready.jobs:
        graph = ready.instead.get(job.index, ready.graph)
        if files := finished(job, identity(job, graph, ready.recovery.segment_seconds)):
            done[job.index] = JobResult(job, "skipped", outputs=files)
            Unfinished(job.output).sweep()
    return done


def _unread(wish: Wish, sentence: str) -> JobResult:
    from dataclasses import replace

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
    # A file's name may hold bytes that are no UTF-8; JSON escapes read back as the same name.
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
