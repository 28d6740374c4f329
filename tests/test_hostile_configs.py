"""Whatever stands in a config, and whatever is typed: sentences, nothing run, nothing written elsewhere.

A few of each kind; experiments/fuzz_config.py tries thousands.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from hostile_configs import ENV, SECRET, SURFACES, bases, overrides, texts
from hostile_ground import TOKEN, Ground, command
from hypothesis import HealthCheck, given, settings

few = settings(max_examples=2, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return Ground(tmp_path_factory.mktemp("ground").resolve())


@pytest.mark.parametrize("surface", SURFACES)
def test_no_file_does_more_than_it_may(surface: str, ground: Ground) -> None:
    @few
    @given(texts(surface))
    def one(text: str) -> None:
        code, told, findings = ground.try_out(surface, text, command(surface, True))
        assert not findings, (findings, told, text)
        assert code in (0, 1, 2)

    one()


def test_nothing_typed_breaks_it(ground: Ground) -> None:
    @few
    @given(overrides())
    def one(args: list[str]) -> None:
        _, told, findings = ground.try_out("typed", "", ["action=plan", "hw=cpu", *args])
        assert not findings, (findings, told, args)

    one()


@pytest.mark.parametrize("surface", ["graph", "layout", "main", "manual"])
def test_the_configs_that_are_changed_are_good_ones(surface: str, ground: Ground) -> None:
    """Else nothing would be tried out but how they are refused."""
    text = yaml.safe_dump(bases(surface)[0], sort_keys=False)
    assert ground.try_out(surface, text, command(surface, True))[::2] == (0, [])


def test_what_watches_sees(ground: Ground) -> None:
    from watching import watched

    with watched(ground.here) as findings:
        (ground.outside / "x").write_text("x")
        (ground.outside / "x").unlink()
        subprocess.run([sys.executable, "-c", ""], check=True)
        (ground.here / "x").write_text("x")
    assert [finding.split()[0] for finding in findings] == ["open", "os.remove", "subprocess.Popen"]
    (ground.here / "x").unlink()
    _, told, _ = ground.try_out("typed", "", ["action=plan", f"graph.nodes.detect.model={ENV}"])
    assert told.strip()


def test_nor_by_the_whole_command(ground: Ground) -> None:
    (ground.here / "conf" / "graph").mkdir(parents=True, exist_ok=True)
    (ground.here / "conf" / "graph" / "mine.yaml").write_text(f"defaults: [dualface]\nname: {ENV}\n")
    given_ = {**os.environ, SECRET: TOKEN, "PYTHONPATH": os.pathsep.join([str(ground.here), *sys.path])}
    args = [sys.executable, "-m", "dualface", "--config-dir", "conf", "graph=mine", "input=a.mp4", "hw=cpu"]
    done = subprocess.run(args, cwd=ground.here, env=given_, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"mine.yaml: {ENV} calls a resolver, which no config file may." in done.stderr
    assert done.stderr.count("\n") == 1
    assert TOKEN not in done.stdout + done.stderr
    assert not (ground.here / "runs").exists()
