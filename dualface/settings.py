# ruff: noqa: RUF009  (each default is made anew by field())
"""The top-level keys of a request: types, defaults and help in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dualface.graph.job import USUAL_LIMITS


def _key(default: Any, help: str) -> Any:
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class Monitor:
    """What looks after the machine while jobs run; see docs/monitor.md."""

    enabled: bool = _key(True, "look at GPUs, CPU, memory and disks while jobs run")
    interval: float = _key(1.0, "seconds between two looks")
    port: int | None = _key(None, "figures for Prometheus on 127.0.0.1 at this port; 0 finds a free one")
    disk_mb: float = _key(512, "MiB to be left free where outputs go: below, jobs pause; 0: never")
    patience: float | None = _key(3600, "seconds that jobs wait for such a disk; null: for ever")
    vram_percent: float = _key(95, "of a GPU's memory, from which on a job less runs there; 100: never")
    throttle: bool = _key(True, "a job less runs on a GPU that heat slows down")
    calm: float = _key(60, "seconds without such trouble, after which a job more runs again")


@dataclass
class Settings:
    """What a user can say beside the config groups; ``--help`` shows each line."""

    action: str = _key("run", "what to do: run, plan, nodes, hw, doctor, models or bench")
    input: Any = _key(None, "a video, a pattern such as 'clips/*.mp4', a list [A,B], or demo")
    input_list: str | None = _key(None, "a text file that names one video a line")
    output: str | None = _key(None, "where results go; {name} is the input's name, {index} its number")
    overwrite: bool = _key(False, "replace outputs that exist already")
    resume: bool = _key(False, "skip what an earlier run finished, and go on with what it left unfinished")
    record: bool = _key(False, "also write who was seen where, as one JSON line a frame")
    strict_zero_copy: bool = _key(False, "refuse a graph in which pixels move between CPU and GPU")
    objective: str = _key("", "the number of report.json that a sweep shows, such as totals.fps")
    format: str = _key("text", "how plan, nodes, hw and doctor answer: text, json; plan also mermaid, svg")
    kind: str = _key("", "with action=nodes: the one kind to describe")
    model: str = _key("", "with action=models: the one model to verify and convert")
    target: str = _key("", "with action=models: build engines for this hardware, such as rtx5090")
    bench: str = _key("", "with action=bench: which benchmark")
    refresh: bool = _key(False, "with action=hw: probe this machine again")
    protocols: list[str] = _key(["file"], "how inputs may be opened: file, http, https")
    limits: dict[str, Any] = _key(
        dataclasses.asdict(USUAL_LIMITS),
        "the most an input may ask: limits.width=, height, pixels, frame_mb of a picture; streams, seconds",
    )
    people: dict[str, Any] = _key(
        {"left": None, "right": None, "sides": "person"},
        "who gets which tile: photos people.left=, people.right=; people.sides=person or position",
    )
    monitor: Monitor = field(default_factory=Monitor)
    quiet: bool = _key(False, "no progress, only warnings and failures")
    debug: bool = _key(False, "show tracebacks")
    graph: dict[str, Any] = _key({}, "the graph: a config group")
    hw: dict[str, Any] = _key({}, "the hardware: a config group")
    layout: dict[str, Any] = _key({}, "the output picture and its tiles: a config group")
    recovery: dict[str, Any] = _key({}, "what is done when something fails: a config group")
    faults: list[Any] = _key([], "faults on purpose, to try recovery=: [{node: detect, frame: 40}]")


PICTURE = ("graph", "hw", "layout")  # what makes up a plan
GROUPS = (*PICTURE, "recovery")


def keys() -> tuple[tuple[str, str, str], ...]:
    """Name, default and help of each key that is no config group; those of a block as ``monitor.port``."""
    return tuple(key for key in _keys(Settings()) if key[0] not in GROUPS)


def _keys(block: Any, before: str = "") -> Iterator[tuple[str, str, str]]:
    for f in dataclasses.fields(block):
        value = getattr(block, f.name)
        if dataclasses.is_dataclass(value):
            yield from _keys(value, f"{before}{f.name}.")
        else:
            yield f"{before}{f.name}", _show(value), f.metadata["help"]


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {None: "", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return ""
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
