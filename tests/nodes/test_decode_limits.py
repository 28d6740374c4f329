"""What an input may not ask for: too large, too many, too long; told before it is taken."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from media import Film, Ran, Sound, context, make

from dualface.graph.errors import InputError, RequestError
from dualface.graph.job import Job, Limits
from dualface.inputs import wishes
from dualface.nodes.decode.probe import orientation, probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.decode.source import open_input, packets


def look(path: Path, **limits: Any) -> Job:
    return probe(path, output=Path("out.mp4"), name="x", limits=Limits(**limits))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"width": 159}, "its pictures are 160x120 pixels, wider than 159, which limits.width sets"),
        ({"height": 119}, "its pictures are 160x120 pixels, higher than 119, which limits.height sets"),
        ({"pixels": 160 * 120 - 1}, "its pictures are 160x120 pixels, more than 19199 in all"),
        ({"streams": 2}, "has more than 2 streams, which limits.streams sets"),
        ({"streams": 1}, "has more than 1 streams"),
    ],
)
def test_more_than_is_allowed(tmp_path: Path, limits: dict[str, int], says: str) -> None:
    path = make(tmp_path / "a.mkv", Film(sounds=[Sound(), Sound()]))
    look(path, width=160, height=120, pixels=160 * 120, streams=3)
    with pytest.raises(InputError, match=says) as caught:
        look(path, **limits)
    assert "\n" not in str(caught.value)


def test_a_picture_that_takes_too_much_memory(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mov", Film(size=(640, 480), codec="png", pixels="rgba64be", times=range(1)))
    look(path, frame_mb=3)  # 640 x 480 x 8 bytes are 2.3 MiB
    with pytest.raises(InputError, match=r"a picture takes 2 MiB, more than 1, which limits.frame_mb sets"):
        look(path, frame_mb=1)


def growing(folder: Path, codec: str, suffix: str) -> Path:
    """A film whose pictures grow from 160x120 to 640x480."""
    parts = [
        make(folder / f"{k}{suffix}", Film(size=size, codec=codec, options={"bf": "0"}))
        for k, size in enumerate([(160, 120), (640, 480)])
    ]
    path = folder / f"grows{suffix}"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".ts"), ("mpeg2video", ".ts"), ("libx265", ".ts")])
@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (Limits(width=320), "its pictures are 640x480 pixels, wider than 320"),
        (
            Limits(pixels=160 * 120, height=480),
            "640x480 pixels, more than 19200 in all|larger than 19200 pixels",
        ),
        (Limits(pixels=160 * 120, height=121), "640x480 pixels, higher than 121|larger than 19200 pixels"),
    ],
)
def test_pictures_that_grow(tmp_path: Path, codec: str, suffix: str, limits: Limits, says: str) -> None:
    path = growing(tmp_path, codec, suffix)
    job = probe(path, output=tmp_path / "out.mp4", name="x", limits=limits)
    ran, node = Ran(job, [], {}, []), PyavDecode(PyavConfig())
    node.open(context(job, "decode", ran))
    with pytest.raises(InputError, match=says):
        list(iter(node.process, None))
    node.close()


def test_opening_does_not_take_for_ever(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"opening it takes more than 1e-09 s, which limits.seconds sets"):
        look(make(tmp_path / "a.ts", Film(times=range(60))), seconds=1e-9)


def test_streams_that_come_up_late(tmp_path: Path) -> None:
    """PyAV counts the streams before it reads, and stumbles at the end over those that are new."""
    path = tmp_path / "late.ts"
    one = make(tmp_path / "one.ts", Film(times=range(60), options={"x264-params": "nal-hrd=cbr", "b": "4M"}))
    sounds = [Sound("mp2", seconds=0.2) for _ in range(40)]
    many = make(tmp_path / "many.ts", Film(sounds=sounds, muxing={"mpegts_start_pid": "1000"}))
    path.write_bytes(one.read_bytes() * 60 + many.read_bytes())
    container = open_input(str(path))
    try:
        found = list(packets(container, container.streams.video[0]))
    finally:
        container.close()
    assert len(found) > 1000
    assert found[-1].size == 0


def test_side_data_that_pyav_does_not_know(tmp_path: Path) -> None:
    """FFmpeg 8 hands EXIF on with pictures from TIFF, and PyAV 18 refuses to read any side data then."""
    path = make(tmp_path / "a.mov", Film(codec="tiff", pixels="rgb24", times=range(3), rotation=90))
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
    with pytest.raises(ValueError, match="not a valid Type"):
        len(frame.side_data)
    assert orientation(frame) == (90, "")
    assert look(path).video.rotation == 90


def test_what_is_no_file_is_a_wrong_request(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "to_pipe.mp4").symlink_to(tmp_path / "pipe.mp4")
    make(tmp_path / "film.mp4")
    (tmp_path / "to_film.mp4").symlink_to(tmp_path / "film.mp4")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.mp4"))
    kinds = {
        "pipe.mp4": "a pipe", "to_pipe.mp4": "a pipe", "socket.mp4": "a socket",
        "/dev/zero": "a device", "/proc/self/environ": "made up by the system",
    }  # fmt: skip
    with pytest.raises(RequestError) as caught:
        wishes({"input": [*kinds, "to_film.mp4"], "graph": {}})
    told = "is {}, not a file. Save the video to a file and name that."
    assert [p.message + " " + p.hint for p in caught.value.problems] == [
        f"{name} {told.format(kind)}" for name, kind in kinds.items()
    ]
    assert run("input=pipe.mp4") == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert wishes({"input": "to_film.mp4", "graph": {}})[0].path == "to_film.mp4"
    # A pattern is not a wish for each: those it finds are told of, and the others done.
    assert len(wishes({"input": "*.mp4", "graph": {}})) == 5


def test_limits_on_the_command_line(
    tmp_path: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "film.mp4")
    assert run("input=film.mp4", "action=plan", "limits.width=100") == 1
    told = capsys.readouterr().err
    assert "wider than 100, which limits.width sets; raise it if the file is to be trusted" in told
    assert run("input=film.mp4", "action=plan", "limits.width=wide", "limits.streams=0") == 2
    assert 'limits.width: "wide" is not a whole number' in capsys.readouterr().err


def test_a_film_at_all_limits() -> None:
    """8K, in the fattest format that footage comes in, is far within the usual limits."""
    usual = Limits()
    assert usual.width >= 2 * 7680
    assert usual.height >= 2 * 4320
    assert usual.pixels >= 2 * 7680 * 4320
    assert usual.frame_mb >= 2 * (7680 * 4320 * 8 >> 20)
