"""The user's own layer: a YAML file with any of the keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualface.documents import text_of
from dualface.graph.errors import RequestError
from dualface.hw.layers import Layer


def read_manual(path: Path) -> Layer:
    """The manual layer in ``path``: empty where there is no file.

    The file is read as plain values. What would make Hydra or OmegaConf run or look up
    something (interpolations, ``_target_``, ``defaults``, ``hydra``) is left out, and so is a file
    that cannot be read; the layer's ``notes`` say so in a sentence each.
    """
    from omegaconf import DictConfig, OmegaConf

    if not path.is_file():
        return Layer("manual", {})
    try:
        text_of(path)
        loaded = OmegaConf.load(path)
        plain = OmegaConf.to_container(loaded, resolve=False)
    except RequestError as error:
        return Layer("manual", {}, (f"{path} is left out: {error.problems[0].message}",))
    except Exception as error:  # YAML and OmegaConf errors have no common base
        reason = " ".join(str(error).split())
        return Layer("manual", {}, (f"{path} is left out: it cannot be read as YAML ({reason}).",))
    if not isinstance(loaded, DictConfig) or not isinstance(plain, Mapping):
        return Layer("manual", {}, (f"{path} is left out: it should be a list of 'key: value' lines.",))
    notes: list[str] = []
    values: dict[str, Any] = {}
    for name, value in plain.items():
        key = str(name)
        why = _refuse(key, value)
        if why:
            notes.append(f"{path}: '{key}' is left out: {why}.")
        elif key != "name":
            values[key] = value
    return Layer("manual", values, tuple(notes))


def _refuse(key: str, value: Any) -> str:
    if key in ("defaults", "hydra"):
        return "a hardware layer has no Hydra sections"
    if key.startswith("_"):
        return "a hardware layer holds plain values only"
    if isinstance(value, str) and "${" in value:
        return f"interpolations ({value}) are not allowed in a hardware layer"
    if isinstance(value, Mapping):
        return next((why for k, v in value.items() if (why := _refuse(str(k), v))), "")
    if isinstance(value, list):
        return next((why for v in value if (why := _refuse("", v))), "")
    return ""
