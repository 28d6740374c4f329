"""``action=hw``: every hardware value with the layer it came from."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.actions.prepare import hardware
from dualface.paths import user_config_dir


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print the values; what was dropped goes to stderr."""
    resolved = hardware(config, request, trust=False, refresh=bool(config["refresh"]))
    for line in resolved.warnings:
        print(line, file=sys.stderr)
    rows = [(v.key, json.dumps(v.value, default=_plain), v.layer) for v in resolved.values]
    if config["format"] == "json":
        print(json.dumps({k: {"value": json.loads(v), "layer": layer} for k, v, layer in rows}, indent=2))
        return 0
    wide = max(len(k) for k, _, _ in rows), max(len(layer) for _, _, layer in rows)
    for key, value, layer in rows:
        print(f"{key:{wide[0]}}  {layer:{wide[1]}}  {value}")
    print(f"\nYour own layer: {user_config_dir() / 'hw' / 'manual.yaml'}")
    return 0


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else sorted(value)  # type: ignore[arg-type]
