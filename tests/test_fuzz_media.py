"""The cases of experiments/fuzz_media.py: none leads elsewhere, and each can be made again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from media import Film, Sound, make

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "experiments"))

from fuzz_cases import DAMAGES, crowd, damaged  # noqa: E402
from fuzz_pretenders import names, referring, written  # noqa: E402
from fuzz_trial import attempt, laid  # noqa: E402
from fuzz_whole import Watch  # noqa: E402


def test_nothing_leads_elsewhere(tmp_path: Path) -> None:
    film = make(tmp_path / "a.mov", Film(times=range(4), sounds=[Sound(seconds=0.2)])).read_bytes()
    with Watch(tmp_path) as watch:
        led = [*written(watch.canary, watch.port), *names(watch.canary, watch.port)]
        both = [*led, *referring(film, watch.canary, watch.port)]
        for number, case in enumerate(both):
            path = laid(case, number, tmp_path)
            outcome = attempt(str(path) if path else case.name or "", number, tmp_path, isolate=False)
            assert not outcome.bad, f"{case.source}: {outcome}"
            assert outcome.word == "refused" or case not in led, case.source
        assert watch.findings() == []
        if watch.notices:
            watch.canary.read_bytes()
            assert watch.findings() == ["somebody read the canary"]


def test_a_case_can_be_made_again(tmp_path: Path) -> None:
    films = [make(tmp_path / "a.mp4"), make(tmp_path / "b.mkv")]
    once, again = (list(damaged(films, 40, seed)) for seed in (1, 1))
    assert [case.make() for case in once if case.make] == [case.make() for case in again if case.make]
    assert {case.kind for case in once} == set(DAMAGES)
    whole = {film.read_bytes() for film in films}
    assert sum(case.make() in whole for case in once if case.make) < 4


@pytest.mark.parametrize(("count", "word"), [(3, "done"), (300, "refused")])
def test_a_crowd_is_a_film_but_for_its_number(tmp_path: Path, count: int, word: str) -> None:
    path = tmp_path / "crowd.mkv"
    path.write_bytes(crowd(count))
    assert attempt(str(path), 1, tmp_path, isolate=False).word == word
