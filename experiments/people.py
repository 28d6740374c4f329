"""Is a person shown as somebody else? The policies of recognition, over clips with true boxes.

    python run.py action=bench bench=people input=FOLDER [hw=cpu]
    python run.py action=bench bench=people 'input=[FOLDER,FOLDER]'
    python experiments/people.py FOLDER [FOLDER ...] [override ...]

Each folder holds NAME.mp4 and, in MOT style, NAME.txt: frame (from 1), person, x, y, width, height, 1, 1,
visible share; crossing_clips.py makes such clips. input=demo makes a few with portraits that packages carry.
Every policy is one run of graph=inspect over all clips of a folder, on the CPU and, with hw=auto on a machine
with a GPU, on that too. What the figures mean is in people_score.py; corr. are the swaps that reports say
were corrected, frames those in which a face was recognised, µs a frame are CPU time. The first line is the
tracker's boxes under their true names: what detector and tracker leave to reach. A policy whose nodes are
not installed is named and left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

REID = "node/reid@graph.nodes.reid="
POLICY = "graph.nodes.reid.policy="
TRUE = "true names"
POLICIES = {
    TRUE: ("reid/off", [f"{REID}off"]),
    "tracker alone": ("reid/off", [f"{REID}off"]),
    "always": ("reid/conditional", [f"{REID}conditional", f"{POLICY}always"]),
    "new tracks": ("reid/conditional", [f"{REID}conditional", f"{POLICY}new"]),
    "our gate": ("reid/conditional", [f"{REID}conditional", f"{POLICY}conditional"]),
}
COUNTED = ("faces_seen", "faces_recognised", "frames_with_reid", "swaps_corrected")
HEAD = (
    f"{'':18}{'recall':>7}{'wrong':>7}{'nameless':>9}{'strayed':>8}{'strays':>7}{'IDF1':>7}{'HOTA':>7}{'swaps':>6}{'delay':>6}{'corr.':>6}"
    f"{'tracks':>7}{'faces rec.':>11}{'frames':>7}{'track µs':>9}{'reid µs':>8}"
)


def clips(folder: Path) -> list[Path]:
    """The clips that have true boxes beside them."""
    return sorted(clip for clip in folder.glob("*.mp4") if clip.with_suffix(".txt").is_file())


def run(found: Sequence[Path], overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """graph=inspect over clips, into ``folder``; the report. Raises RuntimeError with what it said."""
    names = folder / "clips.txt"
    names.write_text("".join(f"{clip}\n" for clip in found))
    command = [
        sys.executable, str(ROOT / "run.py"), "graph=inspect", f"input_list={names}",
        f"output={folder}/{{name}}.people.jsonl", f"hydra.run.dir={folder / 'run'}", "quiet=true",
        "overwrite=true", *overrides,
    ]  # fmt: skip
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-2000:])
    return dict(json.loads((folder / "run" / "report.json").read_text(encoding="utf-8")))


def measure(found: Sequence[Path], overrides: Sequence[str], *, true: bool = False) -> dict[str, float]:
    """The figures of one policy over the clips of a folder; ``true``: of its boxes under their true names."""
    from people_score import Score, frames, named, score

    from dualface.nodes.decode.probe import probe

    total = Score()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = run(found, overrides, folder)
        for clip in found:
            size = probe(clip, output=folder / "none", name=clip.stem).video.display_size
            shown = frames(clip.with_suffix(".txt"), folder / f"{clip.stem}.people.jsonl", size)
            total.add(score(named(shown) if true else shown))
    counts = {key: sum(job["figures"].get(key, 0) for job in report["jobs"]) for key in COUNTED}
    played = sum(job["frames_out"] for job in report["jobs"])
    spent = {
        role: sum(
            node["cpu_seconds"] for job in report["jobs"] for node in job["nodes"] if node["name"] == role
        )
        for role in ("track", "reid")
    }
    return total.figures() | {
        "recognised": counts["faces_recognised"] / max(counts["faces_seen"], 1),
        "frames": counts["frames_with_reid"] / max(played, 1),
        "corrected": counts["swaps_corrected"],
        **{f"{role}_us": seconds / max(played, 1) * 1e6 for role, seconds in spent.items()},
    }


def row(policy: str, f: Mapping[str, float]) -> str:
    return (
        f"{policy:18}{f['recall']:7.1%}{f['wrong']:7.2%}{f['nameless']:9.1%}{f['strayed']:8.2%}{f['strays']:7.0f}{f['idf1']:7.1%}{f['hota']:7.1%}"
        f"{f['swaps']:6.0f}{f['delay']:6.1f}{f['corrected']:6.0f}{f['tracks']:7.0f}{f['recognised']:11.1%}{f['frames']:7.1%}"
        f"{f['track_us']:9.0f}{f['reid_us']:8.0f}"
    )


def bench(folders: Sequence[Path], overrides: Sequence[str], where: str = "") -> int:
    from dualface.graph.registry import installed

    kinds = installed().kinds
    missing = sorted({kind for kind, _ in POLICIES.values() if kind not in kinds})
    for kind in missing:
        left_out = ", ".join(policy for policy, (needs, _) in POLICIES.items() if needs == kind)
        print(f"{kind} is not installed; left out: {left_out}.", file=sys.stderr)
    failed = False
    for folder in folders:
        found = clips(folder)
        print(f"\n{folder.name}: {len(found)} clips{where}\n{HEAD}", flush=True)
        for policy, (kind, chosen) in POLICIES.items():
            if kind not in missing:
                try:
                    print(row(policy, measure(found, [*chosen, *overrides], true=policy == TRUE)), flush=True)
                except RuntimeError as error:  # perhaps a package that only this one needs
                    failed = True
                    print(f"{policy}: {error}", file=sys.stderr)
    return int(failed)


def main(config: Mapping[str, Any]) -> int:
    """What ``action=bench bench=people`` calls."""
    source = config.get("input")
    hw = str(config["hw"]["name"]) if config.get("hw") else "auto"
    if not source:
        print("input= names no folder of clips; input=demo makes some.", file=sys.stderr)
        return 2
    if source != "demo":
        return start([Path(str(one)) for one in (source if isinstance(source, list) else [source])], hw)
    from crossing_clips import make
    from heads import heads

    cast = heads([])
    if len(cast) < 2:
        print(
            "input=demo needs the portraits in matplotlib and scikit-image: the extra 'demo'.",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as name:
        for kind in ("swap", "mixed"):
            make(Path(name) / kind, cast, kind, 4, 0)
        return start([Path(name) / "swap", Path(name) / "mixed"], hw)


def start(folders: Sequence[Path], hw: str, overrides: Sequence[str] = ()) -> int:
    """The benchmark on the hardware named; ``auto``: on the CPU, and on the GPU where there is one."""
    for folder in folders:
        if not clips(folder):
            hint = (
                "bench=people needs folders of clips with true boxes (NAME.mp4 and NAME.txt): input=FOLDER."
            )
            said = f"{folder} has none" if folder.is_dir() else f"there is no folder {folder}"
            print(f"{said}. {hint}", file=sys.stderr)
            return 2
    from dualface.hw.probe import machine_gpus

    folders = [folder.resolve() for folder in folders]
    runs = ["cpu", "auto"] if hw == "auto" and machine_gpus() else [hw]
    return max(bench(folders, [f"hw={one}", *overrides], f", hw={one}") for one in runs)


if __name__ == "__main__":
    words = sys.argv[1:]
    named = [word for word in words if "=" not in word]
    if not named:
        sys.exit(__doc__)
    given = [word for word in words if "=" in word and not word.startswith("hw=")]
    hardware = next((word[3:] for word in words if word.startswith("hw=")), "auto")
    sys.exit(start([Path(word) for word in named], hardware, given))
