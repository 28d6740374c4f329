"""Encoding by NVENC: against a stand-in that encodes in software, and the list of what is relied on.

Nothing here runs the chip but the last test, where there is one.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media import Film, Sound, copy, decoded, make, tracks, video_times
from standins import nvenc_contract as contract
from standins.device import STREAM, Device, DeviceArray
from standins.pynvvideocodec import Chip

from dualface.graph import node as nodes
from dualface.graph.build import build
from dualface.graph.errors import DeviceError
from dualface.graph.execute import JobResult, execute
from dualface.graph.hardware import Gpu, Hardware
from dualface.graph.job import Job
from dualface.graph.registry import Registry, kind_of, node
from dualface.graph.schedule import schedule
from dualface.graph.types import NV12, Cuda, Video
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.nvenc import Nvenc, NvencConfig, options
from dualface.nodes.encode.session import Session
from dualface.nodes.encode.x264 import X264, X264Config
from dualface.nodes.roles import Decoded

CARD = Hardware(
    "stand-in", cpu_cores=8, memory_mb=16_000, gpus=(Gpu(0, "Stand-in", 32_607, "12.0", 2, 3),),
    features=frozenset({"cuda", "nvdec", "nvenc"}), packages=frozenset({"PyNvVideoCodec", "av"}),
    cuda_streams=4, decode_sessions=4, encode_sessions=2, vram_limit_mb=24_576, vram_per_stream_mb=6144,
    decode_batch=4,
)  # fmt: skip


INPUTS = {"frames": "decode.frames", "source": "decode.source"}


@dataclasses.dataclass
class Machine:
    """A card that is not there: its memory, its encoder, and a way to run jobs on it."""

    device: Device
    chip: Chip
    decode: type[Any]

    def run(self, jobs: Sequence[Job], **given: Any) -> tuple[JobResult, ...]:
        kinds = [kind_of(self.decode), kind_of(Nvenc), kind_of(X264)]
        config = {
            "name": "copy",
            "nodes": {
                "decode": {"kind": self.decode.kind},
                "encode": {"kind": "encode/nvenc", "inputs": INPUTS, **given},
            },
        }  # fmt: skip
        graph = build(config, CARD, Registry({kind.name: kind for kind in kinds}, {}))
        plan = schedule(graph, CARD, jobs)
        return execute(plan, open_device=lambda gpu: nodes.Device(gpu, STREAM))

    def copy(self, source: Path, target: Path, **given: Any) -> JobResult:
        (result,) = self.run([probe(source, output=target, name="x")], **given)
        return result


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    device = Device()
    chip = Chip(device)
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", chip.module)

    @node("decode/standin")
    class Standin(nodes.Node[PyavConfig]):
        """decode/pyav, with its pictures put on the device."""

        @staticmethod
        def needs(config: Any, memory: Any) -> nodes.Needs:
            return nodes.Needs(engine="nvdec", resources={"decode_sessions": 1})

        def open(self, context: nodes.Context) -> None:
            self.inner = PyavDecode(self.config)
            self.inner.open(context)

        def process(self) -> Decoded[NV12, Cuda] | None:
            out = self.inner.process()
            if out is None:
                return None
            frames: Any = dataclasses.replace(out.frames, data=device.put(out.frames.data))
            return Decoded(frames, out.source)

        def close(self) -> None:
            self.inner.close()

    return Machine(device, chip, Standin)


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
        assert a.duration == pytest.approx(b.duration, abs=40_000)
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
    given = {"effort": 6, "tuning": "high_quality", "rate": "vbr", "quality": 23, "bitrate": 0}
    machine.copy(source, tmp_path / "1.mp4", **given, max_bitrate=40_000_000, gop=250)
    machine.copy(source, tmp_path / "2.mp4", rate="constqp", qp=30, codec="av1")
    one, two = machine.chip.options
    assert (
        one.items()
        >= {"preset": "P6", "rc": "vbr", "cq": "23.0", "maxbitrate": "40000000", "bitrate": "0"}.items()
    )
    assert two.items() >= {"rc": "constqp", "constqp": "30", "use_ivf_container": "0", "gpu_id": "0"}.items()
    assert "bitrate" not in two


WRONG = [
    {"effort": 8}, {"gop": 0}, {"qp": 52}, {"qp": -1}, {"bitrate": 0}, {"quality": 20.0},
    {"max_bitrate": 9_000_000}, {"rate": "vbr", "max_bitrate": 1000}, {"rate": "vbr", "quality": 52.0},
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
    assert (machine.chip.open, machine.chip.flushed) == (0, [False])
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


# The session by itself, and what the stand-in is there to catch.


def noise(n: int = 4, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (n, 192, 160), np.uint8)


def session(height: int = 128) -> Session:
    return Session(nodes.Device(0, STREAM), 160, height, options(NvencConfig(), Fraction(30)))


def test_frames_are_held_until_they_are_read_and_no_longer(machine: Machine) -> None:
    one = session()
    alive = []
    got = []
    for k in range(6):
        got += [coded.index for coded in one.encode(machine.device.put(noise(2, k)))]
        gc.collect()
        alive.append(len(machine.device.alive))
    assert got == list(range(9)), "three frames wait in the encoder"
    assert alive == [1, 2, 2, 2, 2, 2]
    assert [coded.index for coded in one.finish()] == [9, 10, 11]
    assert len(machine.device.alive) == 0


def test_views_of_a_larger_batch(machine: Machine) -> None:
    one, batch = session(), machine.device.put(noise(8))
    assert len([*one.encode(batch[:3]), *one.encode(batch[3:]), *one.finish()]) == 8


PIXELS = {
    "another size": noise()[:, :96],
    "another type": noise().astype(np.uint16),
    "rows with gaps": np.zeros((4, 192, 320), np.uint8)[:, :, :160],
    "every second row": np.zeros((4, 384, 160), np.uint8)[:, ::2],
}


@pytest.mark.parametrize("pixels", PIXELS.values(), ids=PIXELS)
def test_pictures_it_cannot_take_are_the_callers_fault(
    machine: Machine, pixels: np.ndarray[Any, Any]
) -> None:
    with pytest.raises(ValueError, match="frames"):
        list(session().encode(DeviceArray(pixels, pixels)))


def test_the_stand_in_notices_what_the_chip_would_not(machine: Machine) -> None:
    def start() -> tuple[Session, DeviceArray]:
        one, batch = session(), machine.device.put(noise(2))
        list(one.encode(batch))
        return one, batch

    one, batch = start()
    batch.host[1, 5, 5] ^= 1
    with pytest.raises(DeviceError, match="overwritten before it was read"):
        list(one.finish())
    one, batch = start()
    one._held.clear()
    del batch
    gc.collect()
    with pytest.raises(DeviceError, match="given back"):
        list(one.finish())
    one, batch = start()
    one._next = 0
    with pytest.raises(DeviceError, match="frame 0 after frame 1"):
        list(one.encode(batch))
    one, batch = start()
    list(one.finish())
    with pytest.raises(DeviceError, match="nothing may follow EndEncode"):
        list(one.encode(batch))
    one = session()
    with pytest.raises(DeviceError, match="not the device's memory"):
        list(one.encode(DeviceArray(noise())))
    with pytest.raises(DeviceError, match="default stream"):
        Session(nodes.Device(0, 0), 160, 128, options(NvencConfig(), None))
    with pytest.raises(DeviceError, match="no option"):
        Session(nodes.Device(0, STREAM), 160, 128, options(NvencConfig(), None) | {"profile": "high"})


# The contract, for the stand-in and for the real module.


def test_the_stand_in_keeps_the_contract() -> None:
    assert list(contract.faults(Chip(Device()).module)) == []


def test_only_what_is_in_the_contract_is_used() -> None:
    for config in (
        NvencConfig(),
        NvencConfig(codec="av1", rate="constqp"),
        NvencConfig(codec="hevc", rate="vbr", quality=20.0, max_bitrate=9_000_000),
    ):
        for effort in range(1, 8):
            for key, value in options(dataclasses.replace(config, effort=effort), None).items():
                assert key in contract.OPTIONS
                assert value in contract.VALUES.get(key, (value,))


def installed_package() -> Path:
    spec = importlib.util.find_spec("PyNvVideoCodec")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("PyNvVideoCodec is not installed")
    return Path(spec.submodule_search_locations[0])


def test_the_installed_package_has_every_name() -> None:
    assert list(contract.strings_missing(installed_package())) == []


def real() -> Any:
    installed_package()
    try:
        import PyNvVideoCodec
    except Exception as error:
        pytest.skip(f"PyNvVideoCodec does not start here: {str(error).splitlines()[0]}")
    return PyNvVideoCodec


def test_the_real_module_keeps_the_contract() -> None:
    assert list(contract.faults(real())) == []


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_the_chip_encodes_or_says_why_not(codec: str) -> None:
    real()
    cupy = pytest.importorskip("cupy")
    stream = cupy.cuda.Stream(non_blocking=True)
    chosen = options(NvencConfig(codec=codec), Fraction(30))  # type: ignore[arg-type]
    with stream:
        batch = cupy.asarray(np.random.default_rng(0).integers(0, 255, (8, 540, 640), np.uint8))
        try:
            one = Session(nodes.Device(0, stream.ptr), 640, 360, chosen)
        except DeviceError as error:
            pytest.skip(str(error))
        coded = [*one.encode(batch), *one.encode(batch), *one.finish()]
    assert [c.index for c in coded] == list(range(16))
    assert coded[0].key
    with av.open(io.BytesIO(b"".join(c.data for c in coded)), format={"av1": "obu"}.get(codec, codec)) as f:
        assert len(list(f.decode(video=0))) == 16
        if codec == "h264":
            assert f.streams.video[0].profile == "High"
