"""The command: compose the request with Hydra, hand plain values to an action, tell the exit code.

Nothing else knows Hydra. Exit codes: 0 done, 1 a job failed, 2 the request is wrong, 130 interrupted.
Only ``run`` and ``bench`` (and sweeps) go through Hydra's job runner, which makes a run folder; the
other actions are composed alone and leave nothing behind.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualface.actions import ACTIONS, Request
from dualface.graph.errors import InputError, Problem, RequestError
from dualface.graph.registry import nearest

FOLDERS = ("run", "bench")  # actions that have a run folder
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """The ``dualface`` command; answers with the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = any(arg in ("debug=true", "debug=True") for arg in args)
    for stream in (sys.stdout, sys.stderr):  # a name may hold what the terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _main(args)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as stop:  # argparse, within Hydra
        return stop.code if isinstance(stop.code, int) else 2
    except Exception as error:
        return _tell(error, debug)


def _main(args: list[str]) -> int:
    if {"-h", "--help"} & set(args):
        from dualface.help import text

        print(text())
        return 0
    # Hydra would print its own errors and end with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    from hydra._internal.utils import get_args_parser

    from dualface.cli import overrides
    from dualface.searchpath import groups

    flags = get_args_parser().parse_intermixed_args(args)
    sweep = bool(flags.multirun)
    ready = overrides(flags.overrides, sweep, groups())
    kept = list(args)
    for old in flags.overrides:
        kept.remove(old)
    _register()
    action = next((o.split("=", 1)[1] for o in reversed(ready) if o.startswith("action=")), "run")
    special = sweep or flags.cfg or flags.info or flags.hydra_help or flags.run
    if "," not in action and action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"Did you mean '{near}'?" if near else f"The actions are {', '.join(ACTIONS)}."
        raise RequestError([Problem("unknown-action", "action", f"there is no action '{action}'.", hint)])
    if action not in FOLDERS and not special:
        if action != "plan":  # what the other actions show has nothing to do with a graph
            ready = [o for o in ready if not o.lstrip("+~").startswith(("graph", "node/"))] + ["~graph"]
        return _compose(ready, flags)
    return _hydra([*kept, *ready], sweep)


def _register() -> None:
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from dualface.searchpath import Folders
    from dualface.settings import Settings

    ConfigStore.instance().store(name="settings", node=Settings, provider="dualface")
    Plugins.instance().register(Folders)


def _compose(ready: list[str], flags: Any) -> int:
    from hydra import compose, initialize_config_dir

    from dualface.paths import conf_dir

    if flags.config_dir:
        ready = [*ready, f"hydra.searchpath=[file://{Path(flags.config_dir).absolute()}]"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="dualface"):
        config = compose(flags.config_name or "config", ready)
    return _act(_plain(config), Request(command=tuple(ready)))


def _hydra(args: list[str], sweep: bool) -> int:
    import hydra

    from dualface.paths import conf_dir
    from dualface.sweep import Summary, summarise

    before, sys.argv = sys.argv, [sys.argv[0], *args]
    _codes.clear()
    Summary.folder = None
    try:
        hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)()
    except KeyboardInterrupt:
        if Summary.folder is not None:
            summarise(Summary.folder)
        raise
    finally:
        sys.argv = before
    if sweep and Summary.folder is not None:
        return Summary.code
    return _codes[-1] if _codes else 0  # none: --cfg and the like only print


_codes: list[int] = []  # of the runs in this process


def task(config: Any) -> float:
    """One run: never raises for what is wrong with the request or a job, so that a sweep goes on.
    Returns the objective, infinite where there is none."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from dualface.sweep import OUTCOME

    hydra = HydraConfig.get()
    sweep = hydra.mode == RunMode.MULTIRUN
    folder = Path(hydra.runtime.output_dir)
    typed = tuple(hydra.overrides.task)
    request = Request(folder, typed, sweep)
    debug = False
    try:
        plain = _plain(config)
        debug = bool(plain["debug"])
        code = _act(plain, request)
    except Exception as error:
        code = _tell(error, debug)
        request.outcome.setdefault("status", "refused" if code == 2 else "failed")
    _codes.append(code)
    value = request.outcome.get("objective")
    if sweep:
        outcome = {
            **request.outcome,
            "objective": value if value is not None and math.isfinite(value) else None,
            "code": code,
            "number": int(hydra.job.num),
            "overrides": dict(o.lstrip("+").split("=", 1) for o in typed if "=" in o),
        }
        (folder / OUTCOME).write_text(json.dumps(outcome, ensure_ascii=False), encoding="utf-8")
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    return math.inf if value is None else float(value)


def _act(config: dict[str, Any], request: Request) -> int:
    action = config["action"]
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"Did you mean '{near}'?" if near else f"The actions are {', '.join(ACTIONS)}."
        raise RequestError([Problem("unknown-action", "action", f"there is no action '{action}'.", hint)])
    module = importlib.import_module(f"dualface.actions.{action}")
    return int(module.main(config, request))


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return plain


def _tell(error: Exception, debug: bool) -> int:
    """Say ``error`` in sentences on stderr; answers with the exit code."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if debug:
        traceback.print_exception(error)
    if isinstance(error, RequestError):
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    if isinstance(error, InputError):
        print(error, file=sys.stderr)
        return 1
    if isinstance(error, HydraException | OmegaConfBaseException):
        print(_sentence(error), file=sys.stderr)
        return 2
    print(f"Something went wrong within dualface: {type(error).__name__}: {error}", file=sys.stderr)
    if not debug:
        print("debug=true shows where.", file=sys.stderr)
    return 1


def _sentence(error: Any) -> str:
    """Hydra's or OmegaConf's words as one line."""
    missing, options = getattr(error, "missing_cfg_file", None), getattr(error, "options", None)
    if isinstance(missing, str):
        group, _, name = missing.rpartition("/")
        if options:
            near = nearest(name, options)
            meant = f" Did you mean '{near}'?" if near else ""
            return f"{group}={name}: there is no such choice.{meant} The choices are {', '.join(options)}."
        return f"{missing}: there is no such config."
    key = getattr(error, "full_key", None)
    first = str(error).strip().split("\nfull_key")[0].split("\n    full_key")[0]
    words = " ".join(first.split()) or type(error).__name__
    if error.__cause__ is not None and str(error.__cause__) not in words:
        words += " " + " ".join(str(error.__cause__).split("full_key")[0].split())
    return f"{key}: {words}" if key and not words.startswith(str(key)) else words


def config_of(argv: Sequence[str]) -> Mapping[str, Any]:
    """The plain config of a request, for tests and tools; no action is run."""
    from hydra import compose, initialize_config_dir

    from dualface.cli import overrides
    from dualface.paths import conf_dir
    from dualface.searchpath import groups

    _register()
    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="dualface"):
        return _plain(compose("config", overrides(argv, False, groups())))
