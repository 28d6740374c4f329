"""``action=models``: where models come from, whether they are what they should be; with ``target``,
their engines for a GPU that need not be here."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualface.actions import Request
from dualface.graph.errors import Problem, RequestError
from dualface.graph.registry import nearest

if TYPE_CHECKING:
    from dualface.graph.hardware import Hardware
    from dualface.zoo import Descriptor

COLUMNS = ("model", "precision", "pictures", "size", "built in", "engine")


def main(config: Mapping[str, Any], request: Request) -> int:
    """Verify and convert all models, or the one that ``model`` names, and build the engines for
    ``target``; 1 where one of them is not usable (an optional one that nobody named may be missing)."""
    from dualface.zoo import ModelError, descriptors, left_out, onnx_path

    known, name, failed = descriptors(), config["model"], False
    if name and name not in [model.name for model in known]:
        near = nearest(name, [model.name for model in known])
        hint = f"Did you mean '{near}'?" if near else f"There are {', '.join(m.name for m in known)}."
        raise RequestError([Problem("unknown-model", "model", f"there is no model '{name}'.", hint)])
    hardware = _target(config, request) if config["target"] else None
    usable = []
    for model in [model for model in known if name in ("", model.name)]:
        print(f"{model.name}: {model.title}\n  licence: {model.licence}")
        try:
            print(f"  verified and ready: {onnx_path(model.name)}")
            usable.append(model)
        except ModelError as error:
            if not name and left_out(model):
                print(f"  optional: {error}")
                continue
            failed = True
            print(f"  not usable: {error}")
    if hardware is not None:
        failed |= not _engines(hardware, usable)
    return int(failed)


def _target(config: Mapping[str, Any], request: Request) -> Hardware:
    """The hardware that ``target`` names: a config of the group ``hw``."""
    from dualface.actions.prepare import hardware
    from dualface.documents import read
    from dualface.guard import content_problem
    from dualface.paths import conf_dir
    from dualface.searchpath import folders

    name = str(config["target"])
    files = {
        file.stem: file
        for root in [*(folder for _, folder in reversed(folders())), conf_dir()]
        for file in (root / "hw").glob("*.yaml")
    }
    if name not in files:
        near = nearest(name, files)
        hint = f"Did you mean '{near}'?" if near else f"There are {', '.join(sorted(files))}."
        raise RequestError([Problem("no-target", "target", f"there is no hardware '{name}'.", hint)])
    values = read(files[name]) or {}
    if problem := content_problem(str(files[name]), values):
        raise RequestError([problem])
    typed = {key: value for key, value in request.overrides("hw").items() if "." not in key}
    resolved = hardware({"hw": {"name": name, **values, **typed}}, request, trust=True)
    for line in resolved.warnings:
        print(line, file=sys.stderr)
    if not resolved.hardware.gpus:
        message = f"'{name}' has no GPU, and engines are for GPUs."
        raise RequestError([Problem("no-gpu", "target", message, "Name another, such as target=rtx5090.")])
    return resolved.hardware


def _engines(hardware: Hardware, models: Sequence[Descriptor]) -> bool:
    """Build what is missing for each GPU and print a table; False where something cannot be built."""
    from dualface.infer.engines import Target, folder, load, profile
    from dualface.infer.tensorrt import EngineError, engine
    from dualface.zoo import ModelError, onnx_path

    good, rows = True, [COLUMNS]
    for gpu in {(gpu.name, gpu.compute_capability): gpu for gpu in hardware.gpus}.values():
        target = Target(gpu.name, gpu.compute_capability)
        print(f"\nengines for {gpu.name}, compute capability {gpu.compute_capability or '?'}, in {folder()}")
        for model in (model for model in models if model.sizes):
            wanted = profile(model.sizes, model.sizes[1], hardware.infer_batch)
            least, _, most = ("x".join(map(str, size)) for size in model.sizes)
            for half in (True, False):
                try:
                    built = engine(onnx_path(model.name, half=half), target, wanted, here=False)
                    if load(built.path) != built.plan:
                        raise EngineError(f"{built.path} is not read back; is its folder this user's alone?")
                except (EngineError, ModelError, ValueError) as error:
                    good = False
                    print(f"  {model.name}: {error}")
                    break
                pictures = f"1 to {wanted.batch} of {least} to {most}"
                took = "was there" if built.cached else f"{built.seconds:.1f} s"
                size = f"{len(built.plan) / 1e6:.1f} MB"
                bits = "16 bit" if half else "32 bit"
                rows.append((model.name, bits, pictures, size, took, Path(built.path).name))
    if len(rows) > 1:
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  " + "  ".join(f"{cell:{w}}" for cell, w in zip(row, wide, strict=True)).rstrip())
    return good
