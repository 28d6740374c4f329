"""Tracks that are exchanged, lost, cut away from: who they are in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dualface.nodes.reid import kept
from dualface.nodes.reid.judge import Limits
from dualface.nodes.reid.who import Rules, Who

FPS = 25
FIVE = np.array([(0, 0), (40, 0), (20, 22), (5, 42), (35, 42)], np.float32)


def face(name: str, frame: int = 0) -> np.ndarray:
    """Numbers of a face: people are about 0.85 from each other, looks at one person about 0.2; at "ann~"
    one has to look twice: that is 0.57 from ann."""
    if name.endswith("~"):
        away = np.random.default_rng(sum(map(ord, name))).normal(0, 1, 32)
        return np.asarray(face(name[:-1], frame) + 0.57 * away / np.linalg.norm(away), np.float32)
    centre = np.random.default_rng(sum(map(ord, name))).normal(0, 1, 32)
    noise = np.random.default_rng([frame, *map(ord, name)]).normal(0, 1, 32)
    mixed = 0.6 * centre / np.linalg.norm(centre) + 0.14 * noise / np.linalg.norm(noise)
    return np.asarray(mixed, np.float32)


@dataclass
class Scene:
    """Plays frames to `Who`: each is a dict of track: (name, x), or (name, x, score)."""

    who: Who = field(default_factory=lambda: Who(Rules(), Limits(0.5), 8))
    frame: int = 0
    looked: list[tuple[int, int]] = field(default_factory=list)  # (frame, track)
    sideways: bool = False
    taller: float = 1.0  # how many times as tall as the others the first one is

    def play(self, rows: Any, cut: bool = False) -> Scene:
        for i, row in enumerate(rows):
            ids = list(row)
            people = [(*what, 0.9)[:3] for what in row.values()]
            boxes = np.array([[x, 100, x + 50, 160] for _, x, _ in people], float).reshape(-1, 4)
            boxes[:1, 2:] = boxes[:1, :2] + (boxes[:1, 2:] - boxes[:1, :2]) * self.taller
            scores = np.array([score for _, _, score in people])

            def embed(wanted: list[int], ids: Any = ids, people: Any = people) -> Any:
                self.looked += [(self.frame, ids[k]) for k in wanted]
                return np.stack([face(people[k][0], self.frame) for k in wanted])

            five = FIVE * np.float32([0.3, 1] if self.sideways else [1, 1])
            landmarks = np.stack([five] * len(ids)) if ids else np.zeros((0, 5, 2), np.float32)
            now = self.frame / FPS
            self.who.see(self.frame, now, cut and i == 0, ids, boxes, scores, landmarks, embed)
            self.frame += 1
        return self

    def read(self, track: int, frame: int) -> int:
        return self.who.ledger.read(track, frame)


def still(frames: int, **people: Any) -> list[dict[int, Any]]:
    return [{int(track[1:]): what for track, what in people.items()} for _ in range(frames)]


def test_while_nothing_happens_next_to_nobody_is_recognised() -> None:
    scene = Scene().play(still(500, t0=("ann", 100), t1=("bob", 400)))
    assert len(scene.looked) <= 0.02 * 1000
    assert {scene.who.asked[reason] for reason in ("near", "weak", "gap", "cut")} == {0}
    assert scene.read(0, 499) != scene.read(1, 499)


@pytest.mark.parametrize("every", [5, 20, 40])
def test_looking_rarely_is_no_gap(every: int) -> None:
    """Boxes in between are only predicted, and vanish after a while."""
    rows: list[dict[int, Any]] = []
    for i in range(400):
        score = 0.9 if i % every == 0 else 0.0
        shown = i % every < 8 or not score
        rows.append({0: ("ann", 100, score), 1: ("bob", 400, score)} if shown else {})
    scene = Scene().play(rows)
    assert scene.who.asked["gap"] <= 2
    assert scene.who.asked["new"] <= 4
    assert len(scene.looked) <= 30


def meeting() -> list[dict[int, Any]]:
    """Two walk into each other; from frame 60 on the tracker has them exchanged."""
    rows: list[dict[int, Any]] = []
    for i in range(120):
        gap = abs(60 - i) * 5
        names = ("ann", "bob") if i < 60 else ("bob", "ann")
        rows.append({0: (names[0], 300 - gap), 1: (names[1], 320 + gap)})
    return rows


def test_an_exchange_is_noticed_and_undone_from_where_it_happened() -> None:
    scene = Scene().play(meeting())
    ann, bob = scene.read(0, 0), scene.read(1, 0)
    assert (scene.read(0, 119), scene.read(1, 119)) == (bob, ann)
    assert (scene.read(0, 40), scene.read(1, 40)) == (ann, bob)
    swaps = [f for f in range(120) if scene.read(0, f) == bob]
    assert abs(swaps[0] - 60) <= 2
    assert swaps == list(range(swaps[0], 120))
    assert {swap.track for swap in scene.who.swaps} <= {0, 1}
    assert all(
        abs(s.frame - 60) <= 2 and s.decided - s.frame < 40 and s.answered == 0 for s in scene.who.swaps
    )
    assert scene.who.asked["near"] == 2


def test_what_was_answered_stays_and_is_counted() -> None:
    scene, rows = Scene(), meeting()
    for row in rows:
        scene.play([row])
        scene.who.answered(max(0, scene.frame - 5), {0, 1})
    assert scene.who.swaps
    assert scene.who.swaps[0].answered > 0
    assert scene.read(0, 119) != scene.read(1, 119)


def test_without_the_gate_the_exchange_stays() -> None:
    scene = Scene(Who(Rules(policy="new"), Limits(0.5), 8)).play(meeting())
    assert scene.read(0, 119) == scene.read(0, 0)
    assert not scene.who.swaps


def test_recognising_always_finds_it_too() -> None:
    scene = Scene(Who(Rules(policy="always"), Limits(0.5), 8)).play(meeting())
    assert scene.read(0, 119) == scene.read(1, 0)
    assert len(scene.looked) > 200


def test_who_comes_back_elsewhere_is_who_left() -> None:
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play(still(60, t1=("bob", 400))).play(still(30, t1=("bob", 400), t7=("ann", 550)))
    assert scene.read(7, 110) == scene.read(0, 0)
    assert scene.who.asked["new"] == 3


def test_a_stranger_is_somebody_new_also_in_the_place_of_who_left() -> None:
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play(still(10, t1=("bob", 400))).play(still(40, t1=("bob", 400), t7=("cleo", 110)))
    assert scene.read(7, 90) not in (scene.read(0, 0), scene.read(1, 0))


def test_after_a_cut_nobody_is_who_stood_there() -> None:
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play(still(40, t2=("bob", 100), t3=("ann", 400)), cut=True)
    assert scene.read(2, 50) == scene.read(1, 0)
    assert scene.read(3, 50) == scene.read(0, 0)
    assert scene.who.asked["cut"] == 2


def test_a_track_number_that_lives_on_behind_a_cut_says_nothing() -> None:
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play(still(40, t0=("bob", 100), t1=("ann", 400)), cut=True)
    assert scene.read(0, 60) == scene.read(1, 0)
    assert scene.read(1, 60) == scene.read(0, 0)


def test_what_moves_fast_behind_a_cut_is_one_person_from_there_on() -> None:
    """As in films of few frames a second: boxes that hardly overlap, of somebody not recognised yet."""
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play([{2: ("ann~", 100)}, {2: ("ann~", 130)}, *still(40, t2=("ann", 130))], cut=True)
    assert scene.who.watches[2].person == scene.read(0, 0)
    assert {scene.read(2, frame) for frame in range(50, scene.frame)} == {scene.read(0, 0)}


def profiles(who: Who, taller: float) -> Scene:
    """Somebody seen from the side, beside one who is smaller."""
    scene = Scene(who)
    scene.sideways = True
    scene.taller = taller
    return scene.play(still(60, t0=("carl", 100), t1=("dora", 400)))


@pytest.mark.parametrize("enrolled", [1, 2])
def test_a_profile_says_little_where_only_one_is_enrolled(enrolled: int) -> None:
    who = Who(Rules(), Limits(0.5), 8, enrolled=enrolled)
    for person in range(enrolled):  # their portraits: about 0.62 from the profile, which says little
        off = np.random.default_rng(person).normal(0, 1, 32)
        who.gallery.add(person, [face("carl") + np.float32(0.6) * (off / np.linalg.norm(off))], set())
    scene = profiles(who, 2.5)
    assert (scene.read(0, 30) < enrolled) == (enrolled == 2)


def test_a_short_track_counts_for_who_it_looked_like() -> None:
    """It ends before it could be looked at twice."""
    scene = Scene().play(still(50, t0=("ann", 100), t1=("bob", 400)))
    scene.play(still(30, t1=("bob", 400))).play(still(6, t1=("bob", 400), t7=("ann", 550)))
    scene.play(still(30, t1=("bob", 400)))
    assert scene.read(7, 80) == scene.read(0, 0)


def test_one_wrong_look_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = still(150, t0=("ann", 100), t1=("bob", 400)) + still(20, t1=("bob", 400))
    scene = Scene().play(rows)
    scene.play(still(1, t1=("bob", 400), t0=("ann", 100)))
    wrong = still(1, t1=("ann", 400))  # one picture in which he looks like her
    while len(scene.looked) == (before := len(scene.looked)) and scene.frame < 1000:
        now = scene.frame / FPS
        due = scene.who.watches[1].due <= now
        scene.play(wrong if due else still(1, t1=("bob", 400)))
        if due:
            break
    assert len(scene.looked) > before
    scene.play(still(40, t1=("bob", 400)))
    assert scene.read(1, scene.frame - 1) == scene.read(1, 0)
    assert not scene.who.swaps


@pytest.mark.parametrize("score", [0.0, 0.6])
def test_faces_that_are_not_clean_are_not_looked_at(score: float) -> None:
    scene = Scene().play(still(100, t0=("ann", 100, score), t1=("bob", 120)))
    assert not scene.looked  # he is half covered by her
    scene.play(still(5, t0=("ann", 100, score), t1=("bob", 400)))
    assert {track for _, track in scene.looked} == {1}


def test_one_person_under_two_numbers_becomes_one_again() -> None:
    who = Who(Rules(), Limits(0.5), 8)
    scene = Scene(who).play(still(30, t0=("ann", 100)))
    watch = who.watches[0]
    old, watch.person = watch.person, who.fresh()
    who.ledger.write(0, 30, watch.person)
    who.gallery.add(watch.person, [face("ann", 999)], set())
    who._unite(watch.person)
    assert watch.person == old
    assert scene.read(0, 30) == old
    assert who.united == [(old + 1, old)]


def test_people_seen_together_are_never_one() -> None:
    who = Who(Rules(), Limits(0.5), 8)
    scene = Scene(who).play(still(60, t0=("ann", 100), t1=("bob", 400)))
    first, second = scene.read(0, 50), scene.read(1, 50)
    who.gallery.faces[second].mean = who.gallery.faces[first].mean
    who._unite(second)
    assert scene.read(1, 50) == second


def play_on(make: Callable[[], Who]) -> list[int]:
    scene = Scene(make())
    scene.play(meeting()[:70])
    fresh = make()
    kept.restore(fresh, {key: np.array(value) for key, value in kept.snapshot(scene.who).items()})
    scene.who = fresh
    scene.play(meeting()[70:])
    return [scene.read(track, frame) for frame in range(120) for track in (0, 1)]


def test_going_on_from_a_snapshot_changes_nothing() -> None:
    straight = Scene().play(meeting())
    expected = [straight.read(track, frame) for frame in range(120) for track in (0, 1)]
    assert play_on(lambda: Who(Rules(), Limits(0.5), 8)) == expected
