"""Options: described from their source, and checked all at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from dualface.graph.node import NodeConfig
from dualface.graph.options import describe, parse
from dualface.graph.types import Layout, Tile


@dataclass
class Inner:
    size: int = 3  # how large
    ratio: float = 1.5


@dataclass
class Base(NodeConfig):
    # what it is
    # called
    name: str = "x"


@dataclass
class Config(Base):
    """A doc: with a colon."""

    score: float = 0.6  # keep faces at or above, 0..1
    every: int = 1
    mode: Literal["hold", "wide"] = "hold"
    limit: int | None = None
    folder: Path = Path("here")
    many: list[int] = field(
        default_factory=list,  # some numbers
    )
    inner: Inner = field(default_factory=Inner)
    pair: tuple[float, float] = (0.0, 1.0)
    layout: Layout | None = None

    def __post_init__(self) -> None:
        fine: bool = 0 <= self.score <= 1  # not an option
        if not fine:
            raise ValueError(f"score is {self.score:g}, but it goes from 0 to 1")


def problems(**values: Any) -> list[str]:
    config, found = parse(Config, values, "node", "kind/x")
    assert (config is None) == bool(found)
    return [str(problem) for problem in found]


def test_describe_reads_types_defaults_and_comments() -> None:
    options = {o.name: o for o in describe(Config)}
    assert [*options][:3] == ["name", "score", "every"]
    assert options["name"].doc == "what it is called"
    assert (options["score"].type, options["score"].default) == ("float", 0.6)
    assert options["score"].doc == "keep faces at or above, 0..1"
    assert options["every"].doc == ""
    assert options["mode"].type == "hold | wide"
    assert options["limit"].type == "int | null"
    assert (options["many"].default, options["many"].doc) == ([], "some numbers")
    assert "fine" not in options


def test_good_values_become_the_dataclass() -> None:
    tile = {"name": "left", "x": 0, "y": 0, "width": 2, "height": 2}
    layout = {"width": 4, "height": 2, "tiles": [tile]}
    config, found = parse(Config, {"score": 1, "folder": "a/b", "inner": {"size": 5}, "layout": layout}, "")
    assert not found
    assert config is not None
    assert config == Config(
        score=1.0, folder=Path("a/b"), inner=Inner(5), layout=Layout(4, 2, (Tile("left", 0, 0, 2, 2),))
    )
    assert isinstance(config.layout, Layout)


def test_values_of_python_are_taken_as_well() -> None:
    layout = Layout(4, 2, (Tile("left", 0, 0, 2, 2),))
    config, found = parse(Config, {"folder": Path("a"), "layout": layout, "pair": (1, 2)}, "")
    assert not found
    assert config is not None
    assert (config.layout, config.pair) == (layout, (1.0, 2.0))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"every": True}, "node.every: true is not a whole number. [bad-option]"),
        ({"every": 1.0}, "node.every: 1.0 is not a whole number. [bad-option]"),
        ({"score": "0.5"}, 'node.score: "0.5" is not a number. [bad-option]'),
        ({"limit": "x"}, 'node.limit: "x" is not a whole number or null. [bad-option]'),
        ({"mode": "hodl"}, "node.mode: \"hodl\" is not one of hold, wide. Did you mean 'hold'? [bad-option]"),
        ({"pair": [1]}, "node.pair: [1] is not a list of 2 values (float, float). [bad-option]"),
        ({"many": [1, "a"]}, 'node.many.1: "a" is not a whole number. [bad-option]'),
        ({"inner": 3}, "node.inner: 3 is not a mapping with size, ratio. [bad-option]"),
        ({"inner": {"size": "a"}}, 'node.inner.size: "a" is not a whole number. [bad-option]'),
        (
            {"inner": {"sise": 1}},
            "node.inner.sise: Inner has no option 'sise'. Did you mean 'size'? [unknown-option]",
        ),
        ({"scroe": 1}, "node.scroe: kind/x has no option 'scroe'. Did you mean 'score'? [unknown-option]"),
        ({"score": 2}, "node: score is 2, but it goes from 0 to 1. [bad-option]"),
        ({"many": {1, 2}}, "node: there is a value that YAML does not have: {1, 2} is a set. [bad-option]"),
    ],
)
def test_one_problem_is_one_sentence(values: dict[str, Any], said: str) -> None:
    assert problems(**values) == [said]


def test_all_problems_are_told_at_once() -> None:
    found = problems(score=7, every="often", scroe=1, inner={"size": None, "rato": 2}, layout={"width": 1})
    assert [line.split(":")[0] for line in found] == [
        *("node.scroe", "node.inner.rato"),
        *("node.every", "node.inner.size", "node.layout.height", "node.layout.tiles"),
        "node",
    ]
