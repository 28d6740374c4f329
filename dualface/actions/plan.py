"""``action=plan``: what would happen, on this machine or another."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dualface.actions import Request
from dualface.actions.outputs import check
from dualface.actions.prepare import NOMINAL, prepare, without_unable
from dualface.graph.errors import RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan

PASSING = ("exists", "being-written")


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
        _look(plan, jobs, bool(config["overwrite"]))
    print(draw_plan(plan, config["format"]))
    return 0


def _look(plan: Plan, jobs: Sequence[Job], overwrite: bool) -> None:
    """Raise `RequestError` for outputs that can never be. A file that is there now is told on stderr: the
    plan of a request that is done is a fair question."""
    try:
        check(plan, jobs, overwrite=overwrite, make=False)
    except RequestError as error:
        if any(problem.code not in PASSING for problem in error.problems):
            raise
        for problem in error.problems:
            print(problem, file=sys.stderr)
