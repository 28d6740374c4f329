"""Files that encode/nvenc writes, against a stand-in of the chip that encodes in software."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from media import Film, Sound, copy, decoded, make, tracks, video_times
from standins.machine import CARD, Machine

from dualface.graph.job import Job
from dualface.graph.types import Video
from dualface.nodes.decode.probe import probe
from dualface.nodes.encode.nvenc import Nvenc, NvencConfig, options
from dualface.nodes.encode.x264 import X264Config

CONF = Path(__file__).parents[2] / "conf" / "node" / "encode"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made.chip.module)
    return made


def pictures(path: Path) -> list[np.ndarray[Any, Any]]:
    return [frame.to_ndarray(format="gray").astype(int) for frame in decoded(path)]


FILMS = {
    "plain": Film(
        sounds=[Sound(language="kor", title="원음"), Sound(pitch=660)], chapters=[(0, 0.4, "하나")]
    ),
    "one picture": Film(times=(0,)),
    "fewer than the encoder holds": Film(times=range(3)),
    "variable": Film(times=(0, 40, 41, 90, 200, 230, 300, 301, 999), time_base=Fraction(1, 600)),
    "not from zero": Film(times=range(50, 70), sounds=[Sound(start=1.5)]),
    "ntsc": Film(times=range(0, 30_030, 1001), time_base=Fraction(1, 30_000), rate=Fraction(30_000, 1001)),
    "odd size": Film(size=(167, 121), pixels="yuv444p"),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("film", FILMS.values(), ids=FILMS)
def test_times_and_sound_are_those_that_x264_writes(
    machine: Machine, tmp_path: Path, film: Film, suffix: str
) -> None:
    source = make(tmp_path / "a.mp4", film)
    ours, theirs = tmp_path / f"nvenc{suffix}", tmp_path / f"x264{suffix}"
    result = machine.copy(source, ours)
    copy(source, theirs, config=X264Config(tune="zerolatency"))
    assert (result.status, result.error) == ("done", "")
    assert result.frames_in == len(film.times)
    assert video_times(ours) == video_times(theirs)
    for kind in ("audio", "subtitle"):
        for a, b in zip(tracks(ours, kind), tracks(theirs, kind), strict=True):
            assert (a.data, a.times, a.tags) == (b.data, b.times, b.tags)
    with av.open(str(ours)) as a, av.open(str(theirs)) as b:
        assert a.chapters() == b.chapters()
        assert (a.streams[0].type, int(a.streams[0].disposition)) == ("video", int(b.streams[0].disposition))
        one, other = a.streams.video[0], b.streams.video[0]
        assert (one.width, one.height) == (other.width, other.height)
        assert a.duration == pytest.approx(b.duration, abs=2_000)
    for mine, yours in zip(pictures(ours), pictures(theirs), strict=True):
        assert np.abs(mine - yours).mean() < 3
    assert machine.chip.open == 0
    assert machine.chip.flushed == [True]


# What ffprobe is to say: a parser of its own, and the one that people ask.
CODECS = [
    ("h264", ".mp4", "avc1"), ("h264", ".mov", "avc1"), ("h264", ".mkv", ""),
    ("hevc", ".mp4", "hvc1"), ("hevc", ".mov", "hvc1"), ("hevc", ".mkv", ""),
    ("av1", ".mp4", "av01"), ("av1", ".mkv", ""),
]  # fmt: skip


@pytest.mark.parametrize(("codec", "suffix", "tag"), CODECS)
def test_players_get_what_they_expect(
    machine: Machine, tmp_path: Path, codec: str, suffix: str, tag: str
) -> None:
    aspect = Fraction(1) if codec == "av1" else Fraction(4, 3)
    film = Film(size=(192, 128), color=(1, 1, 1, 1), aspect=aspect, sounds=[Sound()])
    source = make(tmp_path / "a.mp4", film)
    target = tmp_path / f"out{suffix}"
    assert machine.copy(source, target, codec=codec, gop=8).error == ""
    with av.open(str(target)) as out:
        video = out.streams.video[0]
        context = video.codec_context
        assert (context.codec.canonical_name, context.codec_tag.strip("\0 ")) == (codec, tag)
        extra = bytes(context.extradata)
        assert extra[0] == (0x81 if codec == "av1" else 1), "avcC, hvcC and av1C begin so"
        assert video.sample_aspect_ratio == aspect
        packets = [p for p in out.demux(video=0) if p.size]
        assert [i for i, p in enumerate(packets) if p.is_keyframe] == [0, 8, 16]
        assert all(p.dts == p.pts for p in packets)
        if codec != "av1":
            assert not any(headers(bytes(p), codec) for p in packets), "headers belong to the container"
    frame = decoded(target)[0]
    colors = (frame.color_range, frame.colorspace, frame.color_trc, frame.color_primaries)
    assert tuple(int(c) for c in colors) == (1, 1, 1, 1), "from the bitstream itself"
    if probe_tool := shutil.which("ffprobe"):
        asked = "stream=codec_name,color_space,color_range,color_primaries,color_transfer,has_b_frames"
        command = [
            probe_tool,
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            asked,
            "-of",
            "json",
            target,
        ]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        said = json.loads(ran.stdout)["streams"][0]
        assert ran.stderr == ""
        assert said == {
            "codec_name": codec, "has_b_frames": 0, "color_range": "tv", "color_space": "bt709",
            "color_transfer": "bt709", "color_primaries": "bt709",
        }  # fmt: skip


def headers(packet: bytes, codec: str) -> list[int]:
    """Types of the parameter sets in a packet of 4-byte lengths and NAL units."""
    found, at = [], 0
    while at < len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        kind = packet[at + 4] & 31 if codec == "h264" else packet[at + 4] >> 1 & 63
        found += [kind] * (kind in ((7, 8) if codec == "h264" else (32, 33, 34)))
        at += 4 + size
    assert at == len(packet), "lengths, not start codes"
    return found


def test_colours_nobody_named_stay_unnamed(machine: Machine, tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4")
    machine.copy(source, tmp_path / "out.mp4")
    frame = decoded(tmp_path / "out.mp4")[0]
    assert [int(c) for c in (frame.color_range, frame.colorspace, frame.color_primaries)] == [0, 2, 2]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_turned_film_is_shown_upright(machine: Machine, tmp_path: Path, codec: str) -> None:
    source = make(tmp_path / "a.mp4", Film(rotation=90))
    machine.copy(source, tmp_path / "out.mp4", codec=codec)
    assert (
        {frame.rotation for frame in decoded(tmp_path / "out.mp4")}
        == {frame.rotation for frame in decoded(source)}
        != {0}
    )


def test_the_users_sheet_is_the_default() -> None:
    assert options(NvencConfig(), Fraction(30)) == {
        "codec": "h264", "preset": "P4", "tuning_info": "low_latency", "rc": "cbr", "bitrate": "5000000",
        "gop": "30", "bf": "0", "fps": "30",
    }  # fmt: skip


def test_options_reach_the_encoder(machine: Machine, tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4")
    sheets = {
        "quality": yaml.safe_load(
            (Path(__file__).parents[2] / "conf/node/encode/nvenc_quality.yaml").read_text()
        ),
        "vbr": {"rate": "vbr", "bitrate": 4_000_000, "max_bitrate": 9_000_000, "tuning": "ultra_low_latency"},
        "av1": {"rate": "constqp", "quality": 100, "codec": "av1"},
    }
    for name, given in sheets.items():
        assert machine.copy(source, tmp_path / f"{name}.mp4", **given).error == ""
    quality, vbr, av1 = machine.chip.options
    common = {"bf": "0", "fps": "30", "gpu_id": "0"}
    assert quality == common | {
        "codec": "h264", "preset": "P6", "tuning_info": "high_quality", "rc": "vbr", "cq": "23", "gop": "250",
    }  # fmt: skip
    assert vbr == common | {
        "codec": "h264", "preset": "P4", "tuning_info": "ultra_low_latency", "rc": "vbr",
        "bitrate": "4000000", "maxbitrate": "9000000", "gop": "30",
    }  # fmt: skip
    assert av1 == common | {
        "codec": "av1", "preset": "P4", "tuning_info": "low_latency", "rc": "constqp", "constqp": "100",
        "gop": "30", "use_ivf_container": "0",
    }  # fmt: skip


WRONG = [
    {"effort": 8}, {"gop": 0}, {"quality": 52}, {"quality": 0}, {"bitrate": 0}, {"max_bitrate": 9_000_000},
    {"rate": "vbr", "max_bitrate": 1000}, {"codec": "av1", "rate": "constqp", "quality": 256},
]  # fmt: skip


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_values_that_make_no_sense(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(reversed(given))):
        NvencConfig(**given)


@pytest.mark.parametrize(
    ("film", "what"),
    [(Film(rotation=90), "turned by 90 degrees"), (Film(aspect=Fraction(4, 3)), "of 4/3 pixels")],
)
def test_what_av1_cannot_say(machine: Machine, tmp_path: Path, film: Film, what: str) -> None:
    result = machine.copy(make(tmp_path / "a.mp4", film), tmp_path / "out.mp4", codec="av1")
    assert result.error == f"pictures that are shown {what} cannot be written as av1; h264 and hevc can"


def test_av1_in_quicktime_is_refused_before_the_run() -> None:
    job = Job("x", "x.mkv", Path("a.mov"), Video(160, 120, Fraction(1, 30)), 0, 0.0, "h264", "yuv420p")
    (said,) = Nvenc.check(NvencConfig(codec="av1"), job)
    assert said == "a.mov: .mov cannot hold av1 pictures; .mp4 or .mkv can"
    assert Nvenc.check(NvencConfig(codec="hevc"), job) == ()


# What goes wrong.

ANSWERS = [
    (10, "all its sessions are in use, or its memory is full"), (21, "all its sessions are in use"),
    (2, "this GPU has no encoder (NVENC)"), (8, "it does not take this size or these options"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "says"), ANSWERS)
def test_a_session_refused_is_a_sentence(machine: Machine, tmp_path: Path, code: int, says: str) -> None:
    source = make(tmp_path / "a.mp4")
    machine.chip.refuse = code
    result = machine.copy(source, tmp_path / "out.mp4")
    assert (result.status, result.error) == (
        "failed",
        f"{tmp_path / 'out.mp4'}: NVENC refused a session: {says} (nvEncOpenEncodeSessionEx returned error "
        f"{code}); node/encode@graph.nodes.encode=x264 encodes in software",
    )
    assert "DeviceError" in result.trace
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]


def test_a_driver_that_does_not_load(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)
    result = machine.copy(make(tmp_path / "a.mp4"), tmp_path / "out.mp4")
    assert "NVENC refused a session: import of PyNvVideoCodec halted" in result.error


def test_failing_in_mid_run_leaves_nothing(machine: Machine, tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(times=range(40), sounds=[Sound()]))
    machine.chip.fail_at = 9
    handles = len(os.listdir("/proc/self/fd"))
    result = machine.copy(source, tmp_path / "out.mp4")
    assert result.status == "failed"
    assert "NVENC gave up at frame 9: nvEncEncodePicture API failed; node/encode" in result.error
    gc.collect()
    assert (machine.chip.open, machine.chip.flushed) == (0, [False] * 3)  # and gone on with twice
    assert len(machine.device.alive) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4"]
    assert len(os.listdir("/proc/self/fd")) == handles
    machine.chip.fail_at = None
    assert machine.copy(source, tmp_path / "out.mp4").status == "done"


def test_one_job_refused_leaves_the_others_alone(machine: Machine, tmp_path: Path) -> None:
    machine.chip.limit = 1  # somebody else has the rest
    jobs = [
        probe(
            make(tmp_path / f"{k}.mp4", Film(times=range(60))),
            output=tmp_path / f"{k}.out.mp4",
            name=f"{k}",
            index=k,
        )
        for k in range(4)
    ]
    results = machine.run(jobs)
    assert machine.chip.most == 1
    for result in results:
        done = result.job.output.exists()
        assert result.status == ("done" if done else "failed")
        assert done or "refused a session" in result.error
    assert "done" in {result.status for result in results}


def test_no_more_sessions_than_the_plan_has(machine: Machine, tmp_path: Path) -> None:
    jobs = [
        probe(make(tmp_path / f"{k}.mp4"), output=tmp_path / f"{k}.out.mp4", name=f"{k}", index=k)
        for k in range(6)
    ]
    assert {result.status for result in machine.run(jobs)} == {"done"}
    assert machine.chip.most <= CARD.encode_sessions
    assert machine.chip.flushed == [True] * 6
