"""Drawings: complete as data, whole as text, and with nothing on top of anything else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from build_kinds import CPU, MACHINES, NO_NVENC, main_graph, stand_ins

from dualface.graph.build import build
from dualface.graph.draw import FORMATS, describe_kind, draw_graph, draw_plan, list_kinds
from dualface.graph.errors import RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.schedule import schedule
from dualface.graph.types import Layout, Tile, Video

LONG = "a_name_that_goes_on_and_on_for_the_node_that_records_the_people"


def plan(machine: str = "h100") -> Plan:
    detect = {"auto": "detect", "score": 0.7, "inputs": {"frames": "decode.frames"}}
    record = {"kind": "write/people", "inputs": {"people": "reid", "cuts": "detect.cuts", "shots": "camera"}}
    video = Video(1920, 1080, Fraction(1, 30))
    jobs = [
        Job(
            f"<클립> {i} & co",
            f"{i}.mp4",
            Path(f"{i}_dual.mp4"),
            video,
            300 * i,
            10.0 * i,
            "h264",
            "yuv420p",
            (),
            i,
        )
        for i in (1, 2)
    ]
    graph = build(main_graph(detect=detect, **{LONG: record}), MACHINES[machine], stand_ins())
    return schedule(graph, MACHINES[machine], jobs)


def test_text_tells_what_one_wants_to_know() -> None:
    text = draw_plan(plan())
    for part in (
        "2 jobs in 2 slots on hw=h100",
        "+transfer_compose_cpu",
        "Frames[NV12, cpu], 3.1 MB a frame → encode",
        "options score=0.7",
        "not encode/chip: it needs nvenc and encode sessions, which hw=h100 does not have",
        "instead detect/soft: detect/fast ranks before it",
        "does not read frames (decode.frames)",
        "stage 1 on nvdec: decode",
        "queue of 2 batches",
        LONG,
    ):
        assert part in text, part


def test_json_is_whole_and_stable() -> None:
    data = json.loads(draw_plan(plan(), "json"))
    assert draw_plan(plan(), "json") == draw_plan(plan(), "json")
    (line,) = data["pipelines"]
    nodes = {node["name"]: node for node in line["graph"]["nodes"]}
    assert nodes["detect"]["changed"] == {"score": 0.7}
    assert nodes["detect"]["options"]["grid"] == {"rows": 2, "columns": 2}
    assert nodes["transfer_compose_cpu"]["inserted"] is True
    moved = [e for e in line["graph"]["edges"] if e["from"] == "transfer_compose_cpu"]
    assert moved[0]["bytes_per_frame"] == 1920 * 1080 * 3 // 2
    assert [name for stage in line["stages"] for name in stage["nodes"]] == [*nodes]
    assert {one["job"]["name"] for one in data["assignments"]} == {"<클립> 1 & co", "<클립> 2 & co"}


def test_mermaid_has_every_node_and_edge() -> None:
    made = plan()
    lines = draw_plan(made, "mermaid").splitlines()
    graph = made.pipelines[0].graph
    assert lines[0] == "flowchart LR"
    assert sum("-->" in line for line in lines) == len(graph.edges)
    assert sum("<br/>" in line for line in lines) == len(graph.nodes)
    assert sum(line.strip() == "end" for line in lines) == len(made.pipelines[0].stages)


@pytest.mark.parametrize("machine", ["cpu", "rtx", "h100"])
def test_svg_is_well_formed_and_no_texts_overlap(machine: str) -> None:
    root = ET.fromstring(draw_plan(plan(machine), "svg"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = list(_texts(root))
    assert len(boxes) > 30
    for i, (x0, y0, x1, y1, text) in enumerate(boxes):
        assert 0 <= x0 < x1 <= width, text
        assert 0 <= y0 < y1 <= height, text
        for a0, b0, a1, b1, other in boxes[:i]:
            assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0, (text, other)


def _texts(root: Any, dx: float = 0, dy: float = 0) -> Any:
    """Where each text is, by the width of its letters."""
    for element in root:
        if element.tag.endswith("}g"):
            x, y = map(float, re.findall(r"[\d.]+", element.attrib["transform"]))
            yield from _texts(element, dx + x, dy + y)
        elif element.tag.endswith("}text"):
            x, y = float(element.attrib["x"]) + dx, float(element.attrib["y"]) + dy
            yield x, y - 10, x + 7.3 * len(element.text), y + 3, element.text


def test_one_job_is_one_and_a_layout_is_told_by_its_size() -> None:
    made = plan()
    layout = Layout(1080, 1920, (Tile("main", 0, 0, 1080, 1920),))
    graph = made.pipelines[0].graph
    camera = graph.by_name["camera"]
    tall = replace(camera, config=replace(camera.config, layout=layout))
    graph = replace(graph, nodes=tuple(tall if node is camera else node for node in graph.nodes))
    line = replace(made.pipelines[0], graph=graph)
    one = replace(made, assignments=made.assignments[:1], slots=made.slots[:1], pipelines=(line, line))
    texts = [element.text or "" for element in ET.fromstring(draw_plan(one, "svg")).iter()]
    assert "plan of main: 1 job, 1 slot, hw=h100" in texts
    assert texts.count("layout=1080x1920 (main)") == 2
    assert "pipeline 2 · stage 1 · nvdec" in texts
    assert "options layout=1080x1920 (main)" in draw_plan(one)


def test_a_graph_alone_can_be_drawn_in_every_format() -> None:
    graph = build(main_graph(), CPU, stand_ins())
    for format in FORMATS:
        assert "encode" in draw_graph(graph, format)
    with pytest.raises(RequestError, match="Did you mean 'svg'"):
        draw_graph(graph, "svgg")


def test_strange_letters_are_escaped() -> None:
    graph = build({**main_graph(), "name": '<a & "b">'}, NO_NVENC, stand_ins())
    texts = [element.text for element in ET.fromstring(draw_graph(graph, "svg"))]
    assert 'graph <a & "b">' in texts


def test_kinds_are_listed_with_those_that_are_broken() -> None:
    text = list_kinds(stand_ins())
    assert re.search(r"^detect/soft +build_kinds +50", text, re.M)
    assert "detect/broken  acme-detect: ImportError: no module named 'acme'" in text
    data = json.loads(list_kinds(stand_ins(), "json"))
    assert len(data["kinds"]) == len(stand_ins().kinds)
    assert "detect/broken" in data["broken"]


def test_one_kind_in_full() -> None:
    text = describe_kind("detect/soft", stand_ins())
    assert re.search(r"score +float +0\.6 +keep faces at or above this, 0\.\.1", text)
    assert re.search(r"frames +Frames\[NV12, cpu\]", text)
    data = json.loads(describe_kind("detect/soft", stand_ins(), "json"))
    assert [option["name"] for option in data["options"]] == ["score", "every", "mode", "grid"]
    with pytest.raises(RequestError, match="Did you mean 'detect/soft'"):
        describe_kind("detect/sof", stand_ins())
    with pytest.raises(RequestError, match="no module named 'acme'"):
        describe_kind("detect/broken", stand_ins())
