"""Graph + hardware + jobs → plan. Pure: no GPU, no file, a few milliseconds.

A slot takes, on one GPU, a CUDA stream, the sessions that the graph's nodes lease and a VRAM
budget; a GPU has as many slots as its scarcest of these allows. Where no node needs a GPU,
``hw.cpu_slots`` is the limit. Jobs go to slots longest first (LPT), each to the slot that is
free first.

**Why a slot more never makes a plan longer.** Jobs are independent, so Graham's anomalies (which
need precedence) do not arise. Sort the loads of m slots, a1 ≥ … ≥ am, and of m+1 slots, b1 ≥ … ≥
bm+1, after the same jobs, and suppose bi ≤ ai for i ≤ m (true at the start, all being 0). The next
job, of cost p, goes to am and to bm+1. As bm+1 ≤ bm ≤ am, the new am+p is at least bm+1+p, and
b1 … bm-1 are still below a1 … am-1: m loads are matched. The one left over, bm ≤ am, is no larger
than any load on the other side, so it cannot push one of the m largest above its match. The
largest load, the makespan, is therefore never larger with m+1 slots.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction

from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job
from dualface.graph.lease import PER_GPU, VRAM_UNIT_MB, limits
from dualface.graph.plan import Assignment, Plan, Slot
from dualface.graph.shares import Share, encoders_limit, fed, fed_beside, places, share
from dualface.graph.stages import pipeline
from dualface.graph.types import Video

__all__ = ["cost", "pipeline", "schedule"]

NOMINAL = Video(1920, 1080, Fraction(1, 30))  # stands for the pictures of a plan without jobs
SETTING = {word: f"hw.{key}" for key, word in PER_GPU.items()} | {"vram": "hw.vram_limit_gb"}


NO_OVERFLOW = "this graph has no software encoder"


def schedule(
    graph: Graph,
    hardware: Hardware,
    jobs: Sequence[Job],
    *,
    overflow: Graph | None = None,
    no_overflow: str = NO_OVERFLOW,
    instead: Mapping[int, Graph] | None = None,
) -> Plan:
    """The plan for ``jobs`` on ``hardware``.

    ``overflow`` is the same graph built without hardware encoders: where
    ``hw.encode_overflow`` is ``software``, jobs beyond the encode sessions run it in what is
    left of the other resources, while cores allow; ``no_overflow`` says, as a clause, why there
    is none. ``instead`` are the graphs of jobs, by their index, that ``graph`` cannot do. Raises
    `RequestError` where not even one slot can be made.
    """
    queue = sorted(jobs, key=lambda job: (-cost(job, jobs), job.index, job.name, job.input))
    largest = max((job.video for job in queue), key=lambda v: v.width * v.height, default=NOMINAL)
    shares = [share(graph, hardware, largest, queue)]
    free = Counter(limits(hardware))
    taken = places(shares[0], hardware, free, fed(shares[0], hardware, len(queue)))
    notes = [*_batch_notes(shares[0], hardware), *_unknown_notes(queue)]
    counts = [len(taken)]
    if len(taken) < len(queue) and encoders_limit(shares[0], hardware, len(taken)):
        extra: list[int | None] = []
        why = no_overflow if overflow is None else ""
        if hardware.encode_overflow == "software" and overflow is not None:
            try:
                shares.append(share(overflow, hardware, largest, queue))
                most = min(len(queue) - len(taken), fed_beside(shares[0], shares[1], hardware, len(taken)))
                extra = places(shares[1], hardware, free, most, taken)
                why = "cores, streams or sessions are taken"
            except RequestError as error:  # more VRAM than a slot has, for one
                why = "; ".join(problem.message.rstrip(".") for problem in error.problems)
        notes.append(_overflow_note(hardware, why, len(queue) - len(taken), len(extra)))
        if extra:
            taken += extra
            counts.append(len(extra))
    if queue and not taken:
        raise RequestError([_no_slot(shares[0], hardware)])
    own = {job.index: instead[job.index] for job in queue if instead and job.index in instead}
    notes += [f"Here {swap}" for swap in graph.swaps()]
    notes += [f"In {job.name} {swap}" for job in queue if job.index in own for swap in own[job.index].swaps()]
    used = shares[: len(counts)]
    slots = _slots(used, counts, taken, hardware)
    notes.insert(0, _limit_note(used, hardware, free, len(slots), len(queue)))
    return Plan(
        hardware,
        tuple(one.pipeline for one in used),
        slots,
        assign(queue, [slot.name for slot in slots], [cost(job, jobs) for job in queue]),
        tuple(note for note in notes if note),
        no_overflow if overflow is None else "",
        own,
    )


def cost(job: Job, jobs: Sequence[Job] = ()) -> float:
    """Frames times pixels. A job of unknown length counts as long as the longest of ``jobs``."""
    frames = _frames(job) or max(map(_frames, jobs), default=0.0) or 1.0
    return frames * max(1, job.video.width * job.video.height)


def _frames(job: Job) -> float:
    rate = float(job.video.frame_rate) if job.video.frame_rate else 30.0
    return float(job.frames) if job.frames > 0 else max(0.0, job.duration) * rate


def assign(queue: Sequence[Job], slots: Sequence[str], costs: Sequence[float]) -> tuple[Assignment, ...]:
    """List scheduling: each job in turn to the slot that is free first (the first of equals)."""
    free = [(0.0, index) for index in range(len(slots))]
    found: list[Assignment] = []
    for job, length in zip(queue, costs, strict=True):
        start, index = heapq.heappop(free)
        found.append(Assignment(job, slots[index], start, start + length))
        heapq.heappush(free, (start + length, index))
    return tuple(found)


def _slots(
    shares: Sequence[Share], counts: Sequence[int], taken: Sequence[int | None], hardware: Hardware
) -> tuple[Slot, ...]:
    threads = max(1, hardware.cpu_cores // max(1, len(taken)))
    on: Counter[str] = Counter()
    slots: list[Slot] = []
    for index, place in enumerate(taken):
        which = 0 if index < counts[0] else 1
        one = shares[which]
        where = "cpu" if place is None else f"gpu{place}"
        on[where] += 1
        leases = {f"{where}-{word}": count for word, count in one.units.items()}
        slots.append(Slot(f"{where}.{on[where]}", place, leases, one.vram_mb, threads, which))
    return tuple(slots)


def _limit_note(
    shares: Sequence[Share], hardware: Hardware, free: Counter[str], slots: int, jobs: int
) -> str:
    if not jobs:
        return "No jobs: the plan shows one pipeline and no slots."
    many = f"{_count(slots, 'slot')} for {_count(jobs, 'job')}"
    last = shares[-1]
    if slots >= jobs:
        return f"{many}: every job has a slot of its own."
    if not last.gpu:
        cause = f"hw.cpu_slots is {hardware.cpu_slots}"
    elif places(last, hardware, Counter(free), 1):
        more = "software encoders" if len(shares) > 1 else f"slots, which use {last.cores:.2g} cores each"
        cause = f"hw.cpu_cores ({hardware.cpu_cores}) feed no more {more}"
    else:
        cause = _scarcest(last, hardware)
    return f"{many}: {cause}; the other jobs wait their turn."


def _scarcest(one: Share, hardware: Hardware) -> str:
    """What limits the slots of the first GPU, as part of a sentence."""
    name = f"gpu{min(gpu.index for gpu in hardware.gpus)}"
    units = limits(hardware)
    allows = {word: units[f"{name}-{word}"] // count for word, count in sorted(one.units.items())}
    least = [word for word, slots in allows.items() if slots == min(allows.values())]
    if least == ["vram"]:
        limit = units[f"{name}-vram"] * VRAM_UNIT_MB
        return f"VRAM is the limit ({limit} MB on a GPU, {one.vram_mb} MB a slot)"
    *some, last = (SETTING[word] for word in least)
    names = f"{', '.join(some)} and {last}" if some else last
    return f"{names} {'is' if len(least) == 1 else 'are'} the limit ({min(allows.values())} on a GPU)"


def _overflow_note(hardware: Hardware, why: str, left: int, soft: int) -> str:
    cause = f"hw.encode_sessions ({hardware.encode_sessions} on a GPU) are fewer than the other slots"
    if soft:
        return f"{cause}: {_count(soft, 'more slot')} encode in software (hw.encode_overflow=software)."
    wait = f"{_count(left, 'job')} wait{'s' * (left == 1)}"
    if hardware.encode_overflow != "software":
        return f"{cause}: {wait} (hw.encode_overflow={hardware.encode_overflow})."
    return f"{cause}: {wait}, as {why}."


def _batch_notes(one: Share, hardware: Hardware) -> list[str]:
    batch = one.pipeline.batch
    if batch >= hardware.decode_batch:
        return []
    return [f"Batches have {batch} frames instead of hw.decode_batch={hardware.decode_batch}, to fit memory."]


def _unknown_notes(queue: Sequence[Job]) -> list[str]:
    silent = [job.name for job in queue if not _frames(job)]
    if not silent:
        return []
    names = ", ".join(silent[:3]) + " and others" * (len(silent) > 3)
    return [f"The length of {names} is unknown; planned as if it were the longest."]


def _no_slot(one: Share, hardware: Hardware) -> Problem:
    if not hardware.gpus:
        return Problem(
            "no-gpu", "hw.gpus", f"graph '{one.pipeline.graph.name}' needs a GPU, and hw has none.",
            "Choose nodes for the CPU (node/<role>=auto), or a hw layer with a GPU.",
        )  # fmt: skip
    units, gpu = limits(hardware), min(gpu.index for gpu in hardware.gpus)
    short = {w: n for w, n in sorted(one.units.items()) if units[f"gpu{gpu}-{w}"] < n}
    word = next(iter(short), "stream")
    have, want = units[f"gpu{gpu}-{word}"], one.units[word]
    if word == "vram":
        have, want = have * VRAM_UNIT_MB, one.vram_mb
    unit = " MB" if word == "vram" else ""
    return Problem(
        "no-slot", SETTING[word],
        f"one slot needs {want}{unit} of {SETTING[word]}, but a GPU has {have}{unit}.",
        "Raise it, or choose nodes that need less.",
    )  # fmt: skip


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
