"""``action=plan``: what would happen, on this machine or another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.actions.outputs import check
from dualface.actions.prepare import NOMINAL, prepare, without_unable


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print the plan: for the inputs named, or else for a minute of 1080p."""
    from dualface.graph.draw import draw_plan

    ready = prepare(config, request, trust=True, nominal=True)
    for _, sentence in ready.bad:
        print(sentence, file=sys.stderr)
    if not ready.jobs:
        return 1
    plan = ready.plan(ready.jobs)
    if ready.jobs != (NOMINAL,):
        plan, unable = without_unable(plan, ready.jobs)
        for _, sentence in unable:
            print(sentence, file=sys.stderr)
        jobs = [assignment.job for assignment in plan.assignments]
        check(plan, jobs, overwrite=bool(config["overwrite"]), make=False)
    print(draw_plan(plan, config["format"]))
    return 0
