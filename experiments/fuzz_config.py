"""What do configs of people who mean harm come to? Thousands of them, changed at random.

    python experiments/fuzz_config.py [cases=3000] [seed=0] [surface=graph]

Real configs are changed (tests/hostile_configs.py), put where a user's or a plugin's are, and used by the
command, watched (tests/watching.py) for code that is run, files outside of runs/ and outputs/, hosts,
the environment. Prints how many came to which exit code, the problems' codes, and every finding;
ends with code 1 where there is one.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hostile_configs import SURFACES, overrides, texts  # noqa: E402
from hostile_ground import Ground, command  # noqa: E402


def drawn(surface: str, count: int, first: int) -> list[tuple[str, list[str]]]:
    """So many cases: what is put there, and what is typed."""
    cases = []

    @seed(first)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        if surface == "typed":
            cases.append(("", ["action=plan", *data.draw(overrides())]))
        else:
            cases.append((data.draw(texts(surface)), command(surface, data.draw(st.integers(0, 3)) > 0)))

    draw()
    return cases


def main(cases: int = 3000, first: int = 0, only: str = "") -> int:
    codes: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    found: Counter[str] = Counter()
    surfaces = [name for name in (*SURFACES, "typed") if only in ("", name)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder).resolve())
        for surface in surfaces:
            here: Counter[int | str] = Counter()
            for text, args in drawn(surface, max(1, cases // len(surfaces)), first):
                code, told, findings = ground.try_out(surface, text, args)
                here[code] += 1
                problems.update(re.findall(r"\[([a-z-]+)\]$", told, re.MULTILINE))
                for finding in findings:
                    kind = re.sub(r"\d+", "#", finding)[:160] + _which(told)
                    if not found[kind]:
                        print(f"\n=== {kind}\n{args} {told[-600:]}\n--- {text[:800]!r}\n", flush=True)
                    found[kind] += 1
            codes += Counter({str(code): count for code, count in here.items()})
            counts = ", ".join(f"exit {code}: {count}" for code, count in sorted(here.items(), key=str))
            print(f"{time.monotonic() - began:5.0f} s  {surface:10} {counts}", flush=True)
    print("problems:", ", ".join(f"{name} {count}" for name, count in problems.most_common()))
    print("exit codes:", ", ".join(f"{code}: {count}" for code, count in sorted(codes.items())))
    print(f"{sum(codes.values())} cases, {sum(found.values())} findings of {len(found)} kinds")
    for kind, count in found.items():
        print(f"{count:6}  {kind}")
    return int(bool(found))


def _which(told: str) -> str:
    wrong = re.search(r"Something went wrong within dualface: (.{0,80})", told)
    return f": {wrong[1]}" if wrong else ""


if __name__ == "__main__":
    said = dict(arg.split("=", 1) for arg in sys.argv[1:])
    sys.exit(main(int(said.get("cases", 3000)), int(said.get("seed", 0)), said.get("surface", "")))
