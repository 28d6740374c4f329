"""The monitor of a run: from the keys ``monitor.*`` to who watches, who pauses and what is reported."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualface.graph.errors import Problem, RequestError
from dualface.graph.plan import Plan
from dualface.graph.running.outcome import Listener
from dualface.graph.running.pace import Pace

if TYPE_CHECKING:
    from dualface.hw.pacing import Places
    from dualface.hw.pressure import Limits

RANGES = {  # the least and the most
    "interval": (0.1, 3600.0),
    "port": (0, 65535),
    "disk_mb": (0, float("inf")),
    "patience": (0, float("inf")),
    "vram_percent": (1, 100),
    "calm": (0, float("inf")),
}


def check_monitor(monitor: Mapping[str, Any]) -> None:
    """Raise `RequestError` with all that is wrong with the keys ``monitor.*``."""
    from dualface.hw.exposition import PACKAGE
    from dualface.hw.probe import importable

    problems = []
    for key, (least, most) in RANGES.items():
        value = monitor[key]
        if value is not None and not least <= value <= most:
            reach = f"at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
            problems.append(
                Problem("bad-value", f"monitor.{key}", f"it cannot be {value}.", f"It is {reach}.")
            )
    if monitor["port"] is not None:
        if not monitor["enabled"]:
            message, hint = (
                "without the monitor there is nothing to show.",
                "Leave monitor.enabled=false out.",
            )
            problems.append(Problem("no-monitor", "monitor.port", message, hint))
        elif not importable(PACKAGE):
            message, hint = (
                "prometheus-client is not installed.",
                "pip install 'dualface[monitor]' brings it.",
            )
            problems.append(Problem("not-installed", "monitor.port", message, hint))
    if problems:
        raise RequestError(problems)


@dataclass
class Watch:
    """What a run has of its monitor: whom to tell what happens, whom to ask who may go on, and, once it has
    ended, its part of the report. Without a monitor, the last two are None."""

    listener: Listener
    pace: Pace | None = None
    report: dict[str, Any] | None = None


@contextlib.contextmanager
def monitored(monitor: Mapping[str, Any], plan: Plan, listener: Listener, failed: int = 0) -> Iterator[Watch]:
    """Look after a run of ``plan`` while the block lasts; ``failed`` jobs have failed before. Raises
    `RequestError` where the port cannot be had."""
    if not monitor["enabled"] or not plan.assignments:
        yield Watch(listener)
        return
    from dualface.hw.exposition import Collector, exposed
    from dualface.hw.monitor import Monitor
    from dualface.hw.pacing import Pacing
    from dualface.hw.sampling import Sampler
    from dualface.hw.tally import Tally

    places, tally = _places(plan), Tally(listener, failed)
    pacing = Pacing(_limits(monitor, plan), places, tally)
    watch = Watch(tally, pacing)
    with contextlib.ExitStack() as left:
        sampler = Sampler(places.folders)
        left.callback(sampler.close)
        watcher = Monitor(sampler, monitor["interval"], pacing.take)
        if monitor["port"] is not None:
            collector = Collector(lambda: watcher.latest, tally, places.folders)
            port = left.enter_context(exposed(collector, monitor["port"]))
            print(f"Figures for Prometheus: http://127.0.0.1:{port}/metrics", file=sys.stderr)
        with watcher:
            yield watch
        watch.report = {
            **watcher.told(),
            "disks": {f"disk{number}": folder for number, folder in enumerate(places.folders)},
            "events": pacing.events,
        }


def _limits(monitor: Mapping[str, Any], plan: Plan) -> Limits:
    from dualface.hw.pressure import Limits

    slots = Counter(slot.gpu for slot in plan.slots if slot.gpu is not None)
    keys = ("disk_mb", "vram_percent", "throttle", "calm", "patience")
    return Limits(**{key: monitor[key] for key in keys}, slots=slots)


def _places(plan: Plan) -> Places:
    """Where the plan's jobs are; a job writes beside its outputs, wherever links lead."""
    from dualface.actions.prepare import graphs  # which asks for the check above
    from dualface.hw.pacing import Places
    from dualface.hw.sampling import disks

    folders: dict[int, set[Path]] = {}
    for job in (assignment.job for assignment in plan.assignments):
        made = [plan.instead[job.index]] if job.index in plan.instead else graphs(plan)
        paths = {
            path for graph in made for node in graph.nodes for path in node.kind.cls.writes(node.config, job)
        }
        folders[job.index] = {Path(name).parent for path in paths for name in (path, os.path.realpath(path))}
    numbers = disks(sorted({folder for found in folders.values() for folder in found}))
    first = {number: folder for folder, number in reversed(numbers.items())}
    return Places(
        {slot.name: slot.gpu for slot in plan.slots if slot.gpu is not None},
        {index: tuple(sorted({numbers[folder] for folder in found})) for index, found in folders.items()},
        [first[number] for number in sorted(first)],
    )
