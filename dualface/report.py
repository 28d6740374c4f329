"""``report.json``: what a run did, as plain values.

Every figure is what a node counted or reported; one that no node gave is left out, not guessed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from dualface.graph.errors import Problem, RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.registry import nearest
from dualface.graph.running.outcome import STATUSES, JobResult

FORMAT = 1  # raised when a reader of older reports would misread a newer one
PACKAGES = ("dualface", "av", "numpy", "onnxruntime", "opencv-python-headless", "hydra-core")
DEFAULT_OBJECTIVE = "seconds_per_source_second"
TO_DEVICE, TO_HOST = "host_to_device_bytes", "device_to_host_bytes"
SUMMED = ("frames_without_face", "swaps_corrected", TO_DEVICE, TO_HOST)
TOLD = ("figures", "nodes", "queues", "events")  # parts of a job's report that only its run fills
# Words in the names of numbers that are better when they are
HIGHER = ("fps", "done")
LOWER = ("seconds", "_bytes", "peak_memory_mb", "failed", "interrupted", "frames_without_face", "recoveries")


def build_report(
    plan: Plan,
    results: Sequence[JobResult],
    *,
    started: datetime,
    seconds: float,
    graph: str = "",
    command: Sequence[str] = (),
    debug: bool = False,
    monitor: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report of one run: ``results`` of ``plan``, begun at ``started``, that took ``seconds``.

    ``command`` is what was asked for (Hydra's overrides); ``debug`` adds tracebacks,
    ``monitor`` what was seen of the machine. All values
    are plain JSON (numbers that are not finite become null).
    """
    jobs = [_job(result, debug) for result in results]
    slots = {slot.name: slot for slot in plan.slots}
    report = {
        "format": FORMAT,
        "graph": graph or (plan.pipelines[0].graph.name if plan.pipelines else ""),
        "command": list(command),
        "started": started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "totals": _totals(jobs, seconds),
        "jobs": jobs,
        "slots": [_plain(slot) for slot in slots.values()],
        "notes": list(plan.notes),
        "hardware": _plain(plan.hardware),
        "versions": versions(),
        "peak_memory_mb": peak_memory_mb(),
    }
    if monitor is not None:
        report["monitor"] = _plain(monitor)
    return _finite(report)  # type: ignore[no-any-return]


def objective(report: Mapping[str, Any], name: str = "") -> float:
    """The number of a run that an optimiser is to lower.

    ``name`` is a path into the report (``totals.fps``, ``jobs.0.figures.identities``); without
    one it is the wall seconds per second of source. Infinite where the report has no value
    because a job failed. Raises `RequestError` for a path that leads nowhere or to no number.
    """
    path = name or f"totals.{DEFAULT_OBJECTIVE}"
    flat = dict(_paths(report))
    if path in flat:
        value = flat[path]
        return math.inf if value is None else float(value)
    if any(job["status"] not in ("done", "skipped") for job in report["jobs"]):
        return math.inf
    raise _unknown(path, flat)


def as_text(report: Mapping[str, Any]) -> str:
    """``report`` as JSON for people, too: indented, but a list of numbers is one line.

    >>> print(as_text({"a": [1, None, -2.5e-07], "b": ["x"]}))
    {
      "a": [1, null, -2.5e-07],
      "b": [
        "x"
      ]
    }
    """
    text = json.dumps(report, indent=2, ensure_ascii=False)
    # No string holds a line break: JSON writes it as \\n.
    number = r"(?:-?[\d.]+(?:e[-+]?\d+)?|null)"
    return re.sub(
        rf"\[\n\s*{number}(?:,\n\s*{number})*\n\s*\]",
        lambda m: " ".join(m[0].split()).replace("[ ", "[").replace(" ]", "]"),
        text,
    )


def better(path: str) -> str:
    """Which way the number at ``path`` is better, for those whose names tell.

    >>> better("totals.fps"), better("jobs.0.seconds"), better("totals.frames")
    ('higher is better', 'lower is better', 'which way is better is unknown')
    """
    name = path.rpartition(".")[2]
    if name in HIGHER:
        return "higher is better"
    # The source's length is nobody's merit.
    if name != "source_seconds" and any(word in name for word in LOWER):
        return "lower is better"
    return "which way is better is unknown"


def check_objective(plan: Plan, name: str) -> None:
    """Refuse, before anything runs, a name that no report has. What a job's nodes will tell is
    known only afterwards. Raises `RequestError`."""
    results = [JobResult(assignment.job, "done") for assignment in plan.assignments]
    report = build_report(plan, results, started=datetime.now(UTC), seconds=0.0)
    known = [path for path, _ in _paths(report)]
    told = any(name.startswith(f"jobs.{n}.{part}.") for n in range(len(results)) for part in TOLD)
    told = told or name.startswith("monitor.figures.")
    if name and name not in known and not told:
        raise _unknown(name, known)


def _unknown(path: str, known: Iterable[str]) -> RequestError:
    near = nearest(path, known)
    hint = f"Did you mean '{near}'?" if near else f"Take totals.{DEFAULT_OBJECTIVE}, for example."
    problem = Problem("unknown-objective", "objective", f"the report has no number '{path}'.", hint)
    return RequestError([problem])


def versions() -> dict[str, str]:
    """Python's version and those of the packages that decide how a result looks."""
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float | None:
    """The most memory this process ever had in RAM, in MiB; ``None`` where the system does not
    say."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
        return peak / 2**20 if peak else None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def source_seconds(job: Job, frames: int) -> float:
    """How long the source plays: what the container claims, or ``frames`` at its rate."""
    if job.duration > 0:
        return job.duration
    rate = job.video.frame_rate
    return frames / float(rate) if rate else 0.0


def _job(result: JobResult, debug: bool) -> dict[str, Any]:
    job, figures = result.job, dict(result.figures)
    moved = {way: int(figures.pop(way, 0)) for way in (TO_DEVICE, TO_HOST)}
    if "frames_with_reid" in figures and result.frames_out:
        figures["reid_activation_ratio"] = figures["frames_with_reid"] / result.frames_out
    told: dict[str, Any] = {
        "name": job.name,
        "input": job.input,
        "outputs": list(result.outputs),
        "kept_seconds": result.kept_seconds,
        "status": result.status,
        "error": result.error,
        "slot": result.slot,
        "seconds": result.seconds,
        "source_seconds": source_seconds(job, result.frames_in),
        "frames_in": result.frames_in,
        "frames_out": result.frames_out,
        "frames_before": result.frames_before,
        "fps": result.fps,
        "nodes": [_node(_plain(node)) for node in result.nodes],
        "queues": [_plain(queue) for queue in result.queues],
        **moved,
        "figures": _plain(figures),
        "events": [_plain(event) for event in result.events],
        "recoveries": sum(event.kind == "recovery" for event in result.events),
        "recovered_by": dict(Counter(taken.action for taken in result.history)),
    }
    if debug and result.trace:
        told["trace"] = result.trace
    return told


def _node(node: dict[str, Any]) -> dict[str, Any]:
    return {
        **node,
        "milliseconds_per_call": 1000 * node["seconds"] / node["calls"] if node["calls"] else None,
    }


def _totals(jobs: Sequence[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    done = [job for job in jobs if job["status"] == "done"]
    skipped = sum(job["status"] == "skipped" for job in jobs)
    played = sum(job["source_seconds"] for job in done)
    frames = sum(job["frames_out"] for job in done)
    before = sum(job["frames_before"] for job in done)
    totals: dict[str, Any] = {
        "jobs": len(jobs),
        **{status: sum(job["status"] == status for job in jobs) for status in STATUSES},
        "frames": frames,
        "source_seconds": played,
        "fps": (frames - before) / seconds if seconds else None,
        # A run in which a job failed did less work and must not look fast.
        DEFAULT_OBJECTIVE: seconds / played if played and len(done) == len(jobs) - skipped else None,
    }
    for name in SUMMED:
        values = [job[name] if name in job else job["figures"].get(name) for job in jobs]
        if any(value is not None for value in values):
            totals[name] = sum(value for value in values if value is not None)
    return totals


def _plain(value: Any) -> Any:
    """``value`` in the types that JSON has."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _paths(value: Any, before: str = "") -> list[tuple[str, float | None]]:
    """Every number in the report by its path; null counts as one that is not known."""
    if isinstance(value, Mapping):
        items: Sequence[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return [(before, value)]
    else:
        return []
    return [pair for key, item in items for pair in _paths(item, f"{before}.{key}" if before else str(key))]
