"""``action=plan``: what would happen, on this machine or another."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.actions.prepare import prepare


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print the plan: for the inputs named, or else for a minute of 1080p."""
    from dualface.graph.draw import draw_plan

    ready = prepare(config, request, trust=True, nominal=True)
    for _, sentence in ready.bad:
        print(sentence, file=sys.stderr)
    if not ready.jobs:
        return 1
    print(draw_plan(ready.plan(ready.jobs), config["format"]))
    return 0
