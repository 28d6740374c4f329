"""The flags of the command line: Hydra's, but for those that are not for dualface."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from dualface.graph.errors import Problem, RequestError


def flags(args: list[str]) -> Any:
    """What Hydra's own parser makes of ``args``. Raises `RequestError` for what it cannot read, what is
    closed and what does not go together."""
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _unreadable  # type: ignore[method-assign]
    given = parser.parse_intermixed_args(args)
    closed = {
        "--config-path": (given.config_path, "--config-dir=FOLDER adds a folder of your own to dualface's."),
        "--experimental-rerun": (given.experimental_rerun, "report.json tells the command of a run."),
        "--shell-completion": (given.shell_completion or None, "--help shows the keys and choices."),
    }
    for name, (value, hint) in closed.items():
        if value is not None:
            _refuse(name, "it is not for dualface.", hint)
    doing = [f"--{name}" for name in ("run", "multirun", "cfg", "info") if getattr(given, name)]
    if len(doing) > 1:
        _refuse(" ".join(doing), "only one of them can be done.", f"Leave {' or '.join(doing)} out.")
    for name in ("resolve", "package"):
        if getattr(given, name) and not given.cfg:
            _refuse(f"--{name}", "it says how --cfg shows a config.", "Say --cfg job too, or leave it out.")
    if given.config_dir and not Path(given.config_dir).is_dir():
        message = f"there is no folder {given.config_dir}."
        raise RequestError([Problem("no-folder", "--config-dir", message, "It starts from where you are.")])
    return given


def _unreadable(message: str) -> NoReturn:
    _refuse("", message.removeprefix("argument ") + ".", "--help shows what there is.")


def _refuse(name: str, message: str, hint: str) -> NoReturn:
    raise RequestError([Problem("bad-flag", name, message, hint)])
