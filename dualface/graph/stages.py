"""A graph cut into stages, and the memory that its frames then hold.

The cut is one rule, read in the graph's topological order:

* a source and a sink have a stage each, because they wait for files and devices;
* a new stage begins where the engine changes;
* neighbours on the CPU share a stage while together they can use no more than one core
  (``Needs.threads``), so that a heavy node runs beside its neighbours and light ones cost no
  thread. Neighbours on a GPU engine always share: their thread only launches work.

So decode | detect | track+reid+camera | compose | encode run side by side on any CPU, and on a GPU
the cut falls where the resource changes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

from dualface.graph.dag import Graph, GraphNode
from dualface.graph.hardware import Hardware
from dualface.graph.lease import PER_GPU
from dualface.graph.plan import Pipeline, Stage
from dualface.graph.ports import PortType
from dualface.graph.types import NV12, Memory, PixelFormat, Video

GPU_WORDS = frozenset({"cuda", "nvdec", "nvenc"})  # engines and features of a GPU
MIB = 1 << 20
RAM_SHARE = 0.5  # of the machine's memory for frames; the rest is for codecs, networks and the system


def stages(graph: Graph) -> tuple[Stage, ...]:
    """The graph's nodes in stages, in order; see the module for the rule."""
    groups: list[list[GraphNode]] = []
    for node in graph.nodes:
        if groups and _together(graph, groups[-1], node):
            groups[-1].append(node)
        else:
            groups.append([node])
    return tuple(
        Stage("+".join(n.name for n in group), group[0].needs.engine, tuple(n.name for n in group))
        for group in groups
    )


def _together(graph: Graph, group: list[GraphNode], node: GraphNode) -> bool:
    before = group[-1]
    if _is_end(graph, before) or _is_end(graph, node) or before.needs.engine != node.needs.engine:
        return False
    cores = sum(n.needs.threads for n in group) + node.needs.threads
    return node.needs.engine != "cpu" or cores <= 1 + 1e-9


def _is_end(graph: Graph, node: GraphNode) -> bool:
    """A source (nothing feeds it) or a sink (it has no outputs)."""
    return not graph.into(node.name) or not node.outputs


def pipeline(graph: Graph, hardware: Hardware, video: Video) -> Pipeline:
    """The graph cut for ``hardware``, with batches as large as pictures like ``video`` allow.

    ``batch`` is ``hw.decode_batch``, halved while the frames in flight of one slot would take
    more than its share of the machine's memory or than ``hw.vram_per_stream_mb``.
    """
    batch = max(1, hardware.decode_batch)
    while True:
        made = _pipeline(graph, batch, hardware)
        if batch == 1 or _fits(made, hardware, video):
            return made
        batch //= 2


def _pipeline(graph: Graph, batch: int, hardware: Hardware) -> Pipeline:
    cut = stages(graph)
    made = Pipeline(graph, cut, batch, max(1, hardware.queue_batches), 0, hardware.infer_batch)
    if not graph.nodes:
        return made
    return dataclasses.replace(
        made, frames_in_flight=frames_held(made, graph.nodes[0].name, graph.nodes[-1].name)
    )


def _fits(made: Pipeline, hardware: Hardware, video: Video) -> bool:
    together = hardware.cuda_streams * len(hardware.gpus) if uses_gpu(made.graph) else hardware.cpu_slots
    ram = hardware.memory_mb * RAM_SHARE / max(1, together)
    return memory_mb(made, video, Memory.CPU) <= ram and (
        not hardware.vram_per_stream_mb or memory_mb(made, video, Memory.CUDA) <= hardware.vram_per_stream_mb
    )


def uses_gpu(graph: Graph) -> bool:
    """Whether a slot of the graph needs a GPU."""
    ports = [port for node in graph.nodes for port in (*node.inputs.values(), *node.outputs.values())]
    needs = [node.needs for node in graph.nodes]
    return any(port.memory is Memory.CUDA for port in ports) or any(
        need.vram_mb or any(need.resources.get(key) for key in PER_GPU)
        or GPU_WORDS & {need.engine, *need.features}
        for need in needs
    )  # fmt: skip


def frames_held(made: Pipeline, producer: str, reader: str) -> int:
    """The most frames of ``producer`` that live until ``reader``, the last to read them, is done.

    A batch is in work in every stage from one to the other, ``queue`` batches wait before each
    but the first, and a node that looks ahead by ``l`` frames holds the ``ceil(l / batch)``
    batches that it has not answered yet.
    """
    order = [node.name for node in made.graph.nodes]
    first, last = order.index(producer), order.index(reader)
    place = {name: index for index, stage in enumerate(made.stages) for name in stage.nodes}
    hops = place[reader] - place[producer]
    waiting = sum(math.ceil(node.lookahead / made.batch) for node in made.graph.nodes[first : last + 1])
    return made.batch * (1 + hops + made.queue * hops + waiting)


def batches_held(made: Pipeline, producer: str) -> int:
    """The most batches of ``producer`` that are alive at once, the one in the making included."""
    order = [node.name for node in made.graph.nodes]
    readers = [edge.consumer for edge in made.graph.out_of(producer)]
    last = max(readers, key=order.index, default=producer)
    return frames_held(made, producer, last) // made.batch + 1


def memory_mb(made: Pipeline, video: Video, memory: Memory) -> int:
    """MiB of ``memory`` that one slot takes for a source like ``video``.

    Counts every picture in flight until its last reader, the ``frame_buffers`` of the nodes
    that work in ``memory``, as large as the largest picture the node takes or gives, and for the
    GPU the fixed ``vram_mb`` of all nodes. Pictures are as large as the source until a node makes
    them of another size (`Node.size`).
    """
    graph = made.graph
    sizes = _sizes(graph, video)
    total = 0.0
    for name, output, port in _pictures(graph):
        readers = [edge.consumer for edge in graph.out_of(name) if edge.output == output]
        last = max(readers, key=[node.name for node in graph.nodes].index, default=name)
        if port.memory is memory:
            total += _bytes(sizes[name], port) * frames_held(made, name, last)
    for node in graph.nodes:
        pictures = [(sizes[e.producer], e.type) for e in graph.into(node.name) if _is_picture(e.type)]
        pictures += [(sizes[node.name], port) for port in node.outputs.values() if _is_picture(port)]
        if any(port.memory is memory for _, port in pictures):
            total += max(_bytes(size, port) for size, port in pictures) * node.needs.frame_buffers
    fixed = sum(node.needs.vram_mb for node in graph.nodes) if memory is Memory.CUDA else 0
    return fixed + math.ceil(total / MIB)


def _pictures(graph: Graph) -> Iterator[tuple[str, str, PortType]]:
    for node in graph.nodes:
        for output, port in node.outputs.items():
            if _is_picture(port):
                yield node.name, output, port


def _is_picture(port: PortType) -> bool:
    return port.memory is not None


def _sizes(graph: Graph, video: Video) -> Mapping[str, tuple[int, int]]:
    """Width and height of the pictures each node gives, made of its first or of the source's."""
    sizes: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        fed = [sizes[edge.producer] for edge in graph.into(node.name) if _is_picture(edge.type)]
        sizes[node.name] = node.kind.cls.size(node.config, *(fed or [(video.width, video.height)])[0])
    return sizes


def _bytes(size: tuple[int, int], port: PortType) -> float:
    pixel = port.format if isinstance(port.format, type) and issubclass(port.format, PixelFormat) else NV12
    width, height = (side + side % 2 for side in size)
    return width * height * pixel.bytes_per_pixel
