"""Any valid graph builds, in topological order; any config at all brings a graph or problems."""

from __future__ import annotations

import copy
from typing import Any

from build_kinds import CPU, GPU, MACHINES, main_graph, stand_ins
from hypothesis import given, settings
from hypothesis import strategies as st

from dualface.graph.build import build
from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError

QUICK = settings(max_examples=70, deadline=None, derandomize=True, database=None)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, Any]:
    """A source, blurs that read any earlier pictures, and an encoder behind each loose end."""
    nodes: dict[str, Any] = {"decode": {"kind": draw(st.sampled_from(["decode/soft", "decode/ten"]))}}
    pictures, loose = ["decode.frames"], {"decode.frames"}
    for i in range(draw(st.integers(0, 8))):
        source = draw(st.sampled_from(pictures))
        nodes[f"blur{i}"] = {"kind": "blur/any", "inputs": {"frames": source}}
        pictures.append(f"blur{i}")
        loose = (loose - {source}) | {f"blur{i}"}
    for i, source in enumerate(sorted(loose)):
        nodes[f"encode{i}"] = {"auto": "encode", "inputs": {"frames": source, "source": "decode.source"}}
    return {"name": "random", "nodes": dict(draw(st.permutations(list(nodes.items()))))}


@QUICK
@given(dags(), st.sampled_from([CPU, GPU]))
def test_valid_graphs_build_in_topological_order_and_always_alike(config: Any, hardware: Any) -> None:
    before = copy.deepcopy(config)
    graph = build(config, hardware, stand_ins())
    assert config == before
    assert build(config, hardware, stand_ins()) == graph
    check_whole(graph)
    assert set(config["nodes"]) <= graph.by_name.keys()


def check_whole(graph: Graph) -> None:
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    for edge in graph.edges:
        assert position[edge.producer] < position[edge.consumer]
        assert graph.by_name[edge.producer].outputs[edge.output] == edge.type
        wanted = graph.by_name[edge.consumer].inputs[edge.input]
        assert (wanted.format, wanted.memory) == (edge.type.format, edge.type.memory)
    for node in graph.nodes:
        fed = {edge.input for edge in graph.into(node.name)}
        assert {p.name for p in node.kind.ports.inputs.values() if not p.optional} <= fed


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(
    ["kind", "auto", "inputs", "enabled", "candidates", "score", "grid", "layout", "_target_", "rank"]
)


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    return found


@QUICK
@given(st.data(), st.sampled_from(sorted(MACHINES)))
def test_whatever_is_done_to_a_config_brings_a_graph_or_problems(data: st.DataObject, machine: str) -> None:
    config: Any = copy.deepcopy(main_graph())
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(paths(config)))
        if not path:
            continue
        parent = config
        for key in path[:-1]:
            parent = parent[key]
        act = data.draw(st.sampled_from(["drop", "rename", "retype", "add"]))
        if act == "drop":
            del parent[path[-1]]
        elif act == "rename":
            parent[data.draw(st.text(max_size=6) | WORDS)] = parent.pop(path[-1])
        elif act == "retype":
            parent[path[-1]] = data.draw(JUNK)
        elif isinstance(parent[path[-1]], dict):
            parent[path[-1]][data.draw(st.text(max_size=6) | WORDS)] = data.draw(JUNK)
    strict = data.draw(st.booleans())
    if problems := problems_of(config, MACHINES[machine], strict_zero_copy=strict):
        assert all(p.code and p.message.endswith((".", "!", "?")) for p in problems)


@QUICK
@given(JUNK)
def test_junk_is_no_graph(config: Any) -> None:
    assert problems_of(config, CPU)


def problems_of(config: Any, hardware: Any, **rest: Any) -> tuple[Problem, ...]:
    """Build and check; the problems, none where there is a graph."""
    try:
        check_whole(build(config, hardware, stand_ins(), **rest))
    except RequestError as error:
        return error.problems
    return ()
