"""Faults behind the stand-ins for a card: its sessions and memory come back whatever goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from media import Film, Sound, make
from standins.machine import Machine

from dualface.graph.execute import JobResult
from dualface.graph.faults import Fault
from dualface.nodes.decode.probe import probe

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from fault_matrix import HANGS, RULES, Lab, expected, fault, left_over, releasing, state

# The stand-ins are in this process alone.
HERE = tuple(replace(r, actions=tuple(a for a in r.actions if a != "fresh")) for r in RULES.rules)


class Card(NamedTuple):
    """The machine, two films, and what comes out without a fault."""

    machine: Machine
    folder: Path
    wanted: dict[str, bytes]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Card]:
    folder = tmp_path_factory.mktemp("card")
    for name in ("good", "bad"):
        make(folder / f"{name}.mp4", Film(times=range(24), sounds=(Sound(),)))
    machine = Machine()
    resource_tracker.ensure_running()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "PyNvVideoCodec", machine.chip.module)
        results = on_card(machine, folder, "wanted")
        assert [r.error for r in results] == ["", ""]
        yield Card(machine, folder, Lab.files(folder / "wanted"))


def on_card(machine: Machine, folder: Path, into: str, *faults: Fault) -> tuple[JobResult, ...]:
    jobs = [
        probe(folder / f"{name}.mp4", output=folder / into / f"{name}.mp4", name=name, index=index)
        for index, name in enumerate(("good", "bad"))
    ]
    rules = HANGS if any(fault.fault == "hang" for fault in faults) else RULES
    return machine.run(jobs, running={"recovery": replace(rules, rules=HERE), "faults": faults})


@pytest.mark.parametrize("node", ["decode", "encode"])
@pytest.mark.parametrize(
    "name",
    [
        *("raise device", "raise resource", "raise sticky", "raise bug", "raise at open", "raise at finish"),
        *("delay", "exhaust memory", "hang", "corrupt length"),
    ],
)
def test_a_card_likewise(card: Card, node: str, name: str) -> None:
    machine, folder, wanted = card
    made = fault(node, name)
    if made is None:
        pytest.skip("an encoder answers nothing")
    into = f"{node} {name}"
    before: dict[str, Any] = state()
    with releasing():
        good, bad = on_card(machine, folder, into, made)
    assert left_over(before) == []
    assert machine.chip.open == 0
    found = Lab.files(folder / into)
    assert good.status == "done"
    assert found["good.mp4"] == wanted["good.mp4"]
    meant = "failed" if made.sticky else expected(node, name)
    assert bad.status == ("failed" if meant == "failed" else "done"), bad.error
    assert sorted(found) == (["good.mp4"] if meant == "failed" else ["bad.mp4", "good.mp4"])
    if meant == "same":
        assert found == wanted
