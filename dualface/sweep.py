"""The table at the end of a sweep: every run's overrides and figures, printed and as CSV."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

OUTCOME = "outcome.json"
FIGURES = ("status", "objective", "fps", "seconds", "frames", "failed")


class Summary(Callback):
    """Gathers what each run of a sweep left in its folder."""

    folder: Path | None = None  # of the sweep in this process
    code: int = 0

    def on_multirun_start(self, config: Any, **kwargs: Any) -> None:
        Summary.folder = Path(config.hydra.sweep.dir).absolute()

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        if Summary.folder is not None:
            Summary.code = summarise(Summary.folder)


def summarise(folder: Path) -> int:
    """Print and save the table of the sweep in ``folder``; answers with the sweep's exit code."""
    found = list(folder.rglob(OUTCOME))
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in found]
    runs.sort(key=lambda run: run["number"])
    swept = list(dict.fromkeys(key for run in runs for key in run["overrides"]))
    # What is the same in every run is in the runs' own folders.
    swept = [key for key in swept if len({run["overrides"].get(key) for run in runs}) > 1]
    rows = [[str(run["overrides"].get(key, "")) for key in swept] for run in runs]
    figures = [[_figure(run.get(name)) for name in FIGURES] for run in runs]
    titles = ["run", *swept, *FIGURES]
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


def _figure(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
