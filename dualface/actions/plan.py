"""``action=plan``: what would happen, on this machine or another."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dualface.actions import Request
from dualface.actions.prepare import NOMINAL, make, probe_all
from dualface.graph.job import Job


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print the plan: for the inputs named, or else for a minute of 1080p."""
    from dualface.graph.draw import draw_plan

    jobs: Sequence[Job] = [NOMINAL]
    if config.get("input") is not None or config.get("input_list"):
        jobs, failed = probe_all(config, None)
        for _, sentence in failed:
            print(sentence, file=sys.stderr)
        if not jobs:
            return 1
    print(draw_plan(make(config, request, jobs, trust=True), config["format"]))
    return 0
