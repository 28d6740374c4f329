"""How many faces must be recognised? A sweep over the gate's settings, as a picture.

    python run.py -m graph=inspect input_list=CLIPS.txt node/reid@graph.nodes.reid=conditional \
        graph.nodes.reid.every=0.5,1,2,4,8 hydra.sweep.dir=SWEEP
    python experiments/people_sweep.py PICTURE.svg SWEEP [SWEEP ...]

CLIPS.txt lists clips with true boxes beside them (see people.py), one a line. Each run of the sweeps is a
point: the share of faces that were recognised, and of those that were shown as somebody else. Its name
is what the run was given that not all were.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]


class Point(NamedTuple):
    given: tuple[str, ...]
    recognised: float
    wrong: float
    nameless: float


def point(run: Path) -> Point:
    """One run of a sweep."""
    import yaml
    from people_score import Score, frames, score

    from dualface.nodes.decode.probe import probe

    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    total, seen, recognised = Score(), 0, 0
    for job in report["jobs"]:
        clip, told = Path(job["input"]), Path(job["outputs"][0])
        size = probe(clip, output=run / "none", name=clip.stem).video.display_size
        total.add(score(frames(clip.with_suffix(".txt"), told, size)))
        seen += job["figures"].get("faces_seen", 0)
        recognised += job["figures"].get("faces_recognised", 0)
    figures = total.figures()
    given = yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    return Point(tuple(given), recognised / max(seen, 1), figures["wrong"], figures["nameless"])


def draw(points: Sequence[Point], picture: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    common = set.intersection(*(set(p.given) for p in points))
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for p in points:
        at = 100 * p.recognised, 100 * p.wrong
        own = [word for word in p.given if word not in common and "hydra" not in word]
        name = ", ".join(word[word.rfind(".", 0, word.find("=")) + 1 :] for word in own)
        axes.plot(*at, "o", color="#c33" if "policy" in name else "#268")
        axes.annotate(name, at, xytext=(2, 6), textcoords="offset points", fontsize=8, rotation=55)
    axes.set(
        xscale="log", xlim=(2, 150), ylim=(0, 1.25 * max(100 * p.wrong for p in points)),
        xlabel="faces recognised, %", ylabel="faces shown as somebody else, %",
    )  # fmt: skip
    axes.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    axes.grid(alpha=0.3)
    figure.savefig(picture)


def main(picture: str, *sweeps: str) -> None:
    runs = sorted(report.parent for sweep in sweeps for report in Path(sweep).glob("*/report.json"))
    points = [point(run) for run in runs]
    for p in sorted(points, key=lambda p: p.recognised):
        shares = f"{p.recognised:7.2%} recognised {p.wrong:7.2%} wrong {p.nameless:6.1%} nameless"
        print(f"{shares}  {' '.join(p.given)}")
    draw(points, Path(picture))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
