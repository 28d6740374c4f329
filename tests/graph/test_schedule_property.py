"""What must hold for every plan: section 4 of the design, put to hypothesis."""

from __future__ import annotations

import dataclasses
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from test_schedule import jobs, line

from dualface.graph.dag import Graph
from dualface.graph.errors import RequestError
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.lease import VRAM_UNIT_MB, limits
from dualface.graph.node import Needs
from dualface.graph.plan import Plan
from dualface.graph.schedule import assign, cost, schedule
from dualface.graph.types import Memory

hardwares = st.builds(
    lambda gpus, streams, decode, encode, vram, each, cores, slots, overflow: Hardware(
        "any", cores, 65536, tuple(Gpu(i, f"card{i}", mb) for i, mb in enumerate(gpus)),
        cuda_streams=streams, decode_sessions=decode, encode_sessions=encode, vram_limit_mb=vram,
        vram_per_stream_mb=each, encode_overflow=overflow, cpu_slots=slots,
    ),
    st.lists(st.integers(4096, 49152), min_size=1, max_size=4), st.integers(1, 6), st.integers(1, 6),
    st.integers(0, 6), st.integers(4096, 49152), st.integers(2048, 8192), st.integers(1, 64),
    st.integers(1, 8), st.sampled_from(["wait", "software"]),
)  # fmt: skip
lengths = st.lists(st.integers(0, 5000), min_size=1, max_size=24).map(lambda frames: jobs(*frames))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, Graph | None]:
    """A graph on the CPU, or on a GPU with any of its nodes in software, and perhaps its overflow."""
    threads = st.sampled_from([0.1, 0.3, 1.0, 1.7, 2.0, 6.0])
    light = {"follow": Needs(threads=draw(threads)), "camera": Needs(threads=draw(threads))}
    if draw(st.booleans()):
        return line(**light), None
    if draw(st.booleans()):
        light["detect"] = Needs("cuda", vram_mb=draw(st.integers(0, 3000)))
    if draw(st.booleans()):
        light["decode"] = Needs("nvdec", resources={"decode_sessions": draw(st.integers(1, 2))})
    soft = line(Memory.CUDA, encoder=Memory.CPU, **light, encode=Needs(threads=draw(threads)))
    hard = line(Memory.CUDA, **light)
    return draw(st.sampled_from([(hard, None), (hard, soft), (soft, None)]))


def planned(graph: Graph, overflow: Graph | None, hardware: Hardware, wanted: list[Job]) -> Plan | None:
    try:
        return schedule(graph, hardware, wanted, overflow=overflow)
    except RequestError:
        return None


def makespan(plan: Plan) -> float:
    return max(a.end for a in plan.assignments)


@given(graphs(), hardwares, lengths, st.randoms())
def test_the_same_inputs_give_the_same_plan(
    pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job], random: Random
) -> None:
    shuffled = random.sample(wanted, len(wanted))
    first = planned(*pair, hardware, wanted)
    assert first == planned(*pair, hardware, wanted)
    assert first == planned(*pair, hardware, shuffled)  # the order they are given in does not matter


@given(graphs(), hardwares, lengths)
def test_no_job_starves(pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job]) -> None:
    plan = planned(*pair, hardware, wanted)
    if plan is None:
        return
    assert sorted(a.job.index for a in plan.assignments) == [job.index for job in wanted]
    assert {a.slot for a in plan.assignments} == {slot.name for slot in plan.slots}  # none is idle for good
    # Longest first; a slot does one job at a time, without a break.
    costs = [cost(a.job, wanted) for a in plan.assignments]
    assert costs == sorted(costs, reverse=True)
    for slot in plan.slots:
        mine = sorted((a for a in plan.assignments if a.slot == slot.name), key=lambda a: a.start)
        assert [a.start for a in mine] == [0.0, *(a.end for a in mine[:-1])]


@given(graphs(), hardwares, lengths)
def test_no_lease_is_given_twice(
    pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job]
) -> None:
    plan = planned(*pair, hardware, wanted)
    if plan is None:
        return
    # All slots may be at work at once, so that all of them together must fit the machine.
    have, held = limits(hardware), Counter[str]()
    for slot in plan.slots:
        held.update(slot.leases)
        needs = [node.needs for node in plan.pipelines[slot.pipeline].graph.nodes]
        for key, word in {"decode_sessions": "decode", "encode_sessions": "encode"}.items():
            wants = sum(need.resources.get(key, 0) for need in needs)
            assert slot.leases.get(f"gpu{slot.gpu}-{word}", 0) == wants
        assert slot.leases.get(f"gpu{slot.gpu}-vram", 0) * VRAM_UNIT_MB >= slot.vram_mb
    assert all(count <= have[name] for name, count in held.items())
    assert len({slot.name for slot in plan.slots}) == len(plan.slots)
    for gpu in hardware.gpus:
        used = sum(slot.vram_mb for slot in plan.slots if slot.gpu == gpu.index)
        assert used <= min(hardware.vram_limit_mb, gpu.vram_mb)


@given(graphs(), hardwares, lengths)
def test_slots_are_the_least_over_the_resources_and_gpus_are_filled_evenly(
    pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job]
) -> None:
    plan = planned(pair[0], None, hardware, wanted)
    if plan is None:
        return
    units = {name.partition("-")[2]: count for name, count in plan.slots[0].leases.items()}
    if not units:
        assert len(plan.slots) == min(len(wanted), hardware.cpu_slots)
        return
    have = limits(hardware)
    room = {g.index: min(have[f"gpu{g.index}-{w}"] // n for w, n in units.items()) for g in hardware.gpus}
    cores = sum(n.needs.threads for n in pair[0].nodes if n.needs.engine == "cpu")
    fed = max(1, int(hardware.cpu_cores / cores + 1e-9)) if cores > 1 else len(wanted)
    assert len(plan.slots) == min(len(wanted), fed, sum(room.values()))
    on = Counter(slot.gpu for slot in plan.slots)
    for gpu, count in room.items():
        assert on[gpu] >= min(count, max(on.values()) - 1)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=24), st.integers(1, 9), st.integers(1, 4))
def test_makespan_never_beats_the_bound_and_a_slot_more_never_makes_it_worse(
    frames: list[int], slots: int, more: int
) -> None:
    wanted = jobs(*frames)
    queue = sorted(wanted, key=lambda job: -cost(job, wanted))
    costs = [cost(job, wanted) for job in queue]

    def end(count: int) -> float:
        return max(one.end for one in assign(queue, [f"slot{i}" for i in range(count)], costs))

    bound = max(max(costs), sum(costs) / slots)
    # Graham, 1969: longest first stays within 4/3 - 1/(3m) of the best, and any order within 2 - 1/m.
    assert bound * (1 - 1e-9) <= end(slots) <= bound * (2 - 1 / slots) * (1 + 1e-9)
    assert end(slots + more) <= end(slots)


@given(graphs(), hardwares, lengths)
def test_a_plan_never_beats_the_bound(
    pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job]
) -> None:
    plan = planned(*pair, hardware, wanted)
    if plan is not None:
        costs = [cost(job, wanted) for job in wanted]
        bound = max(max(costs), sum(costs) / len(plan.slots))
        assert bound * (1 - 1e-9) <= makespan(plan) <= 2 * bound


GROWING = {"vram_limit_mb": 8192, "cpu_cores": 3}  # others grow by one
KEYS = ["cuda_streams", "decode_sessions", "encode_sessions", "cpu_slots", "gpus", *GROWING]


@given(graphs(), hardwares, lengths, st.sampled_from(KEYS))
def test_more_hardware_never_makes_it_worse(
    pair: tuple[Graph, Graph | None], hardware: Hardware, wanted: list[Job], key: str
) -> None:
    now = getattr(hardware, key)
    card = Gpu(len(hardware.gpus), "one more", 32768)
    grown: object = (*now, card) if key == "gpus" else now + GROWING.get(key, 1)
    before = planned(*pair, hardware, wanted)
    after = planned(*pair, dataclasses.replace(hardware, **{key: grown}), wanted)
    if before is not None:
        assert after is not None
        assert len(after.slots) >= len(before.slots)
        assert makespan(after) <= makespan(before)
