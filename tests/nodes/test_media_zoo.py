"""Inputs as people have them: what decode reads, what encode writes."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from media import Film, Sound, copy, decoded, make, picture, seconds, tracks, video_times, with_subtitles

from dualface.graph.errors import InputError
from dualface.nodes.decode.probe import probe


def corner(frames, which: str = "top left") -> float:
    """Mean V (redness) of a corner of the first picture."""
    video = frames.video
    w, h = video.width + video.width % 2, video.height + video.height % 2
    chroma = frames.data[0, h:].reshape(h // 2, w // 2, 2)[..., 1].astype(float)
    rows = slice(0, h // 16) if "top" in which else slice(-(h // 16), None)
    columns = slice(0, w // 16) if "left" in which else slice(-(w // 16), None)
    return float(chroma[rows, columns].mean())


def test_variable_frame_rate_keeps_every_time(tmp_path: Path) -> None:
    times = [0, 33, 50, 117, 250, 251, 400, 1033, 1066, 1100]
    source = make(tmp_path / "vfr.mkv", Film(times=times, time_base=Fraction(1, 1000)))
    ran = copy(source, tmp_path / "out.mp4", batch=3)
    assert seconds(ran.batches) == [Fraction(t, 1000) for t in times]
    assert video_times(tmp_path / "out.mp4") == tuple(Fraction(t, 1000) for t in times)


@pytest.mark.parametrize(("video_start", "sound_start"), [(0, 0.5), (45, 0), (30, 2.0)])
def test_sound_and_pictures_start_apart(tmp_path: Path, video_start: int, sound_start: float) -> None:
    film = Film(times=range(video_start, video_start + 20), sounds=[Sound(start=sound_start)])
    source = make(tmp_path / "offset.mp4", film)
    copy(source, tmp_path / "out.mp4")
    assert video_times(tmp_path / "out.mp4") == video_times(source)
    (before,), (after,) = tracks(source, "audio"), tracks(tmp_path / "out.mp4", "audio")
    assert after.data == before.data
    assert after.times == before.times
    assert abs(after.times[0] - Fraction(sound_start)) < Fraction(1, 40)


def test_no_sound(tmp_path: Path) -> None:
    copy(make(tmp_path / "silent.mp4"), tmp_path / "out.mp4")
    assert tracks(tmp_path / "out.mp4", "audio") == []
    assert len(video_times(tmp_path / "out.mp4")) == 20


def test_opus_in_matroska(tmp_path: Path) -> None:
    source = make(tmp_path / "talk.mkv", Film(sounds=[Sound("libopus")]))
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        copy(source, target)
        (before,), (after,) = tracks(source, "audio"), tracks(target, "audio")
        assert after.codec == "opus"
        assert after.data == before.data
        assert max(abs(a - b) for a, b in zip(after.times, before.times, strict=True)) <= Fraction(1, 1000)
        assert video_times(target) == video_times(source)


def test_every_track_with_its_language_title_and_mark(tmp_path: Path) -> None:
    sounds = [
        Sound(pitch=300, language="kor", title="원본"),
        Sound(pitch=500, language="eng", title="Commentary", start=0.25, forced=True),
        Sound("libmp3lame", pitch=700, language="fra"),
    ]
    source = make(tmp_path / "many.mkv", Film(sounds=sounds))
    for suffix in (".mkv", ".mp4"):
        target = tmp_path / f"out{suffix}"
        copy(source, target)
        before, after = tracks(source, "audio"), tracks(target, "audio")
        assert [t.data for t in after] == [t.data for t in before]
        assert [t.tags.get("language") for t in after] == ["kor", "eng", "fra"]
        names = [t.tags.get("title") or t.tags.get("handler_name") for t in after]
        assert names[:2] == ["원본", "Commentary"]
    assert tracks(tmp_path / "out.mkv", "audio")[1].disposition & av.stream.Disposition.forced


def test_sound_goes_on_after_the_last_picture(tmp_path: Path) -> None:
    source = make(tmp_path / "long.mp4", Film(times=range(8), sounds=[Sound(seconds=4)]))
    copy(source, tmp_path / "out.mp4", batch=8)
    assert tracks(tmp_path / "out.mp4", "audio")[0].data == tracks(source, "audio")[0].data


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_phone_video_is_turned_upright(tmp_path: Path, rotation: int) -> None:
    source = make(tmp_path / "phone.mov", Film(size=(160, 96), rotation=rotation))
    ran = copy(source, tmp_path / "out.mp4")
    video = ran.job.video
    assert video.rotation == rotation
    assert (video.width, video.height) == (160, 96)
    assert corner(ran.batches[0]) > 140  # pixels stay as stored: the mark is still top left
    place = {90: "top right", 180: "bottom right", 270: "bottom left"}[rotation]
    again = copy(tmp_path / "out.mp4")
    assert again.job.video.rotation == 0
    assert again.job.video.display_size == video.display_size
    assert corner(again.batches[0], place) > 140


def test_odd_size(tmp_path: Path) -> None:
    source = make(tmp_path / "odd.mkv", Film(size=(1365, 767), times=range(3), codec="ffv1"))
    ran = copy(source, tmp_path / "out.mp4")
    frames = ran.batches[0]
    assert (frames.video.width, frames.video.height) == (1365, 767)
    assert frames.data.shape[1:] == (768 * 3 // 2, 1366)
    luma = frames.data[:, :768]
    assert np.array_equal(luma[:, :, 1365], luma[:, :, 1364])
    assert np.array_equal(luma[:, 767], luma[:, 766])
    first = decoded(source)[0].to_ndarray(format="gray")
    assert np.abs(luma[0, :767, :1365].astype(int) - decoded_luma(source, 767, 1365)).max() == 0
    assert first.shape == (767, 1365)
    assert decoded(tmp_path / "out.mp4")[0].width == 1366


def decoded_luma(path: Path, rows: int, columns: int) -> np.ndarray:
    plane = decoded(path)[0].planes[0]
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[:rows, :columns].astype(int)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "rgb24", "gray"])
def test_any_pixel_format_shows_the_same_picture(tmp_path: Path, pixels: str) -> None:
    name, codec = ("any.mov", "qtrle") if pixels == "rgb24" else ("any.mkv", "ffv1")
    source = make(tmp_path / name, Film(codec=codec, pixels=pixels, times=range(3)))
    ran = copy(source, tmp_path / "out.mp4", config=None)
    frames = ran.batches[0]
    shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frames.data[0]), "nv12")
    value_range = {"pc": 2, "tv": 1, None: 1}[frames.video.color.range]
    image = shown.reformat(format="rgb24", src_color_range=value_range, dst_color_range=2).to_ndarray()
    wanted = picture(0, 160, 120).astype(int)
    if pixels == "gray":
        wanted = wanted[..., :1] * 0 + np.median(wanted)
        image = image[40:50, 60:]
        wanted = wanted[40:50, 60:]
    difference = np.abs(image.astype(int) - wanted)
    assert np.median(difference) <= 2
    assert difference[2:-2, 4:].mean() < 6
    assert ("10 bits" in ran.said("notice")) == (pixels == "yuv420p10le")


def test_full_range_stays_full(tmp_path: Path) -> None:
    film = Film(pixels="yuvj420p", color=(2, 5, 6, 6), options={"crf": "5"})
    source = make(tmp_path / "full.mp4", film)
    ran = copy(source, tmp_path / "out.mp4")
    assert ran.job.video.color.range == "pc"
    luma = ran.batches[0].data[0, :120]
    assert np.array_equal(luma, decoded_luma(source, 120, 160))
    color = probe(tmp_path / "out.mp4", output=tmp_path / "x.mp4", name="x").video.color
    assert color == ran.job.video.color
    assert color.matrix == "bt470bg"


def test_hdr_is_warned_about_and_keeps_its_mark(tmp_path: Path) -> None:
    film = Film(pixels="yuv420p10le", color=(1, 9, 16, 9))
    ran = copy(make(tmp_path / "hdr.mp4", film), tmp_path / "out.mp4")
    assert "HDR (smpte2084)" in ran.said("warning")
    color = probe(tmp_path / "out.mp4", output=tmp_path / "x.mp4", name="x").video.color
    assert (color.matrix, color.transfer, color.primaries) == ("bt2020nc", "smpte2084", "bt2020")


def test_interlaced_is_noticed(tmp_path: Path) -> None:
    source = make(tmp_path / "tv.mp4", Film(size=(160, 128), options={"x264-params": "tff=1:interlaced=1"}))
    assert "interlaced" in copy(source).said("notice")


def test_pixel_aspect_is_kept(tmp_path: Path) -> None:
    source = make(tmp_path / "dv.mkv", Film(aspect=Fraction(16, 11)))
    ran = copy(source, tmp_path / "out.mp4")
    assert ran.job.video.pixel_aspect == Fraction(16, 11)
    again = probe(tmp_path / "out.mp4", output=tmp_path / "x.mp4", name="x")
    assert again.video.pixel_aspect == Fraction(16, 11)


def test_chapters_and_tags(tmp_path: Path) -> None:
    film = Film(chapters=[(0, 0.3, "Hello"), (0.3, 0.6, "Bye")], tags={"title": "둘이서", "artist": "A & B"})
    source = make(tmp_path / "talk.mkv", film)
    for suffix in (".mkv", ".mp4"):
        target = tmp_path / f"out{suffix}"
        copy(source, target)
        with av.open(str(target)) as out:
            chapters = out.chapters()
            assert [c["metadata"]["title"] for c in chapters] == ["Hello", "Bye"]
            assert [float(c["start"] * c["time_base"]) for c in chapters] == [0, 0.3]
            tags = {k.lower(): v for k, v in out.metadata.items()}
        assert (tags["title"], tags["artist"]) == ("둘이서", "A & B")


def test_subtitles_where_the_container_can(tmp_path: Path) -> None:
    source = with_subtitles(tmp_path)
    ran = copy(source, tmp_path / "out.mkv")
    (before,), (after,) = tracks(source, "subtitle"), tracks(tmp_path / "out.mkv", "subtitle")
    assert (after.data, after.times) == (before.data, before.times)
    assert after.tags["language"] == "kor"
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert [(s.name, s.data) for s in out.streams.attachments] == [("font.ttf", b"not really a font")]
    assert ran.said("notice") == ""
    ran = copy(source, tmp_path / "out.mp4")
    assert "subtitle track 1 (subrip, kor) (.mkv would)" in ran.said("notice")
    assert tracks(tmp_path / "out.mp4", "subtitle") == []


NAMES = ["인터뷰 1", "a, b [c] 'd' \"e\"", "take=2", "50%d", "-y", "http:x", "file:y", "a:b", "x;y*?"]


@pytest.mark.parametrize("name", [f"{name}.mp4" for name in NAMES])
def test_names_people_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path(name), Film(times=range(3)))
    ran = copy(Path(name), Path(f"out {name}"))
    assert len(video_times(Path(f"out {name}"))) == 3
    assert ran.job.input == name


def test_index_at_the_end_and_one_picture(tmp_path: Path) -> None:
    source = make(tmp_path / "one.mp4", Film(times=[0]))
    assert source.read_bytes().find(b"moov") > source.read_bytes().find(b"mdat")
    ran = copy(source, tmp_path / "out.mp4")
    assert [len(f) for f in ran.batches] == [1]
    result = (tmp_path / "out.mp4").read_bytes()
    assert result.find(b"moov") < result.find(b"mdat")  # faststart


def test_recordings_joined_together_go_on(tmp_path: Path) -> None:
    times = [*range(0, 4000, 200)]
    part = make(tmp_path / "part.ts", Film(times=times, time_base=Fraction(1, 1000), rate=5))
    source = tmp_path / "joined.ts"
    source.write_bytes(part.read_bytes() * 2)
    ran = copy(source, tmp_path / "out.mp4")
    stamps = video_times(tmp_path / "out.mp4")
    assert len(stamps) == 40
    assert all(b > a for a, b in pairwise(stamps))
    assert stamps[-1] - stamps[0] == pytest.approx(39 * 0.2, abs=0.01)
    assert "no usable timestamp" in ran.said("notice")


def test_cut_off_in_the_middle(tmp_path: Path) -> None:
    options, muxing = {"g": "10", "bf": "0"}, {"movflags": "+faststart"}
    whole = make(tmp_path / "whole.mp4", Film(times=range(150), muxing=muxing, options=options))
    source = tmp_path / "cut.mp4"
    source.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    ran = copy(source, tmp_path / "out.mp4")
    assert "breaks off at 0:0" in ran.said("warning")
    assert "of 0:05.0" in ran.said("warning")
    written = len(video_times(tmp_path / "out.mp4"))
    assert 10 < written < 140


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    film = Film(times=range(60), codec="mjpeg", pixels="yuvj420p")
    source = make(tmp_path / "hurt.avi", film)
    hurt = tracks(source, "video")[0].data[30]
    source.write_bytes(source.read_bytes().replace(hurt, bytes(len(hurt))))
    ran = copy(source, tmp_path / "out.mp4")
    assert "going on with what decodes" in ran.said("warning")
    assert ran.figures["decode.damaged"] >= 1
    assert video_times(tmp_path / "out.mp4") == tuple(Fraction(i, 30) for i in range(60))
    assert ran.figures["decode.repeated"] == 1
    grey = [frame.to_ndarray(format="gray").astype(int) for frame in decoded(tmp_path / "out.mp4")]
    assert abs(grey[30] - grey[29]).mean() < 1 < abs(grey[31] - grey[29]).mean()


def test_no_picture_decodes(tmp_path: Path) -> None:
    source = make(tmp_path / "noise.avi", Film(times=range(5), codec="mjpeg", pixels="yuvj420p"))
    data = source.read_bytes()
    for packet in tracks(source, "video")[0].data:
        data = data.replace(packet, bytes(len(packet)))
    source.write_bytes(data)
    with pytest.raises(InputError, match="not one picture in it can be decoded"):
        probe(source, output=tmp_path / "x.mp4", name="x")
