"""How a job is to be done."""

from __future__ import annotations

from dataclasses import dataclass, field

from dualface.graph.running.rescue import Care


@dataclass(frozen=True, slots=True)
class Terms:
    """``overwrite`` allows to replace what has the output's name. ``go_on`` takes up what an earlier try of
    the same ``request`` (see `identity`) has done. ``care`` is how its failures are met. ``manifest``: what
    is finished is noted beside the outputs."""

    overwrite: bool = False
    go_on: bool = False
    request: str = ""
    care: Care = field(default_factory=Care)
    manifest: bool = False
