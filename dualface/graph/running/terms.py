"""How a job is to be done."""

from __future__ import annotations

from dataclasses import dataclass, field

from dualface.graph.running.rescue import Care


@dataclass(frozen=True, slots=True)
class Terms:
    """``overwrite`` allows to replace what has the output's name. ``go_on`` takes up what an earlier try of
    the same ``request`` (see `identity`) has done. A segment is ``segment_seconds`` of the source long; 0 is
    a job in one piece, of which nothing is kept. ``manifest``: what is finished is noted beside the
    outputs."""

    overwrite: bool = False
    go_on: bool = False
    request: str = ""
    segment_seconds: float = 0.0
    care: Care = field(default_factory=Care)
    manifest: bool = False
