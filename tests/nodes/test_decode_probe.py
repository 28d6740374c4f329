"""What an input is, and one sentence for everything that is not a video."""

from __future__ import annotations

import os
import socket
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media import Film, Sound, make

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.nodes.decode.probe import probe


def look(path: str | Path, **options: tuple[str, ...]) -> Job:
    return probe(path, output=Path("out.mp4"), name="x", **options)


def sentence(path: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        look(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith((str(path), repr(str(path))))
    return text


def test_what_a_job_knows(tmp_path: Path) -> None:
    sounds = [Sound(language="kor", title="마이크 1"), Sound("libopus")]
    film = Film(times=range(30), color=(1, 1, 1, 1), sounds=sounds)
    job = look(make(tmp_path / "a.mkv", film))
    video = job.video
    assert (video.width, video.height, video.frame_rate) == (160, 120, Fraction(30))
    assert (video.color.range, video.color.matrix, video.color.transfer) == ("tv", "bt709", "bt709")
    assert (job.codec, job.pixel_format) == ("h264", "yuv420p")
    assert job.duration == pytest.approx(1.0, abs=0.05)
    assert [(s.kind, s.codec, s.language, s.title) for s in job.streams] == [
        ("audio", "aac", "kor", "마이크 1"),
        ("audio", "opus", None, None),
    ]
    assert look(make(tmp_path / "a.mp4", film)).frames == 30


def test_footage(footage: Path) -> None:
    job = look(footage / "duo_1080p.mp4")
    assert (job.video.width, job.video.height, job.frames, job.duration) == (1920, 1080, 600, 20.0)


def test_not_there(tmp_path: Path) -> None:
    assert sentence(tmp_path / "no.mp4").endswith("there is no such file")
    (tmp_path / "link.mp4").symlink_to(tmp_path / "gone.mp4")
    assert "link to a file that does not exist" in sentence(tmp_path / "link.mp4")
    assert "embedded null byte" in sentence("a\0b.mp4")


def test_a_folder_a_pipe_and_a_device(tmp_path: Path) -> None:
    assert "is a folder" in sentence(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is a pipe, not a file" in sentence(tmp_path / "pipe.mp4")
    assert "is a device, not a file" in sentence("/dev/zero")
    assert "is made up by the system, not a file" in sentence("/proc/self/maps")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"Dear diary, today\n" * 40, "is not a video"),
        ("notes.txt", b"Dear diary, today\n" * 40, "is not a video"),
        ("noise.mp4", bytes(range(256)) * 20, "is not a video"),
        ("begun.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isommp41\0\0\xff\0mdat" + bytes(4000), "moov"),
        ("list.mp4", b"#EXTM3U\n#EXTINF:1,\nv.ts\n#EXT-X-ENDLIST\n", "is a playlist"),
        ("script.mp4", b"ffconcat version 1.0\nfile v.mp4\n", "is a playlist"),
        ("call.sdp", b"v=0\nm=video 5000 RTP/AVP 96\nc=IN IP4 127.0.0.1\n", "is a playlist"),
    ],
)
def test_not_a_video(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    make(tmp_path / "v.mp4")
    make(tmp_path / "v.ts")
    (tmp_path / name).write_bytes(content)
    assert says in sentence(tmp_path / name)


def test_sound_only_and_a_cover_picture(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        cover = out.add_stream("mjpeg", rate=1, width=64, height=64, pix_fmt="yuvj420p")
        cover.disposition = av.stream.Disposition.attached_pic
        sound = out.add_stream("aac", rate=48_000)
        picture = av.VideoFrame(64, 64, "yuvj420p")
        out.mux(cover.encode(picture))
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48_000
        out.mux(sound.encode(frame))
        out.mux(cover.encode(None) + sound.encode(None))
    assert "has sound but no pictures" in sentence(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = make(tmp_path / "secret.mp4")
    path.chmod(0)
    assert "may not be read" in sentence(path)


def test_no_host_is_called() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.mp4"
        assert "opening http: addresses is not allowed" in sentence(address)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_protocols_that_join_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "v.ts")
    for address in (
        "concat:v.ts|v.ts",
        "subfile://v.ts",
        "crypto://v.ts",
        "cache://v.ts",
        "data:video/mp2t,x",
    ):
        assert "addresses is not allowed" in sentence(address)
        with pytest.raises(InputError, match="addresses is not allowed"):
            look(address, protocols=("file", "http", "concat", "subfile", "crypto", "cache", "data"))
