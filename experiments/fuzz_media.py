"""Hostile media: is there one that crashes a job, hangs it, eats memory, or makes it look elsewhere?

    python run.py action=bench bench=fuzz_media [input=FOOTAGE]
    python experiments/fuzz_media.py [FOOTAGE] [--cases 3000] [--seed 1] [--runs 4] [--isolate] [--only 7,9]

Whole short films of every container and codec that this FFmpeg can write (fuzz_seeds.py) are damaged
(fuzz_cases.py), others lead elsewhere (fuzz_pretenders.py). Each case is opened, probed and decoded by the
real node in a child of its own, every fourth is encoded as well; ``--runs`` runs of the whole command line
each get forty of them and two whole films, which have to be done. A listening socket and a file that must not
be read stand by, and with strace all that is opened is looked at. Ends with code 1 on any finding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "experiments")]

from fuzz_cases import Case, crowds, damaged  # noqa: E402
from fuzz_pretenders import names, not_files, referring, written  # noqa: E402
from fuzz_seeds import large, seeds  # noqa: E402
from fuzz_trial import BOUND_MB, BOUND_S, Outcome, trials  # noqa: E402
from fuzz_whole import Watch, traced, whole_runs  # noqa: E402

TRACED = 6  # of the damaged, every so manyeth is looked at by strace as well


def cases(
    films: Sequence[Path], folder: Path, watch: Watch, count: int, seed: int, *, isolate: bool
) -> list[Case]:
    """All of them, those that lead elsewhere first."""
    by_name = {film.stem: film for film in films}
    mov, mp4 = by_name["mov-libx264-aac"], by_name["mp4-libx264-aac"]
    led = chain(
        written(watch.canary, watch.port),
        referring(mov.read_bytes(), watch.canary, watch.port),
        names(watch.canary, watch.port),
        not_files(folder, mov),
        (Case("large", film.stem, film.read_bytes) for film in large(folder)),
        crowds(mp4, by_name["mpegts-libx264-aac"], endless=isolate),
    )
    return [*led, *damaged(films, count, seed)]


def table(found: Iterable[tuple[Case, Outcome]]) -> list[str]:
    """Outcomes by kind of case, as lines."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for case, outcome in found:
        rows[case.kind][outcome.word] += 1
    words = sorted({word for row in rows.values() for word in row})
    lines = [f"{'':16}{'cases':>7}" + "".join(f"{word:>9}" for word in words)]
    total: Counter[str] = sum(rows.values(), Counter())
    for kind, row in [*rows.items(), ("all", total)]:
        lines.append(f"{kind:16}{row.total():7}" + "".join(f"{row[word]:9}" for word in words))
    return lines


def fuzz(
    footage: Path | None, count: int, seed: int, runs: int, isolate: bool, only: Sequence[int] = ()
) -> int:
    with tempfile.TemporaryDirectory() as temporary, Watch(Path(temporary)) as watch:
        folder = Path(temporary)
        for name in ("seeds", "odd", "cases"):
            (folder / name).mkdir()
        films = seeds(folder / "seeds", footage)
        print(f"{len(films)} whole films", flush=True)
        every = cases(films, folder / "odd", watch, count, seed, isolate=isolate)
        chosen = [every[number] for number in only] if only else every
        started, found = time.monotonic(), []
        for done, (case, outcome) in enumerate(trials(chosen, folder / "cases", isolate=isolate), 1):
            found.append((case, outcome))
            if outcome.bad or only:
                print(f"case {every.index(case)}: {case.kind}, {case.source}: {outcome}", flush=True)
            if done % 500 == 0:
                print(f"{done} of {len(chosen)} in {time.monotonic() - started:.0f} s", flush=True)
        print("\n".join(table(found)))
        slow = max(found, key=lambda one: one[1].seconds)
        most = max(found, key=lambda one: one[1].memory_mb)
        print(f"longest: {slow[1].seconds:.1f} s ({slow[0].kind}, {slow[0].source}); bound {BOUND_S} s")
        peak, what = most[1].memory_mb, f"{most[0].kind}, {most[0].source}"
        print(f"most memory: {peak:.0f} MiB ({what}); bound {BOUND_MB} MiB")
        bad = sum(outcome.bad for _, outcome in found)
        if only:
            return int(bad > 0)
        beyond = [case for case in every[:-count] if case.kind not in ("large", "streams")]
        told = watch.findings() + traced([*beyond, *every[-count::TRACED]], folder / "cases")
        told += whole_runs(every[-count:], [films[0], *films], folder, runs, seed, isolate=isolate)
        told += watch.findings()
        print(
            "\n".join(told) or "nothing beyond the inputs was read or called; every run did its whole films"
        )
        print(f"{bad + len(told)} findings")
        return int(bad + len(told) > 0)


def main(config: Mapping[str, Any]) -> int:
    """The bench: three thousand damaged files and all the rest."""
    source = config.get("input")
    usual = ROOT.parent / "shared" / "media" / "duo_1080p.mp4"
    return fuzz(Path(source) if source else usual if usual.is_file() else None, 3000, 1, 4, False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", nargs="?", type=Path)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--isolate", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    picked = [int(number) for number in given.only.split(",") if number]
    sys.exit(fuzz(given.footage, given.cases, given.seed, given.runs, given.isolate, picked))
