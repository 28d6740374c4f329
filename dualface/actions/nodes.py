"""``action=nodes``: the installed kinds of node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.graph.draw.kinds import describe_kind, list_kinds
from dualface.graph.registry import Registry, installed


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print all kinds, those of the role, or the one that ``kind`` names."""
    registry, kind = installed(), config["kind"]
    of_role = {name: one for name, one in registry.kinds.items() if one.role == kind}
    if of_role and kind not in registry.kinds:
        registry, kind = Registry(of_role, {}), None
    print(describe_kind(kind, registry, config["format"]) if kind else list_kinds(registry, config["format"]))
    return 0
