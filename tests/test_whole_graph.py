"""The command on real footage: what comes out is watched again with the detector."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yolo_net
from media import Film, Sound, make, tracks, video_times

from dualface.app import main
from dualface.graph.node import Context
from dualface.graph.types import spans
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.yunet import Yunet

Run = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with its run folder and default outputs below ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return lambda *args: main([*args, "quiet=true", f"hydra.run.dir={tmp_path}/run"])


def clip(source: Path, target: Path, frames: int) -> Path:
    """The first ``frames`` pictures of a file and the sound up to there, copied as they are."""
    with av.open(str(source)) as origin, av.open(str(target), "w") as out:
        copies = {s.index: out.add_stream_from_template(s) for s in origin.streams}
        last, seen = None, 0
        for packet in origin.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "video":
                seen += 1
                last = packet.pts * packet.time_base
            if seen > frames:
                break
            packet.stream = copies[packet.stream.index]
            out.mux(packet)
    assert last is not None
    return target


def faces(video: Path, every: int) -> list[list[tuple[float, float, float, float]]]:
    """Boxes of the faces in every ``every``-th picture of a result."""
    job = probe(video, output=Path("unused.mp4"), name="result")
    quiet: Any = lambda *_: None  # noqa: E731
    context = Context(job, "look", 8, 1, quiet, lambda: False, lambda path: path, quiet, quiet)
    decode, detect = PyavDecode(PyavConfig()), Yunet(YunetConfig(size=640, every=every))
    found: list[list[tuple[float, float, float, float]]] = []
    try:
        decode.open(context)
        detect.open(context)
        while (batch := decode.process()) is not None:
            seen = detect.process(batch.frames).faces
            for i, span in enumerate(spans(seen.counts)):
                if seen.looked[i]:
                    found.append([tuple(box) for box in seen.boxes[span].tolist()])
    finally:
        decode.close()
        detect.close()
    return found


def test_two_people_get_a_tile_each(run: Run, footage: Path, tmp_path: Path) -> None:
    source = clip(footage / "duo_1080p.mp4", tmp_path / "두 사람, [1]='a'.mp4", 60)
    assert run(f"input={source}", "record=true") == 0
    result = tmp_path / "outputs" / "두 사람, [1]='a'_dual.mp4"
    assert video_times(result) == video_times(source)
    assert tracks(result, "audio")[0].data == tracks(source, "audio")[0].data
    for boxes in faces(result, every=10):
        large = [b for b in boxes if b[3] - b[1] > 150]
        assert len([b for b in large if b[2] <= 980]) == 1, "one face in the left tile"
        assert len([b for b in large if b[0] >= 940]) == 1, "one face in the right tile"
        heights = sorted(b[3] - b[1] for b in large)
        assert heights[0] > 0.6 * heights[-1], "heads are about equally large"
    lines = [json.loads(line) for line in result.with_suffix(".people.jsonl").open()]
    assert [line["frame"] for line in lines] == list(range(len(lines)))
    assert [line["pts"] for line in lines] == [round(float(t), 6) for t in video_times(source)]
    for line in lines:
        assert sorted(f["side"] for f in line["faces"] if f["side"]) == ["left", "right"]
        x = {f["side"]: f["box"][0] for f in line["faces"]}
        assert x["left"] < x["right"]
        assert set(line["shots"]) == {"left", "right"}
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    job = report["jobs"][0]
    assert job["frames_in"] == job["frames_out"] == len(lines)
    assert report["totals"]["host_to_device_bytes"] == 0


def test_cuts_profiles_and_an_audience(run: Run, footage: Path, tmp_path: Path) -> None:
    source = footage / "cuts_360p.mp4"
    assert run(f"input={source}", "output=out.mkv", "record=true", "graph.nodes.encode.preset=ultrafast") == 0
    sound = tracks(source, "audio")[0]
    assert tracks(tmp_path / "out.mkv", "audio")[0].data == sound.data
    # Matroska counts in milliseconds.
    for ours, theirs in zip(video_times(tmp_path / "out.mkv"), video_times(source), strict=True):
        assert abs(ours - theirs) <= Fraction(1, 1000)
    for line in (tmp_path / "out.people.jsonl").open():
        sides = [f["side"] for f in json.loads(line)["faces"] if f["side"]]
        assert len(sides) == len(set(sides)), "never two people on one side"


def test_solo_inspect_and_blur(run: Run, footage: Path, tmp_path: Path) -> None:
    source = clip(footage / "duo_1080p.mp4", tmp_path / "duo.mp4", 24)
    assert run("graph=solo", f"input={source}", "output=solo.mp4") == 0
    with av.open(str(tmp_path / "solo.mp4")) as out:
        assert (out.streams.video[0].width, out.streams.video[0].height) == (1080, 1920)
    assert all(boxes for boxes in faces(tmp_path / "solo.mp4", every=8))
    assert run("graph=inspect", f"input={source}") == 0
    lines = (tmp_path / "outputs" / "duo.people.jsonl").read_text().splitlines()
    assert len(lines) == len(video_times(source))
    assert "shots" not in json.loads(lines[0])
    # A soft blur still looks like a head to a detector now and then; a black box does not.
    assert run("graph=blur", f"input={source}", "output=blur.mp4", "graph.nodes.blur.style=black") == 0
    assert not any(boxes for boxes in faces(tmp_path / "blur.mp4", every=4)), "a face can be seen"
    with av.open(str(tmp_path / "blur.mp4")) as out:
        assert (out.streams.video[0].width, out.streams.video[0].height) == (1920, 1080)


def test_four_people_and_more_policies(run: Run, footage: Path, tmp_path: Path) -> None:
    source = clip(footage / "four_270p.mp4", tmp_path / "four.mp4", 20)
    for policy in ("hold", "other", "blank"):
        args = (f"graph.nodes.camera.missing={policy}", f"output={policy}.mp4", "graph.nodes.detect.every=3")
        assert run(f"input={source}", *args) == 0
        assert video_times(tmp_path / f"{policy}.mp4") == video_times(source)


@pytest.mark.parametrize("head", ["yolov5-face", "yolov8-face"])
def test_a_network_of_ones_own_finds_the_people(
    run: Run, head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two red squares that sway, for a network that takes red squares for faces."""
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    yolo_net.describe(tmp_path, yolo_net.network(head, batch=1, size=(640, 640)), head=head)
    sway = [10 * np.sin(i / 6) for i in range(40)]
    squares = [((190 + s, 190, 60), (450 - s, 190, 80)) for s in sway]
    yolo_net.film(tmp_path / "red.mp4", [yolo_net.picture((640, 360), *two) for two in squares])
    detect = ("node/detect@graph.nodes.detect=yolo", "graph.nodes.detect.model=red")
    assert run("graph=dualface", "input=red.mp4", *detect, "output=out.mp4", "record=true") == 0
    assert video_times(tmp_path / "out.mp4") == video_times(tmp_path / "red.mp4")
    lines = [json.loads(line) for line in (tmp_path / "out.people.jsonl").open()]
    assert len(lines) == len(squares)
    for line, two in zip(lines[5:], squares[5:], strict=True):
        found = {face["side"]: face["box"] for face in line["faces"]}
        for side, (x, y, edge) in zip(("left", "right"), two, strict=True):
            wanted = [x - edge / 2, y - edge / 2, x + edge / 2, y + edge / 2]
            np.testing.assert_allclose(found[side], wanted, atol=6)  # the tracker smooths


def test_a_model_that_cannot_be_used_is_refused_at_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    make(tmp_path / "a.mp4")
    detect = ("node/detect@graph.nodes.detect=yolo", "output=out.mp4")
    for model, says in (
        ("", "model is not given"),
        ("rad", "no model called 'rad'"),
        ("yunet", "no 'detector'"),
    ):
        given = (f"graph.nodes.detect.model={model}",) if model else ()
        assert run("input=a.mp4", *detect, *given) == 2
        told = capsys.readouterr().err
        assert says in told
        assert "Traceback" not in told
    assert not (tmp_path / "out.mp4").exists()


FILMS = {
    "nobody": Film(),
    "one picture": Film(times=(0,)),
    "odd size": Film(size=(1365, 767), pixels="yuv444p", times=range(3)),
    "portrait": Film(size=(270, 480), times=range(8)),
    "turned": Film(rotation=90, times=range(8)),
    "wide pixels": Film(aspect=Fraction(64, 45), times=range(8)),
    "tiny": Film(size=(16, 16), times=range(5)),
    "ten bits": Film(pixels="yuv420p10le", times=range(6)),
    "times that vary": Film(times=(0, 1, 5, 6, 20, 21, 60), sounds=(Sound(start=0.5), Sound(language="kor"))),
}


@pytest.mark.parametrize("name", FILMS)
def test_inputs_as_people_have_them(name: str, run: Run, tmp_path: Path) -> None:
    source = make(tmp_path / f"{name}.mkv", FILMS[name])
    assert run(f"input={source}", "output={name}.mp4", "record=true") == 0
    result = tmp_path / f"{name}.mp4"
    assert video_times(result) == video_times(source)
    ours, theirs = tracks(result, "audio"), tracks(source, "audio")
    assert [t.data for t in ours] == [t.data for t in theirs]
    with av.open(str(result)) as out:
        assert (out.streams.video[0].width, out.streams.video[0].height) == (1920, 1080)


def test_a_bad_video_among_good_ones_leaves_them_alone(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "c"):
        make(tmp_path / f"{name}.mp4")
    (tmp_path / "b.mp4").write_bytes(b"no video at all" * 99)
    assert run("input=*.mp4", "output=out/{name}.mp4") == 1
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["a.mp4", "c.mp4"]
    assert "b.mp4" in capsys.readouterr().err
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [job["status"] for job in report["jobs"]] == ["done", "failed", "done"]
