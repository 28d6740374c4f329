"""``action=models``: where models come from, whether they are what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualface.actions import Request


def main(config: Mapping[str, Any], request: Request) -> int:
    """Verify and convert all models, or the one that ``model`` names; 1 where one is not usable."""
    from dualface.zoo import ModelError, descriptors, find, onnx_path

    failed = False
    for model in [find(config["model"])] if config["model"] else descriptors():
        print(f"{model.name}: {model.title}\n  licence: {model.licence}")
        try:
            print(f"  verified and ready: {onnx_path(model.name)}")
        except ModelError as error:
            failed = True
            print(f"  not usable: {error}")
    return int(failed)
