"""``action=models``: engines for a GPU that is not here, in a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualface.app import main
from dualface.infer import tensorrt

Said = Callable[[], tuple[int, str, str]]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """The action with more arguments: its exit code, what it printed and what it complained of."""
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*args: str) -> tuple[int, str, str]:
        code = main(["action=models", *args])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_engines_for_the_rtx_5090_are_built_once(models: Said, tmp_path: Path) -> None:
    if not any(each.rtx for each in tensorrt.libraries()):
        pytest.skip("TensorRT for RTX is not installed: pip install 'dualface[tensorrt]'")
    code, out, _ = models("target=rtx5090", "model=yunet")
    assert code == 0
    assert "engines for NVIDIA GeForce RTX 5090, compute capability 12.0" in out
    rows = [line.split() for line in out.splitlines() if line.endswith(".engine")]
    assert [(row[0], row[1]) for row in rows] == [("yunet", "16"), ("yunet", "32")]
    assert {row[-1] for row in rows} == {p.name for p in (tmp_path / "cache" / "engines").iterdir()}
    code, out, _ = models("target=rtx5090", "model=yunet")
    assert code == 0
    assert out.count("was there") == 2
    _, out, _ = models("target=rtx5090", "model=yunet", "hw.infer_batch=32")
    assert out.count("1 to 32 of 64x64 to 640x640") == 2


def test_without_the_library_the_extra_is_named(models: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt, "NAMES", ("no_such_tensorrt",))
    code, out, _ = models("target=rtx5090")
    assert code == 1
    assert "pip install 'dualface[tensorrt]'" in out


@pytest.mark.parametrize(
    ("target", "says"),
    [("rtx509", "no hardware 'rtx509'. Did you mean 'rtx5090'?"), ("cpu", "'cpu' has no GPU")],
)
def test_a_target_that_cannot_be_is_refused(models: Said, target: str, says: str) -> None:
    code, _, err = models(f"target={target}")
    assert code == 2
    assert says in err


def test_without_a_target_nothing_is_built(models: Said, tmp_path: Path) -> None:
    code, out, _ = models()
    assert code == 0
    assert "engines for" not in out
    assert not (tmp_path / "cache" / "engines").exists()


@pytest.mark.parametrize(("named", "code"), [((), 0), (("model=own",), 1)])
def test_an_optional_model_may_be_missing_unless_it_is_named(
    models: Said, tmp_path: Path, named: tuple[str, ...], code: int
) -> None:
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(
        "{name: own, title: t, licence: l, input: i, output: o, optional: true, "
        f"sha256: '{'0' * 64}', source: {{package: no_such_package, file: x}}}}"
    )
    found, out, _ = models(*named)
    assert found == code
    assert "comes with the package no_such_package, which is missing; install it with: pip install" in out
