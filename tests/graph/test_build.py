"""Good graphs: what is chosen, inserted, dropped, left out, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from build_kinds import CPU, GPU, NO_NVENC, ComposeAny, main_graph, stand_ins

from dualface.graph.build import build
from dualface.graph.draw import draw_graph
from dualface.graph.errors import RequestError
from dualface.graph.registry import kind_of
from dualface.graph.types import Memory


def test_the_best_candidates_that_fit_are_taken() -> None:
    on_cpu = build(main_graph(), CPU, stand_ins())
    assert on_cpu.by_name["decode"].candidate == "soft"
    assert [p.usable for p in on_cpu.by_name["decode"].passed] == [False]
    assert "nvdec" in on_cpu.by_name["decode"].passed[0].why
    on_gpu = build(main_graph(), GPU, stand_ins())
    assert on_gpu.by_name["decode"].kind.name == "decode/chip"
    assert [(p.name, p.usable) for p in on_gpu.by_name["encode"].passed] == [("soft", True)]
    assert all(e.type.memory in (None, Memory.CUDA) for e in on_gpu.edges)


def test_excluded_candidates_are_passed_over() -> None:
    graph = build(main_graph(), GPU, stand_ins(), exclude={("encode", "chip"): "it is excluded here"})
    assert graph.by_name["encode"].candidate == "soft"
    assert "excluded" in graph.by_name["encode"].passed[0].why


def test_listed_candidates_go_by_their_rank_and_options() -> None:
    candidates = {
        "slow": {"kind": "detect/soft", "rank": 1, "every": 3},
        "quick": {"kind": "detect/fast", "rank": 2},
    }
    node = {"auto": "detect", "score": 0.7, "candidates": candidates, "inputs": {"frames": "decode.frames"}}
    detect = build(main_graph(detect=node), CPU, stand_ins()).by_name["detect"]
    assert (detect.candidate, detect.config.score, detect.config.every) == ("slow", 0.7, 3)  # type: ignore[attr-defined]


def test_no_other_kind_stands_in_for_candidates_of_one_kind() -> None:
    exclude = {("detect", "mine"): "it is excluded here"}
    candidates = {"mine": {"kind": "detect/soft", "rank": 1}}

    def chosen(auto: str, excluded: bool) -> str:
        node = {"auto": auto, "candidates": candidates, "inputs": {"frames": "decode.frames"}}
        graph = build(main_graph(detect=node), GPU, stand_ins(), exclude=exclude if excluded else {})
        return graph.by_name["detect"].candidate

    assert chosen("detect", False) == chosen("detect/soft", False) == "mine"
    assert chosen("detect", True) == "fast"
    with pytest.raises(RequestError, match="no candidate for 'detect' can be used: detect/soft"):
        chosen("detect/soft", True)


def test_shared_options_that_the_chosen_kind_lacks_are_told() -> None:
    candidates = {"plain": {"kind": "detect/plain", "rank": 1}, "soft": {"kind": "detect/soft", "rank": 2}}
    node = {
        "auto": "detect",
        "score": 0.7,
        "every": 2,
        "candidates": candidates,
        "inputs": {"frames": "decode.frames"},
    }
    graph = build(main_graph(detect=node), CPU, stand_ins())
    detect = graph.by_name["detect"]
    assert (detect.candidate, detect.ignored) == ("plain", ("score", "every"))
    assert "does not have the shared options score, every\n" in draw_graph(graph)
    assert '"ignored": [\n        "score",\n        "every"\n      ]' in draw_graph(graph, "json")
    graph = build(main_graph(detect={**node, "candidates": {}}), CPU, stand_ins())
    assert graph.by_name["detect"].ignored == ()


def test_one_transfer_serves_all_readers_of_an_output() -> None:
    graph = build(
        main_graph(
            detect={"kind": "detect/soft", "inputs": {"frames": "decode.frames"}},
            compose={"kind": "compose/soft", "inputs": {"frames": "decode.frames", "shots": "camera"}},
        ),
        GPU,
        stand_ins(),
    )
    moved = [node.name for node in graph.nodes if node.inserted]
    assert moved == ["transfer_decode_cpu", "transfer_compose_cuda"]
    assert {e.consumer for e in graph.out_of("transfer_decode_cpu")} == {"detect", "compose"}


def test_a_node_that_can_stay_on_the_gpu_does() -> None:
    graph = build(main_graph(), NO_NVENC, stand_ins())
    assert graph.by_name["compose"].inputs["frames"].memory is Memory.CUDA
    assert [node.name for node in graph.nodes if node.inserted] == ["transfer_compose_cpu"]
    assert graph.by_name["transfer_compose_cpu"].config.to == "cpu"  # type: ignore[attr-defined]


def test_ten_bits_are_converted_once_and_before_they_are_moved() -> None:
    graph = build(main_graph(decode={"kind": "decode/ten"}), GPU, stand_ins())
    into_detect = [e.producer for e in graph.into("detect")]
    assert into_detect == ["transfer_decode_cuda"]
    assert [e.producer for e in graph.into("transfer_decode_cuda")] == ["convert_decode_nv12"]
    assert sum(node.kind.name == "convert" for node in graph.nodes) == 1


def test_an_input_of_the_role_that_the_kind_ignores_is_dropped() -> None:
    reid = build(main_graph(), CPU, stand_ins()).by_name["reid"]
    assert reid.dropped == {"frames": "decode.frames"}
    pinned = {"kind": "reid/look", "inputs": {"frames": "decode.frames", "tracks": "track"}}
    assert build(main_graph(reid=pinned), CPU, stand_ins()).by_name["reid"].dropped is None


def test_disabled_nodes_vanish_and_take_what_only_they_read() -> None:
    writer = {"kind": "write/people", "inputs": {"people": "reid", "shots": "second"}, "enabled": False}
    second = {"kind": "camera/soft", "inputs": {"people": "reid", "cuts": "detect.cuts"}}
    graph = build(main_graph(record=writer, second=second), CPU, stand_ins())
    assert {"record", "second"}.isdisjoint(graph.by_name)
    graph = build(main_graph(record={**writer, "enabled": True}, second=second), CPU, stand_ins())
    assert {"record", "second"} <= graph.by_name.keys()


def test_an_optional_input_may_come_from_a_disabled_node() -> None:
    extra = {"kind": "camera/soft", "inputs": {"people": "reid", "cuts": "detect.cuts"}, "enabled": False}
    writer = {"kind": "write/people", "inputs": {"people": "reid", "shots": "extra"}}
    graph = build(main_graph(extra=extra, record=writer), CPU, stand_ins())
    assert [e.input for e in graph.into("record")] == ["people"]


def test_nodes_of_one_engine_stand_together() -> None:
    graph = build(main_graph(), GPU, stand_ins())
    engines = [node.needs.engine for node in graph.nodes]
    runs = [e for i, e in enumerate(engines) if i == 0 or engines[i - 1] != e]
    assert runs == ["nvdec", "cuda", "cpu", "cuda", "nvenc"]


def test_zero_copy_holds_where_all_is_on_the_gpu() -> None:
    build(main_graph(), GPU, stand_ins(), strict_zero_copy=True)
    build(main_graph(), CPU, stand_ins(), strict_zero_copy=True)
    detect = {"kind": "detect/soft", "inputs": {"frames": "decode.frames"}}
    with pytest.raises(RequestError) as caught:
        build(main_graph(detect=detect), GPU, stand_ins(), strict_zero_copy=True)
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("strict-zero-copy", "graph.nodes.detect.inputs.frames")


class Immense(ComposeAny):
    kind = "compose/immense"

    @staticmethod
    def size(config: object, width: int, height: int) -> tuple[int, int]:
        raise RuntimeError("no such size")


def test_a_size_that_cannot_be_told_is_the_kinds_fault() -> None:
    compose = {"kind": "compose/immense", "inputs": {"frames": "decode.frames", "shots": "camera"}}
    registry = stand_ins()
    registry = replace(registry, kinds={**registry.kinds, "compose/immense": kind_of(Immense)})
    with pytest.raises(RequestError, match="look-ahead, state or size: no such size"):
        build(main_graph(compose=compose), CPU, registry)
