"""Inputs that say one thing and hold another: edit lists, durations, codecs, changes, breaks."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from media import Film, Sound, boxes, copy, make, seconds, tracks, video_times

from dualface.graph.errors import InputError
from dualface.graph.types import Frames
from dualface.nodes.decode.ending import cut
from dualface.nodes.decode.probe import probe

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


def test_the_last_picture_shown_is_not_the_last_decoded(tmp_path: Path) -> None:
    times = [0, 33, 50, 650, 667, 684]
    film = Film(
        times=times, time_base=Fraction(1, 1000), options={"bf": "2", "b-adapt": "0", "preset": "ultrafast"}
    )
    source = make(tmp_path / "vfr.mp4", film)
    with av.open(str(source)) as made:
        assert [p.pts for p in made.demux(video=0) if p.size][-1] < times[-1] * 16
    copy(source, tmp_path / "out.mp4")
    for path in (source, tmp_path / "out.mp4"):
        _, (header,) = boxes(path.read_bytes(), "moov", "mvhd")
        assert struct.unpack(">I", header[16:20])[0] == pytest.approx(times[-1] + 33, abs=2)


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


def joined(folder: Path, *films: Film, turned: int | None = None) -> Path:
    """Recordings one after the other in a stream; the pictures of the last say that they are ``turned``."""
    parts = []
    for k, film in enumerate(films):
        part = make(folder / f"{k}.ts", film)
        if turned is not None and k + 1 == len(films):
            turn = f"h264_metadata=display_orientation=insert:rotate={-turned}"
            part = filtered(part, folder / "turned.ts", turn)
        parts.append(part.read_bytes())
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


def filtered(source: Path, target: Path, description: str) -> Path:
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = film.streams.video[0]
        change = BitStreamFilterContext(description, stream)
        copy_ = out.add_stream_from_template(stream)
        for packet in film.demux(stream):
            for ready in change.filter(packet) if packet.size else ():
                ready.stream = copy_
                out.mux(ready)
    return target


def part(k: int, size: tuple[int, int], **about: object) -> Film:
    """20 pictures of a broadcast that was switched on when it was a minute old."""
    return Film(
        size=size, times=range(1800 + k * 20, 1800 + k * 20 + 20), options={"bf": "3", "crf": "5"}, **about
    )


def edges(frames: Frames, n: int) -> tuple[int, int, int, int]:
    """How many lines are black at the left, the top, the right and the bottom of a picture."""
    rows = frames.data.shape[1] * 2 // 3
    lit = frames.data[n, :rows] > 25
    down, across = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    width = frames.data.shape[2]
    return (across[0], down[0], width - 1 - across[-1], rows - 1 - down[-1])


CHANGES = [
    ((320, 240), {}, {}, (0, 0, 0, 0), "320x240; they are fitted into the first size"),
    ((160, 90), {}, {}, (0, 14, 0, 16), "160x90; they are fitted into the first size with bars"),
    ((90, 120), {}, {}, (34, 0, 36, 0), "90x120; they are fitted into the first size with bars"),
    ((160, 120), {"aspect": Fraction(4, 3)}, {}, (0, 14, 0, 16), "160x120 of 4:3 pixels; they"),
    ((160, 120), {}, {"turned": 90}, (34, 0, 36, 0), "160x120 turned by 90 degrees; they"),
    ((120, 160), {}, {"turned": 270}, (0, 0, 0, 0), "120x160 turned by 270 degrees; they"),
]


@pytest.mark.parametrize(("size", "about", "turn", "bars", "said"), CHANGES)
def test_a_change_of_shape_is_fitted_with_bars(
    tmp_path: Path,
    size: tuple[int, int],
    about: dict[str, Fraction],
    turn: dict[str, int],
    bars: tuple[int, ...],
    said: str,
) -> None:
    source = joined(tmp_path, part(0, (160, 120)), part(1, size, **about), **turn)
    ran = copy(source, tmp_path / "out.mp4", batch=40)
    (frames,) = ran.batches
    assert len(frames) == 40
    assert {edges(frames, n) for n in range(20)} == {(0, 0, 0, 0)}
    for n in range(20, 40):
        assert edges(frames, n) == pytest.approx(bars, abs=2), n
    (notice,) = [e.message for e in ran.events if "change from" in e.message]
    assert notice.startswith(f"at 0:00.7 the pictures change from 160x120 to {said}")


def test_a_shape_that_comes_back_is_told_once(tmp_path: Path) -> None:
    sizes = [(160, 120), (160, 90), (160, 120), (160, 90)]
    ran = copy(joined(tmp_path, *(part(k, size) for k, size in enumerate(sizes))), batch=80)
    assert [bool(edges(ran.batches[0], n)[1]) for n in (5, 25, 45, 65)] == [False, True, False, True]
    assert ran.said("notice").count("change from") == 1


def shortened(source: Path, size: int) -> Path:
    short = source.with_name(f"short{source.suffix}")
    short.write_bytes(source.read_bytes()[:size])
    return short


LONG = Film(times=range(300), options={"bf": "0"}, sounds=[Sound(seconds=10)])
LIVE = replace(LONG, muxing={"live": "1"})
IN_PARTS = replace(LONG, muxing={"movflags": "frag_keyframe+empty_moov"}, options={"bf": "0", "g": "30"})
WINDOWS = replace(LONG, codec="mpeg4", options={}, sounds=[Sound("wmav2", seconds=10)])


@pytest.mark.parametrize(
    ("name", "film"),
    [
        ("a.ts", LONG),
        ("a.m2ts", LONG),
        ("a.mkv", LIVE),
        ("a.mkv", LONG),
        ("a.avi", LONG),
        ("a.mp4", IN_PARTS),
        ("a.wmv", WINDOWS),
    ],
)
def test_a_file_that_was_cut_off_says_so(tmp_path: Path, name: str, film: Film) -> None:
    source = make(tmp_path / name, film)
    whole = source.stat().st_size
    assert copy(source, keep=False).said("warning") == ""
    for size in (whole // 2 - 45, whole * 2 // 3 + 1, whole - 150):
        ran = copy(shortened(source, size), keep=False)
        cut_off = "it was probably cut off while being copied or recorded"
        (told,) = [e.message for e in ran.events if e.kind == "warning" and cut_off in e.message]
        assert ("in the middle of a packet" in told) == ("breaks off" not in told)


def test_a_cut_between_two_transport_packets_is_told_by_the_last_picture(tmp_path: Path) -> None:
    source = make(tmp_path / "a.ts", replace(LONG, options={"bf": "0", "g": "1"}))
    data = source.read_bytes()
    begun, video = 0x41, 0x00  # the first packet of a picture, which has several
    pictures = [at for at in range(0, len(data), 188) if tuple(data[at + 1 : at + 3]) == (begun, video)]
    ran = copy(shortened(source, pictures[150] + 188), keep=False)
    assert "with damaged packets; it was probably cut off" in ran.said("warning")


def test_a_film_is_not_called_cut_off_for_a_long_last_picture(tmp_path: Path) -> None:
    source = make(tmp_path / "slides.mp4", Film(times=range(60), options={"bf": "0"}))
    lengths = struct.pack(">IIIIII", 0, 2, 59, 512, 1, 512 + 5 * 15_360)
    data, _ = boxes(
        source.read_bytes(), "moov", "trak", "mdia", "minf", "stbl", "stts", change=lambda _: lengths
    )

    def longer(header: bytes) -> bytes:
        (length,) = struct.unpack(">I", header[16:20])
        return header[:16] + struct.pack(">I", length + 5 * 15_360) + header[20:]

    data, _ = boxes(data, "moov", "trak", "mdia", "mdhd", change=longer)
    data, _ = boxes(data, "moov", "trak", "edts", change=lambda _: b"")
    source.write_bytes(data)
    ran = copy(source, tmp_path / "out.mp4")
    assert ran.job.duration == 7
    assert ran.said("warning") == ""
    assert probe(tmp_path / "out.mp4", output=tmp_path / "x.mp4", name="x").duration == pytest.approx(
        7, abs=0.07
    )


@pytest.mark.parametrize("size", [188, 192, 204])
def test_any_size_of_transport_packets(tmp_path: Path, size: int) -> None:
    packets = [bytes([0x47]) + bytes(187)] * 40
    padded = [bytes(4) + p if size == 192 else p + bytes(size - 188) for p in packets]
    path = tmp_path / "a.ts"
    for data, broken in (
        (b"".join(padded), False),
        (b"".join(padded)[:-1], True),
        (b"".join(padded) + bytes(60), False),
        (b"?" * 999, False),
    ):
        path.write_bytes(data)
        assert cut(str(path), "mpegts") is broken
    assert not cut(str(path), "mpeg")


@pytest.mark.parametrize(("counted", "missing", "broken"), [(4, 0, False), (12, 0, False), (12, 20, True)])
def test_avi_whose_size_counts_its_own_header(
    tmp_path: Path, counted: int, missing: int, broken: bool
) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes((b"RIFF" + struct.pack("<I", 200 + counted) + b"AVI " + bytes(200))[: 212 - missing])
    assert cut(str(path), "avi") is broken


def test_the_end_of_mp4(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    whole = struct.pack(">I4s8x", 16, b"ftyp") + struct.pack(">I4sQ8x", 1, b"mdat", 24)
    for data, broken in (
        (whole, False),
        (whole[:-1], True),
        (whole[:34], True),
        (whole + struct.pack(">I4s", 0, b"mdat") + bytes(9), False),
        (whole + b"\xff" * 40, False),
        (b"", False),
    ):
        path.write_bytes(data)
        assert cut(str(path), "mov,mp4,m4a,3gp,3g2,mj2") is broken


def test_the_end_of_what_was_written_live(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    endless = b"\x01" + b"\xff" * 7
    block = bytes.fromhex("a3 84") + bytes(4)
    whole = b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67" + endless
    whole += (b"\x1f\x43\xb6\x75" + endless + block * 3) * 2
    for data, broken in ((whole, False), (whole[:-1], True), (whole[:-5], True), (whole + bytes(40), False)):
        path.write_bytes(data)
        assert cut(str(path), "matroska,webm") is broken
