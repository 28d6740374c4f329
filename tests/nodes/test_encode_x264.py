"""Writing: refusals before the run, failures in it, and what options do."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import Film, Ran, Sound, context, copy, decoded, make, tracks, video_times

from dualface.conformance import check_node
from dualface.graph.errors import InputError
from dualface.graph.job import Job, Stream
from dualface.graph.types import Frames, Source, Video
from dualface.nodes.decode.pixels import upright
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.x264 import X264, X264Config, as_frame, options


def job_for(output: str, *codecs: str) -> Job:
    video = Video(160, 120, Fraction(1, 30))
    streams = tuple(Stream("audio", codec) for codec in codecs)
    return Job("x", "x.mkv", Path(output), video, 0, 0.0, "h264", "yuv420p", streams)


def test_sound_that_the_container_cannot_hold() -> None:
    (said,) = X264.check(X264Config(), job_for("a.mp4", "aac", "pcm_u8"))
    assert said == "a.mp4: .mp4 cannot hold the source's pcm_u8 sound; .mov or .mkv can"
    (said,) = X264.check(X264Config(), job_for("a.mov", "vorbis"))
    assert said == "a.mov: .mov cannot hold the source's vorbis sound; .mp4 or .mkv can"
    (said,) = X264.check(X264Config(), job_for("a.mkv", "adpcm_swf"))
    assert said.startswith(
        "a.mkv: neither .mp4, .mov nor .mkv can hold the source's adpcm_swf sound; turn it"
    )
    (said,) = X264.check(X264Config(), job_for("a.mp4", "wmav2"))
    assert said == "a.mp4: .mp4 cannot hold the source's wmav2 sound; .mkv can"
    assert X264.check(X264Config(audio="none"), job_for("a.mp4", "pcm_u8")) == ()
    assert X264.check(X264Config(), job_for("a.mkv", "pcm_u8", "opus", "flac", "vorbis", "wmav2")) == ()


UNKNOWN = [("a.webm", "WebM holds no H.264"), ("a.avi", "'.avi' files"), ("a", "without a suffix")]


@pytest.mark.parametrize(("output", "says"), UNKNOWN)
def test_a_suffix_that_cannot_be_written(output: str, says: str) -> None:
    (said,) = X264.check(X264Config(), job_for(output))
    assert says in said
    assert "name it .mp4, .mov or .mkv" in said


def test_the_check_is_right_about_what_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "old.mkv", Film(sounds=[Sound("pcm_u8")]))
    job = probe(source, output=tmp_path / "out.mp4", name="x")
    assert "pcm_u8" in X264.check(X264Config(), job)[0]
    copy(source, tmp_path / "out.mov")
    before, after = tracks(source, "audio")[0].data, tracks(tmp_path / "out.mov", "audio")[0].data
    assert b"".join(after) == b"".join(before)


def test_sound_can_be_left_out(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))
    ran = copy(source, tmp_path / "out.mp4", config=X264Config(audio="none"))
    assert tracks(tmp_path / "out.mp4", "audio") == []
    assert ran.events == []


def encode_noise(folder: Path, target: Path) -> str:
    """The sentence with which encoding to ``target`` ends, and no handle is left."""
    job = job_for(str(folder / "out.mp4"))
    node, inner = X264(X264Config(crf=0)), context(job, "encode", Ran(job, [], {}, []))
    noise = np.random.default_rng(0).integers(0, 255, (4, 180, 160), np.uint8)
    handles = len(os.listdir("/proc/self/fd"))

    def write() -> None:
        node.open(dataclasses.replace(inner, write_as=lambda path: target))
        for k in range(50):
            frames = Frames(noise, np.arange(4 * k, 4 * k + 4), job.video, 4 * k)
            node.process(frames, Source(type("Media", (), {"tracks": (), "metadata": {}, "chapters": []})()))
        list(node.finish())

    with pytest.raises(InputError) as caught:
        write()
    node.close()
    assert len(os.listdir("/proc/self/fd")) == handles
    return str(caught.value)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_disk_full(tmp_path: Path) -> None:
    assert encode_noise(tmp_path, Path("/dev/full")) == (
        f"no space left on {tmp_path} while writing out.mp4: free some room or choose another output folder"
    )


def test_the_disk_stops_taking_in_the_middle(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        said = encode_noise(tmp_path, tmp_path / "part.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.startswith(f"{tmp_path / 'out.mp4'}: cannot be written (File too large")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"the folder .*no does not exist"):
        copy(source, tmp_path / "no" / "out.mp4")


def test_closing_early_leaves_no_handle(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(times=range(40), sounds=[Sound()]))
    handles = len(os.listdir("/proc/self/fd"))

    def fail(frames: Frames) -> Frames:
        if frames.first:
            raise RuntimeError("as a node in between would")
        return frames

    with pytest.raises(RuntimeError):
        copy(source, tmp_path / "out.mp4", each=fail)
    assert len(os.listdir("/proc/self/fd")) == handles
    copy(source, tmp_path / "out.mp4")
    assert len(os.listdir("/proc/self/fd")) == handles


def test_output_is_the_same_every_time(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))
    copy(source, tmp_path / "1.mp4", batch=4)
    copy(source, tmp_path / "2.mp4", batch=7)
    assert (tmp_path / "1.mp4").read_bytes() == (tmp_path / "2.mp4").read_bytes()


def test_options_reach_the_encoder(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(times=range(40)))
    config = X264Config(crf=30, preset="ultrafast", profile="baseline", keyint=10, tune="zerolatency")
    copy(source, tmp_path / "out.mp4", config=config)
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert "Baseline" in out.streams.video[0].profile
        keys = [float(p.pts * p.time_base) for p in out.demux(video=0) if p.size and p.is_keyframe]
    assert keys == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert options(X264Config()) == {"preset": "veryfast", "crf": "23"}


@pytest.mark.parametrize(("option", "value"), [("crf", 60), ("crf", -1), ("keyint", 0)])
def test_values_that_make_no_sense(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        X264Config(**{option: value})


@pytest.mark.parametrize("height", [64, 66])
def test_pictures_reach_the_encoder_unchanged(height: int) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (height * 3 // 2, 48), np.uint8)
    frame = as_frame(picture)
    assert (frame.width, frame.height) == (48, height)
    assert np.array_equal(frame.to_ndarray(), picture)


def test_turning_there_and_back() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (36, 16), np.uint8)
    assert np.array_equal(upright(upright(picture, 90), 270), picture)
    assert np.array_equal(upright(upright(picture, 90), 90), upright(picture, 180))
    assert np.array_equal(upright(picture, 90)[:16], np.rot90(picture[:24], -1))


def test_pictures_survive(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(options={"crf": "5"}))
    copy(source, tmp_path / "out.mp4", config=X264Config(crf=5))
    for before, after in zip(decoded(source), decoded(tmp_path / "out.mp4"), strict=True):
        difference = before.to_ndarray(format="gray").astype(int) - after.to_ndarray(format="gray")
        assert np.abs(difference).mean() < 1


def test_footage_keeps_times_and_sound(footage: Path, tmp_path: Path) -> None:
    source = footage / "cuts_360p.mp4"  # its sound begins 0.85 s before its pictures
    copy(source, tmp_path / "out.mp4", keep=False, config=X264Config(preset="ultrafast"))
    assert video_times(tmp_path / "out.mp4") == video_times(source)
    (before,), (after,) = tracks(source, "audio"), tracks(tmp_path / "out.mp4", "audio")
    assert (after.data, after.times, after.tags["language"]) == (before.data, before.times, "eng")


def test_matroska_keeps_sound_that_begins_before_zero(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))  # AAC in MP4 is primed before 0
    copy(source, tmp_path / "out.mkv")
    (before,), (after,) = tracks(source, "audio"), tracks(tmp_path / "out.mkv", "audio")
    assert before.times[0] < 0
    assert after.data == before.data
    pairs = [
        *zip(after.times, before.times, strict=True),
        *zip(video_times(tmp_path / "out.mkv"), video_times(source), strict=True),
    ]
    assert max(abs(a - b) for a, b in pairs) <= Fraction(1, 1000)


def test_both_keep_the_contract_of_nodes(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))
    job = probe(source, output=tmp_path / "out.mp4", name="x")
    check_node(PyavDecode, job=job)
    node = PyavDecode(PyavConfig())
    node.open(context(job, "decode", Ran(job, [], {}, [])))
    feed = []
    while (out := node.process()) is not None:
        feed.append({"frames": out.frames, "source": out.source})
    node.close()
    check_node(X264, job=job, feeds=[feed])
