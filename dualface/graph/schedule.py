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

import contextlib
import heapq
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job
from dualface.graph.lease import PER_GPU, VRAM_UNIT_MB, limits
from dualface.graph.plan import Assignment, Pipeline, Plan, Slot
from dualface.graph.stages import memory_mb, pipeline
from dualface.graph.types import Memory, Video

__all__ = ["cost", "pipeline", "schedule"]

GPU_ENGINES = frozenset({"cuda", "nvdec", "nvenc"})
NOMINAL = Video(1920, 1080, Fraction(1, 30))  # stands for the pictures of a plan without jobs
SETTING = {word: f"hw.{key}" for key, word in PER_GPU.items()} | {"vram": "hw.vram_limit_gb"}


@dataclass(frozen=True)
class _Share:
    """What one slot of a pipeline takes: units by lease word on a GPU, or a place on the CPU."""

    pipeline: Pipeline
    gpu: bool
    units: Mapping[str, int]
    vram_mb: int


def schedule(graph: Graph, hardware: Hardware, jobs: Sequence[Job], *, overflow: Graph | None = None) -> Plan:
    """The plan for ``jobs`` on ``hardware``.

    ``overflow`` is the same graph built without hardware encoders: where
    ``hw.encode_overflow`` is ``software``, jobs beyond the encode sessions run it in what is
    left of the other resources, while cores allow. Raises `RequestError` where not even one
    slot can be made.
    """
    queue = sorted(jobs, key=lambda job: (-cost(job, jobs), job.index, job.name, job.input))
    largest = max((job.video for job in queue), key=lambda v: v.width * v.height, default=NOMINAL)
    shares = [_share(graph, hardware, largest, queue)]
    free = Counter(limits(hardware))
    places = _places(shares[0], hardware, free, len(queue))
    notes = [*_batch_notes(shares[0], hardware), *_unknown_notes(queue)]
    counts = [len(places)]
    if len(places) < len(queue) and _encoders_limit(shares[0], hardware, places):
        extra: list[int | None] = []
        if hardware.encode_overflow == "software" and overflow is not None:
            with contextlib.suppress(RequestError):  # software needs more VRAM than a slot has: wait
                shares.append(_share(overflow, hardware, largest, queue))
                most = min(len(queue) - len(places), _cores_allow(shares, hardware, len(places)))
                extra = _places(shares[1], hardware, free, most)
        notes.append(_overflow_note(hardware, overflow, len(queue), len(places), len(extra)))
        if extra:
            places += extra
            counts.append(len(extra))
    if queue and not places:
        raise RequestError([_no_slot(shares[0], hardware)])
    used = shares[: len(counts)]
    slots = _slots(used, counts, places, hardware)
    notes.insert(0, _limit_note(used, hardware, len(slots), len(queue)))
    return Plan(
        hardware,
        tuple(share.pipeline for share in used),
        slots,
        assign(queue, [slot.name for slot in slots], [cost(job, jobs) for job in queue]),
        tuple(note for note in notes if note),
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


def _share(graph: Graph, hardware: Hardware, video: Video, queue: Sequence[Job]) -> _Share:
    made = pipeline(graph, hardware, video)
    wanted: Counter[str] = Counter()
    for node in graph.nodes:
        wanted.update(node.needs.resources)
    problems = [
        Problem(
            "unknown-resource",
            f"graph '{graph.name}'",
            f"a node leases '{key}', which no hardware layer has.",
            f"Resources are {', '.join(PER_GPU)}.",
        )
        for key in sorted(set(wanted) - {*PER_GPU, "cpu_slots"})
    ]
    if problems:
        raise RequestError(problems)
    ports = [port for node in graph.nodes for port in (*node.inputs.values(), *node.outputs.values())]
    gpu = (
        any(port.memory is Memory.CUDA for port in ports)
        or any(node.needs.engine in GPU_ENGINES or node.needs.vram_mb for node in graph.nodes)
        or any(wanted[key] for key in PER_GPU)
    )
    if not gpu:
        return _Share(made, False, {}, 0)
    need = memory_mb(made, video, Memory.CUDA)
    budget = hardware.vram_per_stream_mb or need
    if need > budget:
        raise RequestError([_too_much_vram(made, hardware, need, video, queue)])
    units = {word: wanted[key] for key, word in PER_GPU.items() if wanted[key]}
    units["stream"] = max(1, units.get("stream", 0))
    if budget:
        units["vram"] = math.ceil(budget / VRAM_UNIT_MB)
    return _Share(made, True, units, budget)


def _places(share: _Share, hardware: Hardware, free: Counter[str], most: int) -> list[int | None]:
    """Up to ``most`` GPUs (or ``None`` for the CPU), taken from ``free``, filled evenly."""
    if not share.gpu:
        return [None] * min(most, max(1, hardware.cpu_slots))
    places: list[int | None] = []
    while len(places) < most:
        before = len(places)
        for gpu in sorted(hardware.gpus, key=lambda g: (places.count(g.index), g.index)):
            names = {f"gpu{gpu.index}-{word}": count for word, count in share.units.items()}
            if len(places) < most and all(free[name] >= count for name, count in names.items()):
                free.subtract(names)
                places.append(gpu.index)
        if len(places) == before:
            break
    return places


def _encoders_limit(share: _Share, hardware: Hardware, places: Sequence[int | None]) -> bool:
    """Whether more slots would fit if encode sessions were not counted."""
    if not share.units.get("encode"):
        return False
    units = {word: count for word, count in share.units.items() if word != "encode"}
    free = Counter(limits(hardware))
    without = _Share(share.pipeline, True, units, share.vram_mb)
    return len(_places(without, hardware, free, len(places) + 1)) > len(places)


def _cores_allow(shares: Sequence[_Share], hardware: Hardware, taken: int) -> int:
    """How many software slots the cores can feed.

    Each slot on hardware keeps one core for itself; a software slot needs what its CPU nodes
    use beyond those that run on the CPU anyway. At least one core each, so that turning a
    software slot into a hardware one never costs more cores than it frees.
    """
    hardware_cpu, software_cpu = (
        sum(node.needs.threads for node in share.pipeline.graph.nodes if node.needs.engine == "cpu")
        for share in shares
    )
    return max(0, int((hardware.cpu_cores - taken) // max(1.0, software_cpu - hardware_cpu)))


def _slots(
    shares: Sequence[_Share], counts: Sequence[int], places: Sequence[int | None], hardware: Hardware
) -> tuple[Slot, ...]:
    threads = max(1, hardware.cpu_cores // max(1, len(places)))
    on: Counter[str] = Counter()
    slots: list[Slot] = []
    for index, place in enumerate(places):
        which = 0 if index < counts[0] else 1
        share = shares[which]
        where = "cpu" if place is None else f"gpu{place}"
        on[where] += 1
        leases = {f"{where}-{word}": count for word, count in share.units.items()}
        slots.append(Slot(f"{where}.{on[where]}", place, leases, share.vram_mb, threads, which))
    return tuple(slots)


def _limit_note(shares: Sequence[_Share], hardware: Hardware, slots: int, jobs: int) -> str:
    if not jobs:
        return "No jobs: the plan shows one pipeline and no slots."
    many = f"{_count(slots, 'slot')} for {_count(jobs, 'job')}"
    if slots >= jobs:
        return f"{many}: every job has a slot of its own."
    if not shares[-1].gpu:
        cause = f"hw.cpu_slots is {hardware.cpu_slots}"
    elif len(shares) > 1 and len(_places(shares[1], hardware, Counter(limits(hardware)), slots + 1)) > slots:
        cause = f"hw.cpu_cores ({hardware.cpu_cores}) feed no more software encoders"
    else:
        cause = _scarcest(shares[-1], hardware)
    return f"{many}: {cause}; the other jobs wait their turn."


def _scarcest(share: _Share, hardware: Hardware) -> str:
    """What limits the slots of the first GPU, as part of a sentence."""
    name = f"gpu{min(gpu.index for gpu in hardware.gpus)}"
    units = limits(hardware)
    allows = {word: units[f"{name}-{word}"] // count for word, count in sorted(share.units.items())}
    least = [word for word, slots in allows.items() if slots == min(allows.values())]
    if least == ["vram"]:
        limit = units[f"{name}-vram"] * VRAM_UNIT_MB
        return f"VRAM is the limit ({limit} MB on a GPU, {share.vram_mb} MB a slot)"
    *some, last = (SETTING[word] for word in least)
    names = f"{', '.join(some)} and {last}" if some else last
    return f"{names} {'is' if len(least) == 1 else 'are'} the limit ({min(allows.values())} on a GPU)"


def _overflow_note(hardware: Hardware, overflow: Graph | None, jobs: int, hard: int, soft: int) -> str:
    cause = f"hw.encode_sessions ({hardware.encode_sessions} on a GPU) are fewer than the other slots"
    if soft:
        return f"{cause}: {_count(soft, 'more slot')} encode in software (hw.encode_overflow=software)."
    if hardware.encode_overflow != "software":
        return f"{cause}: {_count(jobs - hard, 'job')} wait (hw.encode_overflow={hardware.encode_overflow})."
    why = "this graph has no software encoder" if overflow is None else "cores, streams or sessions are taken"
    return f"{cause}: {_count(jobs - hard, 'job')} wait, as {why}."


def _batch_notes(share: _Share, hardware: Hardware) -> list[str]:
    batch = share.pipeline.batch
    if batch >= hardware.decode_batch:
        return []
    return [f"Batches have {batch} frames instead of hw.decode_batch={hardware.decode_batch}, to fit memory."]


def _unknown_notes(queue: Sequence[Job]) -> list[str]:
    silent = [job.name for job in queue if not _frames(job)]
    if not silent:
        return []
    names = ", ".join(silent[:3]) + " and others" * (len(silent) > 3)
    return [f"The length of {names} is unknown; planned as if it were the longest."]


def _too_much_vram(
    made: Pipeline, hardware: Hardware, need: int, video: Video, queue: Sequence[Job]
) -> Problem:
    name = next((f"'{job.name}' " for job in queue if job.video == video), "")
    return Problem(
        "vram-per-stream",
        "hw.vram_per_stream_mb",
        f"one slot for {name}({video.width}x{video.height}) needs {need} MB of GPU memory even with batches "
        f"of {made.batch}, but hw.vram_per_stream_mb is {hardware.vram_per_stream_mb}.",
        "Raise it, or lower hw.queue_batches or the graph's look-ahead.",
    )


def _no_slot(share: _Share, hardware: Hardware) -> Problem:
    if not hardware.gpus:
        return Problem(
            "no-gpu", "hw.gpus", f"graph '{share.pipeline.graph.name}' needs a GPU, and hw has none.",
            "Choose nodes for the CPU (node/<role>=auto), or a hw layer with a GPU.",
        )  # fmt: skip
    units, gpu = limits(hardware), min(gpu.index for gpu in hardware.gpus)
    short = {w: n for w, n in sorted(share.units.items()) if units[f"gpu{gpu}-{w}"] < n}
    word = next(iter(short), "stream")
    have, want = units[f"gpu{gpu}-{word}"], share.units[word]
    if word == "vram":
        have, want = have * VRAM_UNIT_MB, share.vram_mb
    unit = " MB" if word == "vram" else ""
    return Problem(
        "no-slot", SETTING[word],
        f"one slot needs {want}{unit} of {SETTING[word]}, but a GPU has {have}{unit}.",
        "Raise it, or choose nodes that need less.",
    )  # fmt: skip


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
