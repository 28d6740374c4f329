"""``action=models``: where models come from, whether they are what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualface.actions import Request
from dualface.graph.errors import Problem, RequestError
from dualface.graph.registry import nearest


def main(config: Mapping[str, Any], request: Request) -> int:
    """Verify and convert all models, or the one that ``model`` names; 1 where one is not usable."""
    from dualface.zoo import ModelError, descriptors, onnx_path

    known, name, failed = descriptors(), config["model"], False
    if name and name not in [model.name for model in known]:
        near = nearest(name, [model.name for model in known])
        hint = f"Did you mean '{near}'?" if near else f"There are {', '.join(m.name for m in known)}."
        raise RequestError([Problem("unknown-model", "model", f"there is no model '{name}'.", hint)])
    for model in [model for model in known if name in ("", model.name)]:
        print(f"{model.name}: {model.title}\n  licence: {model.licence}")
        try:
            print(f"  verified and ready: {onnx_path(model.name)}")
        except ModelError as error:
            failed = True
            print(f"  not usable: {error}")
    return int(failed)
