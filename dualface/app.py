"""The command: compose the request with Hydra, hand plain values to an action, tell the exit code.

Nothing else knows Hydra. Exit codes: 0 done, 1 a job failed, 2 the request is wrong, 130 interrupted.
Only ``run`` and ``bench`` (and sweeps) go through Hydra's job runner, which makes a run folder; the
other actions are composed alone and leave nothing behind.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dualface.actions import ACTIONS, FOLDERS, FORMATS, Request, ends
from dualface.entry import INTERRUPTED
from dualface.graph.errors import Problem, RequestError
from dualface.graph.registry import nearest
from dualface.sentences import problems_of, tell


def main(argv: Sequence[str] | None = None) -> int:
    """The ``dualface`` command; answers with the exit code."""
    code = _guarded(list(sys.argv[1:] if argv is None else argv))
    if argv is None and _threads_left(code):
        # A node has not come back: Python would wait for its threads, or tear itself down around them.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    return code


def _threads_left(code: int) -> bool:
    """Whether a node is still at work though its job is over."""
    watch = sys.modules.get("dualface.graph.running.watch")
    if watch is not None and watch.left_behind():
        return True
    return code == INTERRUPTED and threading.active_count() > 1


def _guarded(args: list[str]) -> int:
    debug = any(arg in ("debug=true", "debug=True") for arg in args)
    for stream in (sys.stdout, sys.stderr):  # a name may hold what the terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _terminable():
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
        return tell(error, debug)


@contextmanager
def _terminable() -> Iterator[None]:
    """What `ends` lists ends whatever is going on as Ctrl-C does; a run has handlers of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def heard(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, heard) for number in ends()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _main(args: list[str]) -> int:
    if {"-h", "--help"} & set(args):
        from dualface.help import text

        print(text())
        return 0
    if "--version" in args:
        print(importlib.metadata.version("dualface"))
        return 0
    # Hydra would print its own errors and end with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"

    from dualface.cli import sift
    from dualface.composing import compose, register
    from dualface.flags import flags
    from dualface.looking import composed
    from dualface.searchpath import give, groups

    given = flags(args)
    give(given.config_dir)
    ready, problems = sift(given.overrides, given.multirun, groups())
    register()
    if given.multirun or given.cfg or given.info or given.hydra_help:
        if problems:
            raise RequestError(problems)
        return _sweep(ready, given.config_name) if given.multirun else _show(given, ready)
    typed = next((o.split("=", 1)[1] for o in reversed(ready) if o.startswith("action=")), "run")
    shown = ready
    if typed in ACTIONS and typed not in ("plan", *FOLDERS):  # a graph has nothing to do with them
        shown = [o for o in ready if not o.lstrip("+~").startswith(("graph", "node/"))] + ["~graph"]
    config = composed(shown, problems, lambda texts: compose(texts, given.config_name))
    # The action may also come from a config, an experiment's for one.
    if _known(config.action) not in FOLDERS:
        return _act(_plain(config), Request(command=tuple(shown)))
    return _run(config)


def _known(action: str) -> str:
    """``action``; raises `RequestError` where it is none."""
    if action not in ACTIONS:
        near = nearest(action, ACTIONS)
        hint = f"Did you mean '{near}'?" if near else f"The actions are {', '.join(ACTIONS)}."
        raise RequestError([Problem("unknown-action", "action", f"there is no action '{action}'.", hint)])
    return action


def _run(config: Any) -> int:
    """One run, in its run folder, of a config with Hydra's section. (``hydra.main`` would compose it
    twice more, which took a fifth of the start-up.)"""
    from hydra._internal.callbacks import Callbacks
    from hydra._internal.utils import create_config_search_path
    from hydra.core.utils import run_job
    from hydra.types import HydraContext

    from dualface.loading import Loader
    from dualface.sweep import drop_empty

    _runs.clear()
    context = HydraContext(Loader(create_config_search_path(None)), Callbacks(config))
    try:
        run_job(task, config, "hydra.run.dir", None, context)
    except OSError as error:
        raise _unwritable(error) from None
    finally:
        for folder in _runs:
            drop_empty(folder)
    return next(reversed(_runs.values()))


def _unwritable(error: OSError) -> Exception:
    """What to tell of ``error``, which Hydra met before any run began."""
    if _runs or problems_of(error) is not None:
        return error
    message = f"the run folder {error.filename} cannot be written: {error.strerror}."
    hint = "Choose another with hydra.run.dir= or, in a sweep, hydra.sweep.dir=."
    return RequestError([Problem("run-folder", "", message, hint)])


def _sweep(ready: list[str], name: str | None) -> int:
    """All runs of a sweep; what they did is told also where its launcher gives up."""
    from dualface.composing import multirun
    from dualface.sweep import Summary, began, drop_empty, not_begun, summarise

    _runs.clear()
    Summary.folder = None
    try:
        multirun(task, ready, name)
    except (KeyboardInterrupt, Exception) as error:
        folder = Summary.folder
        if folder is None:
            raise
        if not began(folder):
            drop_empty(folder)
            raise _unwritable(error) if isinstance(error, OSError) else not_begun(error) from error
        code = summarise(folder)
        if isinstance(error, KeyboardInterrupt):
            raise
        return max(code, tell(error, False))
    return Summary.code


def _show(given: Any, ready: list[str]) -> int:
    """``--cfg``, ``--info`` and ``--hydra-help``, by Hydra itself."""
    import hydra

    from dualface.paths import conf_dir

    show = [f"--{name}={value}" for name in ("cfg", "package", "info") if (value := getattr(given, name))]
    show += [f"--{name}" for name in ("resolve", "hydra-help") if getattr(given, name.replace("-", "_"))]
    show += [f"--config-name={given.config_name}"] if given.config_name else []
    before, sys.argv = sys.argv, [sys.argv[0], *show, *ready]
    try:
        hydra.main(config_path=str(conf_dir()), config_name="config", version_base="1.3")(task)()
    finally:
        sys.argv = before
    return 0


_runs: dict[Path, int] = {}  # the folders of this process's runs, and their exit codes


def task(config: Any) -> float:
    """One run: never raises for what is wrong with the request or a job, so that a sweep goes on.
    Returns the objective, infinite where there is none."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from dualface.clashes import check_action
    from dualface.loading import REFUSED
    from dualface.sweep import OUTCOME, options

    hydra = HydraConfig.get()
    sweep = hydra.mode == RunMode.MULTIRUN
    folder = Path(hydra.runtime.output_dir)
    typed = tuple(OmegaConf.to_container(hydra.overrides, resolve=False)["task"])  # type: ignore[index,call-overload]
    request = Request(folder, typed, sweep)
    debug, code, named = False, INTERRUPTED, ""
    _runs[folder] = code
    try:
        if REFUSED in config:
            raise RequestError(Problem(**problem) for problem in json.loads(config[REFUSED]))
        plain = _plain(config)
        named = str(plain["objective"])
        debug = bool(plain["debug"])
        if sweep:
            check_action(plain["action"])
        code = _act(plain, request)
    except KeyboardInterrupt:
        request.outcome.setdefault("status", "interrupted")
        if not sweep:
            print("Interrupted.", file=sys.stderr)
    except Exception as error:
        code = tell(error, debug)
        request.outcome.setdefault("status", "refused" if code == 2 else "failed")
        request.outcome.setdefault("problem", " ".join(map(str, problems_of(error) or (error,))))
    _runs[folder] = code
    value = request.outcome.get("objective")
    if sweep:
        outcome = {
            **request.outcome,
            "objective": value if value is not None and math.isfinite(value) else None,
            "objective_name": named,
            "code": code,
            "number": int(hydra.job.num),
            "overrides": options(typed),
        }
        (folder / OUTCOME).write_text(json.dumps(outcome, ensure_ascii=False), encoding="utf-8")
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    return math.inf if value is None else float(value)


def _act(config: dict[str, Any], request: Request) -> int:
    action, shape = _known(config["action"]), config["format"]
    if action in FORMATS and shape not in FORMATS[action]:
        message, hint = f"action={action} has no format '{shape}'.", f"It has {', '.join(FORMATS[action])}."
        raise RequestError([Problem("unknown-format", "format", message, hint)])
    module = importlib.import_module(f"dualface.actions.{action}")
    return int(module.main(config, request))


def _plain(config: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    ours = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain: dict[str, Any] = OmegaConf.to_container(ours, resolve=True)  # type: ignore[assignment]
    return plain


def config_of(argv: Sequence[str]) -> Mapping[str, Any]:
    """The plain config of a request, for tests and tools; no action is run."""
    from dualface.cli import overrides
    from dualface.composing import compose, register
    from dualface.searchpath import groups

    register()
    return _plain(compose(overrides(argv, False, groups())))
