"""The registry: what is installed, what is broken, and that the one never harms the other."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from build_kinds import DetectConfig, DetectFast, DetectSoft

from dualface.conformance import breaches
from dualface.graph import registry
from dualface.graph.node import Node, NodeConfig
from dualface.graph.registry import GROUP, installed, kind_of, node, registry_of
from dualface.graph.types import Cuts


class Entry:
    """An entry point that names an object, or fails."""

    def __init__(self, name: str, target: Any, package: str) -> None:
        self.name, self.target = name, target
        self.value = f"{package}:{name}"
        self.module = package
        self.dist = type("Dist", (), {"name": package})()

    def load(self) -> Any:
        if isinstance(self.target, Exception):
            raise self.target
        return self.target


def found(monkeypatch: pytest.MonkeyPatch, entries: Iterable[Entry]) -> registry.Registry:
    def entry_points(group: str) -> list[Entry]:
        return list(entries) if group == GROUP else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    return installed()


def test_ours_are_there_with_their_roles() -> None:
    here = installed()
    assert {"transfer", "convert"} <= here.kinds.keys()
    assert {"decode", "detect", "track", "reid", "camera", "compose", "encode"} <= here.roles.keys()


def test_a_plugin_is_found_and_keeps_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    here = found(monkeypatch, [Entry("detect/soft", DetectSoft, "acme")])
    assert (here.kinds["detect/soft"].package, here.kinds["detect/soft"].config) == ("acme", DetectConfig)


def test_what_fails_is_listed_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry("detect/gone", ImportError("no module named 'acme'"), "acme"),
        Entry("detect/other", DetectFast, "acme"),
        Entry("detect/soft", DetectSoft, "acme"),
        Entry("detect/text", "not a class", "acme"),
    ]
    here = found(monkeypatch, entries)
    assert [*here.kinds] == ["detect/soft"]
    assert here.broken["detect/gone"] == "acme: ImportError: no module named 'acme'"
    assert "calls itself 'detect/fast'" in here.broken["detect/other"]
    assert "detect/text" in here.broken


def test_two_packages_cannot_bring_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(DetectSoft):
        pass

    Other.kind = "detect/soft"
    here = found(monkeypatch, [Entry("detect/soft", DetectSoft, "a"), Entry("detect/soft", Other, "b")])
    assert not here.kinds
    assert here.broken["detect/soft"] == "both a and b bring it"


def test_a_class_without_a_kind_is_refused() -> None:
    class Nameless(DetectSoft):
        pass

    Nameless.kind = ""
    with pytest.raises(TypeError, match="decorate it"):
        kind_of(Nameless)


class NoDataclass(NodeConfig):
    gain: int = 1


class NoConfig:
    pass


@dataclass
class Unresolved(NodeConfig):
    gain: Missing = 1  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (NoDataclass, "NoDataclass lacks @dataclass, so that 'gain' is no option"),
        (NoConfig, "its options, NoConfig, must be a dataclass derived from NodeConfig"),
        (Unresolved, "the annotations of Unresolved do not resolve: name 'Missing' is not defined"),
    ],
)
def test_options_that_would_be_lost_are_told(config: Any, said: str) -> None:
    @node("test/options")
    class Odd(Node[config]):
        def process(self) -> Cuts | None: ...

    with pytest.raises(TypeError, match=said):
        _ = kind_of(Odd).config
    assert said in next(iter(breaches(Odd)))


def test_what_is_no_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    @node("test/idle")
    class Idle(Node[NodeConfig]):
        pass

    @node("test/ranked", rank="low")  # type: ignore[arg-type]
    class Ranked(DetectSoft):
        pass

    for target, said in (
        (object, "is no node: that is a class derived from Node"),
        (Idle, "Idle has no method 'process'"),
        (Ranked, "the rank of Ranked is 'low'; it is a whole number"),
    ):
        here = found(monkeypatch, [Entry("test/one", target, "acme")])
        assert said in here.broken["test/one"]


def test_the_nearest_name_is_found_or_none() -> None:
    here = registry_of([DetectSoft, DetectFast])
    assert here.nearest("detect/sotf") == "detect/soft"
    assert here.nearest("zzzzzz") is None
