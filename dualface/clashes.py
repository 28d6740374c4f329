"""What is wrong with a sweep as a whole, told before any of its runs begins."""

from __future__ import annotations

import re
from typing import Any

from dualface.actions import FOLDERS
from dualface.graph.errors import Problem, RequestError


def check(config: Any, loader: Any) -> None:
    """Raise `RequestError` where ``config``, a sweep's, is none of runs or puts two runs into one folder.
    ``loader`` composes the single runs."""
    check_action(config.action)
    from omegaconf import OmegaConf

    hydra: Any = OmegaConf.to_container(config.hydra, resolve=False)
    subdir, typed = str(hydra["sweep"]["subdir"]), hydra["overrides"]["task"]
    if re.search(r"hydra[.:]job\.(num|id)\b", subdir):
        return
    taken: dict[str, int] = {}
    for run, folder in enumerate(_folders(config, loader, subdir, typed)):
        if folder in taken:
            message = f"runs {taken[folder]} and {run} would both be in the folder {folder}."
            hint = "Leave it out, or write ${hydra.job.num} into it."
            raise RequestError([Problem("same-folder", "hydra.sweep.subdir", message, hint)])
        taken[folder] = run


def check_action(action: str) -> None:
    """Raise `RequestError` where ``action`` answers by text and leaves nothing to compare."""
    if action not in FOLDERS:
        hint = f"Leave -m out, or sweep action={' or action='.join(FOLDERS)}."
        message = f"action={action} is not for sweeps: its answer is text, for one request."
        raise RequestError([Problem("no-sweep", "action", message, hint)])


def _folders(config: Any, loader: Any, subdir: str, typed: list[str]) -> list[str]:
    """The folder of each run. What a sweeper other than Hydra's basic one will try is not known."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import open_dict

    sweeper = config.hydra.sweeper
    if not sweeper._target_.endswith(f".{BasicSweeper.__name__}"):
        return [] if "${" in subdir else [subdir, subdir]
    texts = [*(f"{key}={value}" for key, value in (sweeper.params or {}).items())]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*texts, *typed])
    runs = BasicSweeper.split_arguments(parsed, None)[0]
    if "${" not in subdir:
        return [subdir for _ in runs]
    found = []
    for number, run in enumerate(runs):
        one = loader.load_sweep_config(config, run)
        with open_dict(one):
            one.hydra.job.num = one.hydra.job.id = number
        HydraConfig.instance().set_config(one)
        found.append(str(one.hydra.sweep.subdir))
    return found
