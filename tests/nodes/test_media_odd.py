"""Inputs that say one thing and hold another: edit lists, durations, codecs, changes, breaks."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from media import Film, Sound, boxes, copy, make, seconds, tracks, video_times

from dualface.graph.errors import InputError

ELST = ("moov", "trak", "edts", "elst")


def test_what_an_edit_list_cuts_off_stays_off(tmp_path: Path) -> None:
    film = Film(times=range(-15, 30), options={"bf": "2", "g": "10"}, sounds=[Sound(start=-0.7, seconds=1.7)])
    source = make(tmp_path / "edit.mp4", film)
    (before,) = tracks(source, "audio")
    assert before.times[0] < -0.7
    ran = copy(source, tmp_path / "out.mkv")
    (after,) = tracks(tmp_path / "out.mkv", "audio")
    length = Fraction(1024, 48_000)
    wanted = [(t, d) for t, d in zip(before.times, before.data, strict=True) if t > -2 * length]
    assert after.data == tuple(d for _, d in wanted)
    assert after.times[1] <= 0 < after.times[2]  # the first is there for the second to decode whole
    assert max(abs(a - t) for a, (t, _) in zip(after.times, wanted, strict=True)) <= Fraction(1, 1000)
    assert video_times(tmp_path / "out.mkv")[0] == 0
    assert "hides the beginning of its audio track 1 (edit list), which .mkv cannot" in ran.said("notice")

    ran = copy(source, tmp_path / "out.mp4")
    (same,) = tracks(tmp_path / "out.mp4", "audio")
    assert (same.data, same.times) == (before.data, before.times)
    assert ran.said("notice") == ""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_an_edit_list_cuts_out_stays_out(tmp_path: Path, suffix: str) -> None:
    film = Film(times=range(60), options={"bf": "0", "g": "15"}, sounds=[Sound(seconds=2)])
    source = make(tmp_path / "edit.mp4", film)

    def halves(edits: bytes) -> bytes:
        """The first half second, then all from 1.5 seconds on."""
        (start,) = struct.unpack(">i", edits[12:16])
        second = 48_000 if start else 15_360
        parts = [(500, start, 1 << 16), (500, start + second * 3 // 2, 1 << 16)]
        return edits[:4] + struct.pack(">I", 2) + b"".join(struct.pack(">IiI", *part) for part in parts)

    source.write_bytes(boxes(source.read_bytes(), *ELST, change=halves)[0])
    target = tmp_path / f"out{suffix}"
    ran = copy(source, target)
    assert len(seconds(ran.batches)) == 30
    (sound,) = tracks(target, "audio")
    assert float(sound.times[-1]) == pytest.approx(0.98, abs=0.02)
    assert sorted(sound.times) == list(sound.times)
    assert len(sound.times) == pytest.approx(48, abs=1)


@pytest.mark.parametrize("frames", ["0", "2"])
def test_the_last_picture_is_shown_as_long_as_in_the_source(tmp_path: Path, frames: str) -> None:
    film = Film(
        times=[0, 33, 50, 117, 250, 251, 400, 1033, 1066, 1100],
        time_base=Fraction(1, 1000),
        options={"bf": frames},
    )
    source = make(tmp_path / "vfr.mp4", film)
    for suffix in (".mp4", ".mov", ".mkv"):
        copy(source, tmp_path / f"out{suffix}", batch=3)
    # Movie headers: FFmpeg's reader counts otherwise where pictures are not coded in order.
    _, wanted = boxes(source.read_bytes(), "moov", "mvhd")
    for name in ("out.mp4", "out.mov"):
        _, found = boxes((tmp_path / name).read_bytes(), "moov", "mvhd")
        assert abs(struct.unpack(">I", found[0][16:20])[0] - 1133) <= 1
        assert abs(struct.unpack(">I", wanted[0][16:20])[0] - 1133) <= 17
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert out.duration == pytest.approx(1_133_000, abs=1000)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wmv", "wmav2"), ("a.asf", "wmav1"), ("a.avi", "adpcm_ms"), ("a.avi", "wmav2")]
)
def test_sound_of_windows_goes_into_matroska(tmp_path: Path, name: str, codec: str) -> None:
    source = make(tmp_path / name, Film(codec="mpeg4", sounds=[Sound(codec)]))
    copy(source, tmp_path / "out.mkv")
    (before,), (after,) = tracks(source, "audio"), tracks(tmp_path / "out.mkv", "audio")
    assert (after.codec, after.data) == (codec, before.data)
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mkv")) as other:
        samples = [sum(frame.samples for frame in film.decode(audio=0)) for film in (one, other)]
    assert samples[0] == samples[1] > 40_000
    assert (
        tracks(copy(tmp_path / "out.mkv", tmp_path / "again.mkv").job.output, "audio")[0].data == after.data
    )


def test_sound_of_windows_under_another_name_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mov", Film(sounds=[Sound("pcm_s16be")]))
    source.write_bytes(source.read_bytes().replace(b"twos", b"ms\0\2"))
    with pytest.raises(InputError, match="can hold the source's adpcm_ms sound"):
        copy(source, tmp_path / "out.mkv")
