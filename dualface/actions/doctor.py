"""``action=doctor``: what is usable here."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dualface.actions import Request


def main(config: Mapping[str, Any], request: Request) -> int:
    """Print every finding; 1 where something is missing that dualface cannot do without."""
    from dualface.hw.doctor import doctor

    checks = doctor()
    if config["format"] == "json":
        print(json.dumps([dataclasses.asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        for check in checks:
            mark = "ok  " if check.ok else "FAIL" if check.needed else "-   "
            print(f"{mark}  {check.name}: {check.message}{'  ' + check.hint if check.hint else ''}")
    return int(any(not check.ok and check.needed for check in checks))
