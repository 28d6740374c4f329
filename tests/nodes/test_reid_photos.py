"""Photos that somebody may mean harm with: each is refused in a sentence, and fills no memory."""

from __future__ import annotations

import os
import resource
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from dualface.app import main
from dualface.graph.errors import InputError
from dualface.nodes.reid import portrait

GREY = np.full((120, 160, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def bomb(width: int, height: int) -> bytes:
    """A PNG of one colour; a gigapixel is a few megabytes, most of them zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed = zlib.compressobj(1)
    row = bytes(width // 8 + 1) * 64
    rows = b"".join(packed.compress(row) for _ in range(height // 64)) + packed.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def refusal(path: str) -> str:
    with pytest.raises(InputError) as caught:
        portrait.read(path)
    said = str(caught.value)
    assert "\n" not in said
    assert path in said
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told in other units elsewhere")
def test_a_decompression_bomb_is_not_decompressed() -> None:
    Path("bomb.png").write_bytes(bomb(40_000, 32_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "more than 128 megapixels" in refusal("bomb.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif"])
def test_photos_of_all_kinds_are_read_and_cut_off_ones_refused(suffix: str) -> None:
    cv2.imwrite(f"a.{suffix}", GREY)
    assert refusal(f"a.{suffix}").startswith("no face is found")
    data = Path(f"a.{suffix}").read_bytes()
    for length in (0, 1, 8, 20, len(data) // 3):
        Path(f"b.{suffix}").write_bytes(data[:length])
        refusal(f"b.{suffix}")


def test_a_name_is_no_pattern_and_no_format() -> None:
    cv2.imwrite("a%03d.png", GREY)
    assert refusal("a%03d.png").startswith("no face is found")
    Path("concat:x|y.jpg").write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    assert refusal("concat:x|y.jpg").startswith("no face is found")


@pytest.mark.parametrize(
    "data",
    [
        b"ffconcat version 1.0\nfile a.png\n", b"#EXTM3U\n#EXTINF:1,\na.png\n", b"<svg xmlns='x'></svg>",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n", b"GARBAGE" * 50, b"\x7fELF" + bytes(64),
    ],
)  # fmt: skip
def test_what_is_no_photo_leads_to_no_other_file(data: bytes) -> None:
    cv2.imwrite("a.png", GREY)
    for name in ("x.jpg", "x.png", "x"):
        Path(name).write_bytes(data)
        assert "is no photo that can be read" in refusal(name)


def test_pipes_devices_and_folders_are_not_waited_for() -> None:
    os.mkfifo("fifo.jpg")
    Path("folder.jpg").mkdir()
    Path("zero.jpg").symlink_to("/dev/zero")
    for name in ("fifo.jpg", "zero.jpg"):
        assert "is no file" in refusal(name)
    assert "is a folder" in refusal("folder.jpg")
    Path("loop.jpg").symlink_to("loop.jpg")
    assert "cannot be read" in refusal("loop.jpg")


def test_damage_is_a_sentence() -> None:
    random = np.random.default_rng(0)
    cv2.imwrite("a.jpg", random.integers(0, 255, (64, 64, 3), np.uint8))
    cv2.imwrite("a.png", GREY)
    for suffix in ("jpg", "png"):
        good = Path(f"a.{suffix}").read_bytes()
        for _ in range(20):
            data = bytearray(good)
            for place in random.integers(4, len(data), 5):
                data[place] = random.integers(256)
            Path("b").write_bytes(data)
            refusal("b")


def test_the_command_ends_with_2(capfd: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("fifo.jpg")
    have = "hw.packages=[av,cv2,onnx,onnxruntime,face_recognition_models]"
    assert main(["action=plan", "hw=cpu", have, "people.left=fifo.jpg"]) == 2
    assert (
        capfd.readouterr().err == "people.left: the photo fifo.jpg is no file; name a picture. [bad-photo]\n"
    )
