"""What a person types survives Hydra's grammar to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from dualface.cli import overrides, path_value, quote, split
from dualface.graph.errors import RequestError

NASTY = [
    "가 나.mp4",
    "a,b=c.mp4",
    "it's [1].mp4",
    'say "hi".mp4',
    "${x}.mp4",
    "{name}",
    "a\\",
    "\\'",
    "\\${x}",
    "$",
]


def read(text: str) -> object:
    value = OverridesParser.create().parse_override(f"input={text}").value()
    return OmegaConf.to_container(OmegaConf.create({"input": str(value)}), resolve=True)["input"]


@pytest.mark.parametrize("text", NASTY)
def test_a_quoted_path_means_itself(text: str) -> None:
    assert read(quote(text)) == text


@given(st.text(alphabet="ab ,='\"[]{}$\\가", min_size=1, max_size=8))
def test_any_text_means_itself(text: str) -> None:
    assert read(quote(text)) == text


def test_a_file_of_that_very_name_wins_over_a_list_and_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_value("[a,b]", False) == "['a','b']"
    assert path_value("a,b", True) == "'a','b'"
    (tmp_path / "[a,b]").touch()
    (tmp_path / "a,b").touch()
    assert path_value("[a,b]", False) == "'[a,b]'"
    assert path_value("a,b", True) == "'a,b'"


def test_an_apostrophe_in_a_name_opens_nothing() -> None:
    assert split("it's.mp4,b.mp4") == ["it's.mp4", "b.mp4"]


@pytest.mark.parametrize("key", ["kind", "model", "target", "bench", "objective"])
@pytest.mark.parametrize("text", [*NASTY, "dé/x", "null", "a=b", "it's", "[x", "a,b"])
def test_any_name_is_text(key: str, text: str) -> None:
    (made,) = overrides([f"{key}={text}"], False, {})
    value = OverridesParser.create().parse_override(made).value()
    assert OmegaConf.to_container(OmegaConf.create({key: str(value)}), resolve=True) == {key: text}


def test_names_may_be_swept() -> None:
    assert overrides(["objective=é,a b", "action=choice(run,bench)"], True, {}) == [
        "objective='é','a b'",
        "action=choice(run,bench)",
    ]


def test_options_pass_as_added_so_that_build_sees_every_typo() -> None:
    assert overrides(["graph.nodes.detect.scroe=1", "+hw.x=2"], False, {}) == [
        "++graph.nodes.detect.scroe=1",
        "++hw.x=2",
    ]


@pytest.mark.parametrize(
    "arg", ["actoin=plan", "+recrod=true", "nodes/detect@graph.nodes.detect=yunet", "a.mp4"]
)
def test_unknown_keys_are_refused(arg: str) -> None:
    with pytest.raises(RequestError):
        overrides([arg], False, {"node/detect": ["yunet"], "graph": ["dualface"]})
