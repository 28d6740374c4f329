"""The table at the end of a sweep: every run's overrides and figures, printed and as CSV."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from dualface.graph.errors import Problem, RequestError
from dualface.report import DEFAULT_OBJECTIVE, better
from dualface.sentences import problems_of

OUTCOME = "outcome.json"
FIGURES = ("status", "objective", "fps", "seconds", "frames", "failed", "problem")


class Summary(Callback):
    """Gathers what each run of a sweep left in its folder."""

    folder: Path | None = None  # of the sweep in this process
    code: int = 0

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        Summary.folder = Path(config.hydra.sweep.dir).absolute()

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        if Summary.folder is not None:
            Summary.code = summarise(Summary.folder)


def began(folder: Path) -> bool:
    """Whether any run of the sweep in ``folder`` began."""
    return next(folder.glob("**/.hydra"), None) is not None


def not_begun(error: BaseException) -> BaseException:
    """What to tell of ``error``, for which no run of a sweep began."""
    if isinstance(error, KeyboardInterrupt) or problems_of(error) is not None:  # type: ignore[arg-type]
        return error
    why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    hint = "Look at hydra/launcher, hydra/sweeper and what you set of them."
    return RequestError([Problem("no-sweep", "", f"no run could begin: {why}.", hint)])


def summarise(folder: Path) -> int:
    """Print and save the table of the sweep in ``folder``; answers with the sweep's exit code."""
    runs = [_outcome(path.parent) for path in folder.glob("**/.hydra")]
    runs.sort(key=lambda run: run["number"])
    swept = list(dict.fromkeys(key for run in runs for key in run["overrides"]))
    # What is the same in every run is in the runs' own folders.
    swept = [key for key in swept if len({run["overrides"].get(key) for run in runs}) > 1]
    rows = [[str(run["overrides"].get(key, "")) for key in swept] for run in runs]
    figures = [[_figure(run.get(name)) for name in FIGURES] for run in runs]
    titles = ["run", *swept, *(_objective(runs) if name == "objective" else name for name in FIGURES)]
    table = [[str(run["number"]), *a, *b] for run, a, b in zip(runs, rows, figures, strict=True)]
    target = folder / "summary.csv"
    with target.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([titles, *table])
    widths = [max(map(len, column)) for column in zip(titles, *table, strict=True)]
    for row in [titles, *table]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    print(f"The table is in {target}.", file=sys.stderr)
    codes = {run["code"] for run in runs}
    if 130 in codes:
        return 130
    return 2 if codes == {2} else int(bool(codes - {0}))


def _objective(runs: Iterable[Mapping[str, Any]]) -> str:
    """The number that all ``runs`` were to tell, and which way is better."""
    names = {run["objective_name"] for run in runs if run.get("status") in ("done", "failed", "interrupted")}
    names = {name.removeprefix(f"totals.{DEFAULT_OBJECTIVE}") or DEFAULT_OBJECTIVE for name in names}
    if len(names) > 1:
        return "objective"
    name = names.pop() if names else DEFAULT_OBJECTIVE
    return f"{name} ({better(name)})"


def _outcome(run: Path) -> dict[str, Any]:
    """What the run in folder ``run`` left; one that left nothing died, and counts as failed."""
    if (run / OUTCOME).is_file():
        return json.loads((run / OUTCOME).read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    import yaml  # type: ignore[import-untyped]

    hydra = yaml.safe_load((run / ".hydra" / "hydra.yaml").read_text(encoding="utf-8"))["hydra"]
    return {
        "status": "died",
        "code": 1,
        "problem": "it left no result; it may have run out of memory.",
        "number": hydra["job"]["num"],
        "overrides": options(hydra["overrides"]["task"]),
    }


def options(typed: Iterable[str]) -> dict[str, str]:
    """``key=value`` overrides as a dictionary, without the quotes that are there for Hydra alone.

    >>> options(["input='a b.mp4'", "++graph.nodes.encode.crf=20"])
    {'input': 'a b.mp4', 'graph.nodes.encode.crf': '20'}
    """
    parts = [text.lstrip("+").partition("=") for text in typed]
    return {key: _bare(value) for key, sign, value in parts if sign}


def _bare(value: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if "'" not in value:
        return value
    read = OverridesParser.create().parse_override(f"key={value}").value()
    if isinstance(read, list):
        return f"[{', '.join(map(_meant, read))}]"
    return _meant(read) if isinstance(read, str) else value


def _meant(text: Any) -> str:
    """What OmegaConf makes of ``text``, in which interpolations are escaped."""
    return re.sub(r"(\\+)\$\{", lambda found: "\\" * (len(found[1]) // 2) + "${", str(text))


def drop_empty(run: Path) -> None:
    """Take away the folder ``run`` of a run, or of a sweep, if Hydra alone has written there: nothing
    was started."""
    written = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "multirun.yaml"]
    ours = {run / name for name in (".hydra", *written)}
    if not run.is_dir() or not set(run.rglob("*")) <= ours:
        return
    for name in written:
        (run / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # up to the first folder that holds something else
        if (run / ".hydra").is_dir():
            (run / ".hydra").rmdir()
        run.rmdir()
        for folder in run.parents:
            if Path.cwd() not in folder.parents:
                break
            folder.rmdir()


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
