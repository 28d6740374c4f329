"""What blur/cpu hides where no face was found, and what it says of faces it lost."""

from __future__ import annotations

from dualface.nodes.blur.cover import Box, Look, Rules, Sight, at_rim, cover, near
from dualface.nodes.blur.losses import Losses

RULES = Rules(expand=1.5, bridge=4, gap=10, size=(1000, 600))
A, B = 1, 2


def box(x: float, y: float = 300.0, size: float = 40.0) -> Box:
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def film(n: int, looks: dict[int, dict[int, Look | Box]], cut: int | None = None) -> list[Sight]:
    """``n`` frames with the looks of some; a scene begins at ``cut``."""
    return [
        Sight(
            int(cut is not None and i >= cut),
            {k: v if isinstance(v, Look) else Look(v) for k, v in looks.get(i, {}).items()},
        )
        for i in range(n)
    ]


def hidden(sights: list[Sight], now: int, x: float, y: float = 300.0) -> bool:
    """Whether a face box of 40 pixels around a point is wholly covered by one box."""
    u0, v0, u1, v1 = box(x, y)
    return any(
        x0 <= max(u0, 0) and y0 <= max(v0, 0) and x1 >= min(u1, 1000) and y1 >= min(v1, 600)
        for x0, y0, x1, y1 in cover(sights, now, RULES)
    )


def test_between_two_tracks_at_one_place_the_way_is_hidden() -> None:
    sights = film(40, {10: {A: box(300)}, 20: {B: box(360)}})
    for i in range(10, 21):
        assert hidden(sights, i, 300 + 6 * (i - 10)), i


def test_tracks_too_far_apart_in_time_place_or_size_are_no_pair() -> None:
    late = film(40, {10: {A: box(300)}, 21: {B: box(360)}})
    far = film(40, {10: {A: box(300)}, 20: {B: box(600)}})
    large = film(40, {10: {A: box(300)}, 20: {B: box(360, size=120)}})
    for sights in (late, far, large):
        assert not list(cover(sights, 15, RULES))
    assert not near(box(300), box(300, size=100), 2.0)


def test_nothing_is_bridged_over_a_cut() -> None:
    sights = film(40, {10: {A: box(300)}, 18: {B: box(300)}}, cut=15)
    short = Rules(1.5, 0, 10, (1000, 600))
    assert not any(list(cover(sights, i, short)) for i in range(11, 18))
    only = film(40, {12: {A: box(300)}}, cut=14)
    assert hidden(only, 13, 300)
    assert not list(cover(only, 14, RULES))


def test_one_track_is_followed_from_look_to_look() -> None:
    sights = film(40, {10: {A: box(300)}, 18: {A: box(700)}})
    assert hidden(sights, 14, 500)


def test_who_leaves_or_enters_is_hidden_to_the_edge() -> None:
    for x, edge in ((30.0, 5.0), (970.0, 995.0)):
        sights = film(60, {30: {A: box(x)}})
        for i in (22, 38):
            assert hidden(sights, i, edge), (x, i)
        assert not list(cover(sights, 41, RULES))
    assert hidden(film(60, {30: {A: box(500, 20)}}), 38, 500, 2)
    assert hidden(film(60, {30: {A: box(500, 580)}}), 38, 500, 598)
    middle = film(60, {30: {A: box(500)}})
    assert hidden(middle, 34, 500)
    assert not list(cover(middle, 35, RULES))


def test_a_predicted_box_is_hidden_widely() -> None:
    def width(look: Look) -> float:
        (x0, _, x1, _), = cover(film(1, {0: {A: look}}), 0, RULES)  # fmt: skip
        return x1 - x0

    assert width(Look(box(300), 5)) > width(Look(box(300))) + 8
    assert width(Look(box(300), 500)) < 3 * 40


def lost(sights: list[Sight], scores: dict[int, float] | None = None) -> Losses:
    losses = Losses()
    for i, sight in enumerate(sights):
        given = {k: 0.0 if look.age else (scores or {}).get(k, 0.9) for k, look in sight.looks.items()}
        losses.look(sight, given, i / 10, RULES)
    losses.end(RULES)
    return losses


def said(losses: Losses) -> str:
    event = losses.event("blur")
    return event.message if event else ""


def seen(frames: range, track: int, x: float) -> dict[int, dict[int, Look | Box]]:
    return {i: {track: box(x)} for i in frames}


def test_a_face_lost_inside_the_picture_is_told_where_it_is_first_bare() -> None:
    sights = film(60, seen(range(20), A, 300))
    assert said(lost(sights)) == "a face was lost inside the picture at 0:02.4: look at the result there"
    both = film(60, {**seen(range(20), A, 300), **seen(range(20, 30), B, 700)})
    assert said(lost(both)) == (
        "2 faces were lost inside the picture, the first at 0:02.4: look at the result there"
    )


def test_legitimate_ends_are_not_told() -> None:
    to_the_end = film(24, seen(range(20), A, 300))
    to_the_cut = film(60, seen(range(20), A, 300), cut=24)
    out_of_it = film(60, seen(range(20), A, 975))
    followed = film(60, {**seen(range(20), A, 300), **seen(range(28, 60), B, 320)})
    again = film(60, {**seen(range(20), A, 300), **seen(range(28, 60), A, 400)})
    two_boxes = {**seen(range(60), B, 305), **{i: {A: box(300), B: box(305)} for i in range(20)}}
    doubtful = lost(film(60, seen(range(20), A, 300)), {A: 0.5})
    for sights in (to_the_end, to_the_cut, out_of_it, followed, again, film(60, two_boxes)):
        assert not said(lost(sights))
    assert not said(doubtful)


def test_a_scene_that_shows_a_lost_face_for_a_while_is_told_of() -> None:
    assert lost(film(60, seen(range(20), A, 300), cut=25)).first == 2.4


def test_a_follower_that_was_seen_during_the_prediction_counts() -> None:
    looks: dict[int, dict[int, Look | Box]] = dict(seen(range(20), A, 300))
    for i in range(20, 26):
        looks[i] = {A: Look(box(300), i - 19)}
    for i in range(23, 60):
        looks.setdefault(i, {})[B] = box(310)
    assert not said(lost(film(60, looks)))


def test_what_begins_further_off_excuses_nothing() -> None:
    sights = film(60, {**seen(range(20), A, 300), **seen(range(28, 60), B, 320)})
    assert not said(lost(sights))
    sights = film(60, {**seen(range(20), A, 300), **seen(range(28, 60), B, 340)})
    assert said(lost(sights))


def test_a_doubtful_follower_of_a_sure_face_is_worth_a_warning() -> None:
    sights = film(80, {**seen(range(20), A, 300), **seen(range(25, 40), B, 310)})
    assert lost(sights, {B: 0.35}).first == 4.4


def test_memory_holds_the_last_frames_only() -> None:
    losses = Losses()
    for i in range(3000):
        losses.look(Sight(0, {i: Look(box(50 + i % 900))}), {i: 0.9}, i / 10, RULES)
    assert len(losses._tracks) <= RULES.reach + 2


def test_the_rim_is_half_a_box_wide() -> None:
    for x in (-15, 0, 20, 39, 965, 1010):
        assert at_rim(box(x), (1000, 600)), x
    assert not at_rim(box(41), (1000, 600))
    assert at_rim(box(500, 561), (1000, 600))
