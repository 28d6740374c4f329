"""``action=bench``: the benchmarks of a checkout."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.graph.errors import Problem, RequestError
from dualface.paths import checkout


def main(config: Mapping[str, Any], request: Request) -> int:
    """Run ``main(config)`` of ``experiments/NAME.py``."""
    root, name = checkout(), config["bench"]
    if root is None or not (root / "experiments").is_dir():
        message = "the benchmarks are in the repository, not in the installed package."
        raise RequestError([Problem("no-benches", "bench", message, "Run python run.py in a checkout.")])
    found = {
        p.stem: p
        for p in sorted((root / "experiments").glob("*.py"))
        if "\ndef main(config" in p.read_text(encoding="utf-8")
    }
    if name not in found:
        message = f"there is no benchmark '{name}'." if name else "no benchmark was named."
        hint = f"There are: {', '.join(found) or 'none'}."
        raise RequestError([Problem("unknown-bench", "bench", message, hint)])
    sys.path.insert(0, str(root / "experiments"))
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", found[name])
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return int(module.main(config))
