"""What one slot of a pipeline takes, and how many of them a machine can feed.

On a GPU a slot takes a CUDA stream, the sessions that the nodes lease and a VRAM budget; the CPU
nodes of its pipeline take cores. Slots that keep no more than a core busy are not limited by cores:
they mostly wait for the GPU.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.graph.job import Job
from dualface.graph.lease import PER_GPU, VRAM_UNIT_MB, limits
from dualface.graph.plan import Pipeline
from dualface.graph.stages import memory_mb, pipeline, uses_gpu
from dualface.graph.types import Memory, Video


@dataclass(frozen=True)
class Share:
    """What one slot of a pipeline takes: units by lease word on a GPU, or a place on the CPU.
    ``cores`` is what its CPU nodes can use."""

    pipeline: Pipeline
    gpu: bool
    units: Mapping[str, int]
    vram_mb: int
    cores: float


def share(graph: Graph, hardware: Hardware, video: Video, queue: Sequence[Job]) -> Share:
    """The share of ``graph`` for pictures like ``video``. Raises `RequestError` where a slot
    needs more VRAM than it may have, or leases what there is not."""
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
    cores = sum(node.needs.threads for node in graph.nodes if node.needs.engine == "cpu")
    if not uses_gpu(graph):
        return Share(made, False, {}, 0, cores)
    need = memory_mb(made, video, Memory.CUDA)
    budget = hardware.vram_per_stream_mb or need
    if need > budget:
        raise RequestError([_too_much_vram(made, hardware, need, video, queue)])
    units = {word: wanted[key] for key, word in PER_GPU.items() if wanted[key]}
    units["stream"] = max(1, units.get("stream", 0))
    if budget:
        units["vram"] = math.ceil(budget / VRAM_UNIT_MB)
    return Share(made, True, units, budget, cores)


def places(
    one: Share, hardware: Hardware, free: Counter[str], most: int, taken: Sequence[int | None] = ()
) -> list[int | None]:
    """Up to ``most`` GPUs (or ``None`` for the CPU) for slots beside those at ``taken``: what they
    take is taken from ``free``, and the GPUs are filled evenly."""
    if not one.gpu:
        return [None] * min(most, max(1, hardware.cpu_slots))
    found: list[int | None] = []
    while len(found) < most:
        before = len(found)
        on = Counter([*taken, *found])
        for gpu in sorted(hardware.gpus, key=lambda g: (on[g.index], g.index)):
            names = {f"gpu{gpu.index}-{word}": count for word, count in one.units.items()}
            if all(free[name] >= count for name, count in names.items()):
                free.subtract(names)
                found.append(gpu.index)
                break
        if len(found) == before:
            break
    return found


def fed(one: Share, hardware: Hardware, most: int) -> int:
    """How many slots of a pipeline the cores can feed, up to ``most``; one in any case."""
    if not one.gpu or one.cores <= 1:
        return most
    return min(most, max(1, _whole(hardware.cpu_cores / one.cores)))


def fed_beside(hard: Share, soft: Share, hardware: Hardware, taken: int) -> int:
    """How many software slots the cores can feed beside ``taken`` slots on hardware.

    Each slot counts a core at least, and a software slot no less than one on hardware, so that
    turning the one into the other never costs more cores than it frees.
    """
    each = max(1.0, hard.cores)
    left = hardware.cpu_cores - taken * each
    return max(0 if taken else 1, _whole(left / max(each, soft.cores)))


def _whole(number: float) -> int:
    return math.floor(number + 1e-9)  # 0.1 + 0.2 is a little more than 0.3


def encoders_limit(one: Share, hardware: Hardware, slots: int) -> bool:
    """Whether more slots would fit if encode sessions were not counted."""
    if not one.units.get("encode"):
        return False
    without = replace(one, units={word: count for word, count in one.units.items() if word != "encode"})
    most = fed(one, hardware, slots + 1)
    return len(places(without, hardware, Counter(limits(hardware)), most)) > slots


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
