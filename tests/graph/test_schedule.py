"""The scheduler: stages, slots, VRAM, overflow, and what must hold for every plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import pytest

from dualface.graph.dag import Edge, Graph, GraphNode
from dualface.graph.errors import RequestError
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.node import Needs, Node, NodeConfig, Stateless
from dualface.graph.plan import Plan
from dualface.graph.ports import PortType
from dualface.graph.registry import Kind
from dualface.graph.schedule import pipeline, schedule
from dualface.graph.stages import frames_held, memory_mb
from dualface.graph.types import NV12, Frames, Layout, Memory, Shots, Tile, Video

HD = Video(1920, 1080, Fraction(1, 30), Fraction(30))
PIXELS = {m: PortType(Frames, NV12, m) for m in Memory}
DATA = PortType(Shots)


@dataclasses.dataclass
class Laid(NodeConfig):
    layout: Layout = dataclasses.field(
        default_factory=lambda: Layout(640, 360, (Tile("all", 0, 0, 640, 360),))
    )


def step(name: str, needs: Needs, inputs: Mapping[str, PortType], output: PortType | None, **more: object):
    made = {"lookahead": 0, "state": Stateless(), "config": NodeConfig()} | more
    outputs = {"": output} if output else {}
    return GraphNode(
        name, Kind(f"test/{name}", Node, "tests"), needs=needs, inputs=inputs, outputs=outputs, **made
    )


def line(where: Memory = Memory.CPU, *, encoder: Memory | None = None, **needs: Needs) -> Graph:
    """decode → detect → camera → compose → encode; ``encoder`` CPU makes encoding software."""
    gpu, hard = where is Memory.CUDA, (encoder or where) is Memory.CUDA
    pixels = PIXELS[where]
    default = {
        "decode": Needs("nvdec", resources={"decode_sessions": 1}) if gpu else Needs(),
        "detect": Needs("cuda", vram_mb=500) if gpu else Needs(),
        "camera": Needs(threads=0.2),
        "follow": Needs(threads=0.3),
        "compose": Needs("cuda") if gpu else Needs(),
        "encode": Needs("nvenc", resources={"encode_sessions": 1}) if hard else Needs(threads=3),
    } | needs
    nodes = (
        step("decode", default["decode"], {}, pixels),
        step("detect", default["detect"], {"frames": pixels}, DATA),
        step("follow", default["follow"], {"data": DATA}, DATA),
        step("camera", default["camera"], {"data": DATA}, DATA, lookahead=30),
        step("compose", default["compose"], {"frames": pixels, "shots": DATA}, pixels, config=Laid()),
        step("encode", default["encode"], {"frames": pixels}, None),
    )
    edges = (
        Edge("decode", "", "detect", "frames", pixels),
        Edge("detect", "", "follow", "data", DATA),
        Edge("follow", "", "camera", "data", DATA),
        Edge("decode", "", "compose", "frames", pixels),
        Edge("camera", "", "compose", "shots", DATA),
        Edge("compose", "", "encode", "frames", pixels),
    )
    return Graph("line", nodes, edges)


def jobs(*frames: int, video: Video = HD) -> list[Job]:
    return [
        Job(f"v{i}", f"v{i}.mp4", Path(f"v{i}_dual.mp4"), video, n, n / 30, "h264", "yuv420p", index=i)
        for i, n in enumerate(frames)
    ]


CPU = Hardware("cpu", cpu_cores=8, memory_mb=16384, cpu_slots=2)
CARD = Gpu(0, "NVIDIA GeForce RTX 5090", 32607, "12.0", 2, 3)
RTX = Hardware(
    "rtx5090", 16, 65536, (CARD,), frozenset({"cuda", "nvdec", "nvenc"}),
    cuda_streams=4, decode_sessions=4, encode_sessions=2, vram_limit_mb=24576, vram_per_stream_mb=6144,
    encode_overflow="software",
)  # fmt: skip
GRAPH, SOFT = line(Memory.CUDA), line(Memory.CUDA, encoder=Memory.CPU)


def shape(plan: Plan) -> list[tuple[str, int]]:
    return [(slot.name, slot.pipeline) for slot in plan.slots]


def test_cpu_stages_let_heavy_nodes_run_side_by_side() -> None:
    made = pipeline(line(), CPU, HD)
    assert [s.name for s in made.stages] == ["decode", "detect", "follow+camera", "compose", "encode"]


def test_light_neighbours_share_up_to_one_core() -> None:
    light = Needs(threads=0.5)
    made = pipeline(line(detect=light, compose=light, follow=light), CPU, HD)
    assert [s.name for s in made.stages] == ["decode", "detect+follow", "camera+compose", "encode"]


def test_gpu_stages_are_cut_where_the_engine_changes() -> None:
    made = pipeline(GRAPH, RTX, HD)
    assert [(s.name, s.engine) for s in made.stages] == [
        ("decode", "nvdec"), ("detect", "cuda"), ("follow+camera", "cpu"), ("compose", "cuda"),
        ("encode", "nvenc"),
    ]  # fmt: skip


def test_frames_in_flight_count_queues_and_lookahead() -> None:
    made = pipeline(line(), CPU, HD)
    # 5 stages at work, 2 batches before each of 4, and 30 frames looked ahead, in batches of 8.
    assert made.frames_in_flight == 8 * (5 + 2 * 4 + 4)
    assert frames_held(made, "compose", "encode") == 8 * (2 + 2)


def test_vram_counts_frames_until_their_last_reader_and_fixed_memory() -> None:
    made = pipeline(GRAPH, RTX, HD)
    decoded = 1920 * 1080 * 1.5 * frames_held(made, "decode", "compose")
    composed = 640 * 360 * 1.5 * frames_held(made, "compose", "encode")
    assert memory_mb(made, HD, Memory.CUDA) == 500 + -(-(decoded + composed) // (1 << 20))
    assert memory_mb(made, HD, Memory.CPU) == 0


class Doubles(Node[NodeConfig]):
    @staticmethod
    def size(config: object, width: int, height: int) -> tuple[int, int]:
        return 2 * width, 2 * height


def test_vram_counts_pictures_of_the_size_that_a_node_says() -> None:
    def held(size: type[Node[NodeConfig]], buffers: int = 0) -> int:
        graph = line(Memory.CUDA, compose=Needs("cuda", frame_buffers=buffers))
        nodes = [
            dataclasses.replace(n, kind=Kind("test/compose", size, "tests"), config=NodeConfig())
            if n.name == "compose"
            else n
            for n in graph.nodes
        ]
        made = pipeline(dataclasses.replace(graph, nodes=tuple(nodes)), RTX, HD)
        return memory_mb(made, HD, Memory.CUDA)

    frame = 1920 * 1080 * 1.5 / (1 << 20)
    more = frames_held(pipeline(GRAPH, RTX, HD), "compose", "encode")
    assert held(Doubles) - held(Node) == pytest.approx(3 * frame * more, abs=1)
    assert held(Doubles, 10) - held(Doubles) == pytest.approx(40 * frame, abs=1)


def test_frame_buffers_are_as_large_as_the_larger_of_what_comes_in_and_goes_out() -> None:
    frame = 1920 * 1080 * 1.5 / (1 << 20)  # the layout is smaller
    graphs = [line(Memory.CUDA, compose=Needs("cuda", frame_buffers=count)) for count in (0, 10)]
    none, ten = (memory_mb(pipeline(graph, RTX, HD), HD, Memory.CUDA) for graph in graphs)
    assert ten - none == pytest.approx(10 * frame, abs=1)


def test_large_pictures_get_smaller_batches_that_fit() -> None:
    tight = dataclasses.replace(RTX, vram_per_stream_mb=4096)
    plan = schedule(GRAPH, tight, jobs(100, video=dataclasses.replace(HD, width=7680, height=4320)))
    assert plan.pipelines[0].batch < RTX.decode_batch
    assert memory_mb(plan.pipelines[0], plan.assignments[0].job.video, Memory.CUDA) <= 4096
    assert any("to fit memory" in note for note in plan.notes)


def test_a_slot_that_cannot_fit_is_refused_in_one_sentence() -> None:
    graph = line(Memory.CUDA, detect=Needs("cuda", vram_mb=9000))
    with pytest.raises(RequestError) as caught:
        schedule(graph, RTX, jobs(100))
    (problem,) = caught.value.problems
    assert problem.code == "vram-per-stream"
    assert "'v0' (1920x1080) needs 9" in problem.message
    assert "hw.vram_per_stream_mb is 6144" in problem.message


@pytest.mark.parametrize(
    ("change", "where", "text"),
    [
        ({"gpus": ()}, "hw.gpus", "needs a GPU, and hw has none"),
        ({"decode_sessions": 0}, "hw.decode_sessions", "needs 1 of hw.decode_sessions, but a GPU has 0"),
        ({"encode_sessions": 0}, "hw.encode_sessions", "needs 1 of hw.encode_sessions, but a GPU has 0"),
        ({"vram_limit_mb": 4096}, "hw.vram_limit_gb", "6144 MB of hw.vram_limit_gb, but a GPU has 4096 MB"),
    ],
)
def test_no_slot_is_an_error_that_names_what_is_short(change: dict, where: str, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        schedule(GRAPH, dataclasses.replace(RTX, **change), jobs(1))
    assert caught.value.problems[0].where == where
    assert text in caught.value.problems[0].message


def test_rtx5090_fills_two_nvenc_slots_and_two_in_software() -> None:
    plan = schedule(GRAPH, RTX, jobs(*[100] * 6), overflow=SOFT)
    assert shape(plan) == [("gpu0.1", 0), ("gpu0.2", 0), ("gpu0.3", 1), ("gpu0.4", 1)]
    assert plan.slots[0].leases == {"gpu0-decode": 1, "gpu0-encode": 1, "gpu0-stream": 1, "gpu0-vram": 24}
    assert "gpu0-encode" not in plan.slots[2].leases
    assert {slot.threads for slot in plan.slots} == {4}
    assert plan.notes[0] == (
        "4 slots for 6 jobs: hw.decode_sessions, hw.cuda_streams and hw.vram_limit_gb are the limit "
        "(4 on a GPU); the other jobs wait their turn."
    )
    assert any("2 more slots encode in software" in note for note in plan.notes)


def test_software_encoders_stop_where_cores_do() -> None:
    plan = schedule(GRAPH, dataclasses.replace(RTX, cpu_cores=6), jobs(*[100] * 6), overflow=SOFT)
    assert shape(plan) == [("gpu0.1", 0), ("gpu0.2", 0), ("gpu0.3", 1)]
    assert "hw.cpu_cores (6) feed no more software encoders" in plan.notes[0]


@pytest.mark.parametrize(("cores", "slots"), [(2, 1), (7, 2), (14, 4), (64, 4)])
def test_cores_count_where_the_main_pipeline_encodes_in_software(cores: int, slots: int) -> None:
    # Its CPU nodes use 3.5 cores: following, the camera, encoding.
    h100 = dataclasses.replace(RTX, cpu_cores=cores, encode_sessions=0)
    plan = schedule(SOFT, h100, jobs(*[100] * 6))
    assert len(plan.slots) == slots
    if slots < 4:
        text = f"hw.cpu_cores ({cores}) feed no more slots, which use 3.5 cores each"
        assert text in plan.notes[0]


def test_slots_that_leave_the_cores_alone_are_not_limited_by_them() -> None:
    assert len(schedule(GRAPH, dataclasses.replace(RTX, cpu_cores=1), jobs(1, 1)).slots) == 2


def test_one_slot_in_software_runs_on_any_cores_where_there_is_no_other() -> None:
    bare = dataclasses.replace(RTX, cpu_cores=1, encode_sessions=0)
    assert shape(schedule(GRAPH, bare, jobs(1, 1), overflow=SOFT)) == [("gpu0.1", 1)]


def test_software_that_needs_more_vram_than_a_slot_has_waits_and_says_so() -> None:
    big = line(Memory.CUDA, encoder=Memory.CPU, detect=Needs("cuda", vram_mb=9000))
    plan = schedule(GRAPH, RTX, jobs(1, 1, 1), overflow=big)
    assert len(plan.slots) == 2
    assert any("1 job waits, as one slot for 'v0'" in note for note in plan.notes), plan.notes


def test_why_nothing_takes_over_is_told() -> None:
    plan = schedule(GRAPH, RTX, jobs(1, 1, 1), no_overflow="it must not")
    assert plan.no_overflow == "it must not"
    assert any("1 job waits, as it must not." in note for note in plan.notes), plan.notes


def test_software_slots_go_where_the_gpus_have_fewest() -> None:
    second = Gpu(1, "second", 32768)
    both = dataclasses.replace(RTX, gpus=(CARD, second), cuda_streams=2, encode_sessions=1, cpu_cores=64)
    plan = schedule(GRAPH, both, jobs(*[1] * 3), overflow=SOFT)
    assert [slot.gpu for slot in plan.slots] == [0, 1, 0]
    uneven = line(Memory.CUDA, encode=Needs("nvenc", resources={"encode_sessions": 2}))
    small = dataclasses.replace(both, gpus=(dataclasses.replace(CARD, vram_mb=13000), second), cuda_streams=3)
    plan = schedule(uneven, dataclasses.replace(small, encode_sessions=2), jobs(*[1] * 4), overflow=SOFT)
    assert [slot.gpu for slot in plan.slots] == [0, 1, 0, 1]


def test_a_feature_of_the_gpu_takes_a_slot_on_it() -> None:
    graph = line(detect=Needs(features=("cuda",)))
    assert [slot.gpu for slot in schedule(graph, RTX, jobs(1)).slots] == [0]


@pytest.mark.parametrize(
    ("hardware", "overflow", "note"),
    [
        (dataclasses.replace(RTX, encode_overflow="wait"), SOFT, "4 jobs wait (hw.encode_overflow=wait)"),
        (RTX, None, "4 jobs wait, as this graph has no software encoder"),
        (dataclasses.replace(RTX, cpu_cores=4), SOFT, "4 jobs wait, as cores"),
    ],
)
def test_jobs_beyond_the_encoders_wait(hardware: Hardware, overflow: Graph | None, note: str) -> None:
    plan = schedule(GRAPH, hardware, jobs(*[100] * 6), overflow=overflow)
    assert shape(plan) == [("gpu0.1", 0), ("gpu0.2", 0)]
    assert any(note in text for text in plan.notes), plan.notes


def test_no_encode_session_at_all_still_runs_in_software() -> None:
    plan = schedule(GRAPH, dataclasses.replace(RTX, encode_sessions=0), jobs(1, 1, 1), overflow=SOFT)
    assert shape(plan) == [("gpu0.1", 1), ("gpu0.2", 1), ("gpu0.3", 1)]


def test_two_gpus_are_filled_evenly() -> None:
    both = dataclasses.replace(RTX, gpus=(CARD, dataclasses.replace(CARD, index=1)))
    plan = schedule(GRAPH, both, jobs(*[100] * 3))
    assert [slot.name for slot in plan.slots] == ["gpu0.1", "gpu1.1", "gpu0.2"]


def test_a_small_second_card_takes_what_its_memory_allows() -> None:
    small = Gpu(1, "small", 8192)
    plan = schedule(GRAPH, dataclasses.replace(RTX, gpus=(CARD, small), encode_sessions=4), jobs(*[9] * 9))
    assert [slot.gpu for slot in plan.slots] == [0, 1, 0, 0, 0]


def test_longest_job_first_and_unknown_lengths_count_as_the_longest() -> None:
    plan = schedule(line(), CPU, jobs(10, 30, 0, 20))
    assert [a.job.name for a in plan.assignments] == ["v1", "v2", "v3", "v0"]
    assert any("The length of v2 is unknown" in note for note in plan.notes)


def test_notes_say_what_limits() -> None:
    assert schedule(line(), CPU, jobs(1)).notes == ("1 slot for 1 job: every job has a slot of its own.",)
    assert "hw.cpu_slots is 2" in schedule(line(), CPU, jobs(1, 2, 3)).notes[0]
    tight = dataclasses.replace(RTX, vram_limit_mb=6144)
    assert (
        "VRAM is the limit (6144 MB on a GPU, 6144 MB a slot)" in schedule(GRAPH, tight, jobs(1, 2)).notes[0]
    )
    assert "no slots" in schedule(line(), CPU, []).notes[0]


def test_an_unknown_resource_is_refused() -> None:
    graph = line(detect=Needs(resources={"npu_sessions": 1}))
    with pytest.raises(RequestError, match="'npu_sessions', which no hardware layer has"):
        schedule(graph, CPU, jobs(1))


def test_nodes_are_told_what_engines_are_built_for() -> None:
    hardware = dataclasses.replace(RTX, infer_batch=24)
    assert pipeline(line(Memory.CUDA), hardware, HD).infer_batch == 24
