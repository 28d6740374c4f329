"""A fault at a node: the other job never notices, the faulty one ends as its rules say, nothing is left.

Enough to meet every node and every fault; `experiments/fault_matrix.py` does all of them together.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))

from fault_matrix import BOUND, FAULTS, NODES, Lab, case

COVERING = [
    ("decode", "raise device"), ("decode", "corrupt times"), ("decode", "hang"),
    ("detect", "raise device"), ("detect", "exhaust memory"), ("detect", "kill"),
    ("track", "raise resource"), ("track", "corrupt nan"),
    ("reid", "raise for ever"), ("reid", "delay"), ("reid", "corrupt noise"),
    ("camera", "raise bug"), ("camera", "corrupt length"),
    ("compose", "raise sticky"), ("compose", "corrupt blank"), ("compose", "raise at open"),
    ("encode", "exhaust disk"), ("encode", "raise at finish"),
    ("record", "raise input"), ("record", "exhaust handles"),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


def test_every_node_and_fault_is_met() -> None:
    assert {node for node, _ in COVERING} == set(NODES)
    assert {name for _, name in COVERING} == FAULTS.keys() - {"hang at open"}  # (in test_watch)


@pytest.mark.parametrize(("node", "name"), COVERING)
def test_a_fault_stays_where_it_is(lab: Lab, node: str, name: str) -> None:
    row = case(lab, node, name)
    assert row is not None
    assert row["wrong"] == []
    assert row["seconds"] < BOUND


def test_the_graph_is_the_main_one(lab: Lab) -> None:
    assert lab.ready.graph.name == "dualface"
    assert {node.name for node in lab.ready.graph.nodes} == set(NODES)
    assert len(lab.wanted) == 4  # two videos, two records
