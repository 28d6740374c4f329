"""Bad graphs: each file holds one, and the exact sentences it must bring."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from build_kinds import MACHINES, stand_ins

from dualface.graph.build import build
from dualface.graph.errors import RequestError

FILES = sorted((Path(__file__).parent / "bad_graphs").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_problem_is_told_in_its_words(file: Path) -> None:
    case = yaml.safe_load(file.read_text(encoding="utf-8"))
    registry = stand_ins(without=frozenset(case.get("without", ())))
    hardware = MACHINES[case.get("hardware", "cpu")]
    with pytest.raises(RequestError) as caught:
        build(case["graph"], hardware, registry, strict_zero_copy=case.get("strict_zero_copy", False))
    assert [str(problem) for problem in caught.value.problems] == case["expect"]


def test_there_are_many() -> None:
    assert len(FILES) >= 25
