"""A few lines of YAML stay a few lines of YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualface import zoo
from dualface.app import main
from dualface.documents import check, read
from dualface.graph.errors import RequestError
from dualface.hw.manual import read_manual

NINE = ", ".join(["*{}"] * 9)
# Each line stands for nine of the one before: 9 ** 10 values. Nobody who copies them comes back.
BOMB = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "".join(
    f"{b}: &{b} [{NINE.replace('{}', a)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = "a: &a {x: 1, y: 2}\n" + "".join(
    f"{b}: &{b} {{<<: [{NINE.replace('{}', a)}]}}\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, MERGES, "a: &a [*a]", "&a {b: {c: *a}}"])
def test_aliases_that_stand_for_too_much_are_held_back(text: str) -> None:
    with pytest.raises(RequestError, match=r"me\.yaml: its aliases"):
        check(text, "me.yaml")


@pytest.mark.parametrize("text", ["a: " + "[" * 400 + "]" * 400, "- " * 400 + "x"])
def test_what_is_nested_too_deeply_is_held_back(text: str) -> None:
    with pytest.raises(RequestError, match="levels deep"):
        check(text, "me.yaml")


def test_aliases_are_fine_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]\nd: '*a & b'")
    assert read(tmp_path / "a.yaml")["b"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("file", "args"),
    [
        ("graph/bad.yaml", ["graph=bad", "action=plan"]),
        ("hw/bad.yaml", ["hw=bad", "action=hw"]),
        ("experiment/bad.yaml", ["+experiment=bad", "-m"]),
        ("bad.yaml", ["--config-name", "bad", "action=hw"]),
    ],
)
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOMB.encode(), "its aliases (*name)"),
        (b"a: \xff", "its text is not in UTF-8"),
        (b"5", "there are no keys in it"),
    ],
)
def test_a_config_is_held_to_it_before_hydra_reads_it(
    file: str,
    args: list[str],
    text: bytes,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path / "home"))
    path = tmp_path / "home" / "config" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    assert main(args) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{path}: ")
    assert sentence in told
    assert told.count("\n") == 1


def test_so_are_the_manual_layer_a_target_and_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    for name in ("hw/manual", "hw/mine", "models/own"):
        path = tmp_path / "config" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(BOMB)
    layer = read_manual(tmp_path / "config" / "hw" / "manual.yaml")
    assert not layer.values
    assert "manual.yaml is left out: its aliases" in layer.notes[0]
    with pytest.raises(zoo.ModelError, match=r"own\.yaml: its aliases"):
        zoo.descriptors()
    (tmp_path / "config" / "models" / "own.yaml").unlink()
    assert main(["action=models", "target=mine"]) == 2
    assert "mine.yaml: its aliases" in capsys.readouterr().err
