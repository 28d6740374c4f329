"""recovery= and +faults= as they are typed, and what the report tells of what came of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from media import Film, Sound, make, tracks, video_times

Run = Callable[..., int]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return make(tmp_path / "a.mp4", Film(times=range(12), sounds=(Sound(),)))


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("recovery.stal=4", "recovery has no option 'stal'"),
        ("recovery.stall_seconds=soon", '"soon" is not a number'),
        ("recovery=pateint", "Did you mean 'patient'?"),
        ("recovery.rules=[{nodes: 'detcet/*', actions: [retry]}]", "Did you mean 'detect/*'?"),
        ("+faults=[{node: encoed}]", "Did you mean 'encode'?"),
        ("+faults=[{nod: encode}]", "a fault has no option 'nod'"),
        ("faults=[{node: encode, fault: brake}]", "is not one of raise, delay, corrupt"),
        ("+faults=[{node: encode, fault: corrupt}]", "answers nothing that could be corrupt"),
        ("+faults=[{node: decode, fault: exhaust, what: blank}]", "what is memory or disk or handles"),
        ("+faults=encode", "faults: it cannot be 'encode'"),
        ("+faults=[encode]", "it is no list of mappings"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    typed: str, says: str, run: Run, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("input=a.mp4", "output=out.mp4", typed) == 2
    told = capsys.readouterr().err
    assert says in told
    assert "Traceback" not in told
    assert not Path("out.mp4").exists()


def test_a_recovery_is_told_and_counted(run: Run, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault = "+faults=[{node: decode, frame: 4, error: device}]"
    fast = ("recovery.backoff.first=0", "recovery.backoff.most=0")
    assert run("input=a.mp4", "output=out.mp4", "hydra.run.dir=run", fault, *fast) == 0
    assert "a: recovery: injected at node 'decode'; it starts again" in capsys.readouterr().err
    (job,) = json.loads(Path("run/report.json").read_text())["jobs"]
    assert (job["recoveries"], job["recovered_by"]) == (1, {"resume": 1})
    assert video_times(Path("out.mp4")) == video_times(film)
    assert tracks(Path("out.mp4"), "audio")[0].data == tracks(film, "audio")[0].data


def test_strict_tries_nothing(run: Run, film: Path) -> None:
    assert run("input=a.mp4", "output=out.mp4", "+faults=[{node: decode}]", "recovery=strict") == 1
    assert not [path for path in Path().iterdir() if "out" in path.name]


def test_an_experiment_may_bring_faults(run: Run, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path("conf/experiment/broken.yaml")
    place.parent.mkdir()
    place.write_text("# @package _global_\nfaults: [{node: encode, frame: 4, error: bug}]\n")
    assert run("input=a.mp4", "output=out.mp4", "+experiment=broken") == 1
    assert "ValueError: injected at node 'encode'" in capsys.readouterr().err
