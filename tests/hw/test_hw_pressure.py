"""From samples to decisions: what holds for any run of samples, and a few by name."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dualface.hw.pressure import PRESSED, ROOM, SETTLE, Limits, State, step
from dualface.hw.sampling import Gpu, Sample

LIMITS = Limits(disk_mb=100, vram_percent=90, calm=60, patience=300, slots={0: 4})
HOT = ("hardware thermal slowdown",)


def sample(
    seconds: float, free: float | None = 1000, used: float | None = 10, hot: bool | None = False
) -> Sample:
    throttle = None if hot is None else HOT if hot else ("power cap",)
    gpu = Gpu(0, vram_used_mb=used, vram_total_mb=100, throttle=throttle)
    return Sample(seconds, free_mb=(free,), gpus=(gpu,))


def states(samples: list[Sample], limits: Limits = LIMITS) -> list[State]:
    found = [State()]
    for one in samples:
        found.append(step(found[-1], one, limits))
    return found[1:]


def seconds(*what: tuple[int, dict[str, object]]) -> list[Sample]:
    """One sample a second: so many of each."""
    kinds = [options for count, options in what for _ in range(count)]
    return [sample(n, **options) for n, options in enumerate(kinds)]  # type: ignore[arg-type]


some_samples = st.lists(
    st.tuples(
        st.floats(0.1, 30),
        st.none() | st.floats(0, 300),
        st.none() | st.floats(0, 100),
        st.sampled_from([True, False, None]),
    ),
    max_size=80,
)
some_limits = st.builds(
    Limits,
    disk_mb=st.sampled_from([0, 100]),
    vram_percent=st.sampled_from([50, 90, 100]),
    throttle=st.booleans(),
    calm=st.sampled_from([0, 5, 60]),
    patience=st.none() | st.sampled_from([0, 20]),
    slots=st.sampled_from([{}, {0: 1}, {0: 2}, {0: 4}]),
)


@given(some_samples, some_limits)
def test_whatever_comes(
    steps: list[tuple[float, float | None, float | None, bool | None]], limits: Limits
) -> None:
    now, samples = 0.0, []
    for after, free, used, hot in steps:
        now += after
        samples.append(sample(now, free, used, hot))
    found = states(samples, limits)
    assert found == states(samples, limits)  # pure
    for one, state in zip(samples, found, strict=True):
        free = one.free_mb[0]
        if free is None or free >= limits.disk_mb * ROOM or not limits.disk_mb:
            assert not state.full
        elif free < limits.disk_mb:
            assert state.full[0].free_mb == free
        for cause in ("throttle", "vram"):
            assert 0 <= state.taken(0, cause) <= max(0, limits.slots.get(0, 1) - 1)  # never below one
    for before, after in pairwise([State(), *found]):
        for cause in ("throttle", "vram"):
            assert abs(after.taken(0, cause) - before.taken(0, cause)) <= 1  # by one slot
        if 0 in before.full and 0 in after.full:
            assert after.full[0].since == before.full[0].since
            assert after.full[0].lost >= before.full[0].lost
        if 0 in after.full:
            assert limits.patience is not None or after.full[0].lost == 0
    if not limits.throttle:
        assert not any(state.taken(0, "throttle") for state in found)
    if limits.vram_percent == 100:
        assert not any(state.taken(0, "vram") for state in found)


@given(some_samples)
def test_slots_come_back_once_it_stays_calm(
    steps: list[tuple[float, float | None, float | None, bool | None]],
) -> None:
    now, samples = 0.0, []
    for after, free, used, hot in steps:
        now += after
        samples.append(sample(now, free, used, hot))
    samples += [sample(now + n) for n in range(1, int(4 * LIMITS.calm) + 10)]
    last = states(samples)[-1]
    assert not last.full
    assert last.taken(0, "throttle") == last.taken(0, "vram") == 0


def test_a_disk_at_the_border_does_not_flap() -> None:
    found = states([sample(n, free) for n, free in enumerate([110, 99, 101, 99, 124, 126, 110, 99])])
    assert [0 in state.full for state in found] == [False, True, True, True, True, False, False, True]


def test_jobs_are_given_up_one_after_the_other_once_patience_is_over() -> None:
    found = states([sample(n, 50) for n in range(400)])
    lost = [state.full[0].lost for state in found]
    assert lost[299] == 0
    assert lost[300] == 1
    assert [b - a for a, b in pairwise(lost)].count(1) == 1 + 99 // SETTLE
    assert lost[300 + int(SETTLE)] == 2
    patient = states([sample(n, 50) for n in range(400)], Limits(disk_mb=100, patience=None))
    assert {state.full[0].lost for state in patient} == {0}


def test_a_moment_of_heat_takes_nothing_and_lasting_heat_one_slot_after_the_other() -> None:
    assert states(seconds((5, {}), (3, {"hot": True}), (20, {})))[-1].taken(0, "throttle") == 0
    taken = [s.taken(0, "throttle") for s in states(seconds((1, {}), (60, {"hot": True})))]
    assert taken[int(PRESSED)] == 0
    assert taken[int(PRESSED) + 1] == 1
    assert taken[2 * int(PRESSED) + 1] == 2
    assert taken[-1] == 3  # of four


def test_calm_gives_one_slot_back_at_a_time() -> None:
    taken = [s.taken(0, "throttle") for s in states(seconds((30, {"hot": True}), (200, {})))]
    assert taken[29] == 3
    assert [taken[29 + n] for n in (60, 61, 121, 181)] == [3, 2, 1, 0]
    assert taken[31 + 60] == 2


def test_between_the_thresholds_of_vram_nothing_changes() -> None:
    found = states(seconds((10, {"used": 95}), (300, {"used": 87}), (61, {"used": 84})))
    taken = [state.taken(0, "vram") for state in found]
    held = taken[9]
    assert held >= 1
    assert set(taken[9:310]) == {held}
    assert taken[-1] == held - 1


def test_each_gpu_is_looked_at_alone() -> None:
    state = State()
    for n in range(20):
        gpus = (Gpu(0, throttle=()), Gpu(1, throttle=HOT))
        state = step(state, Sample(n, gpus=gpus), Limits(slots={0: 2, 1: 2}))
    assert (state.taken(0, "throttle"), state.taken(1, "throttle")) == (0, 1)
