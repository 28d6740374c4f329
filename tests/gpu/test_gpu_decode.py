"""decode/nvdec against decode/pyav: the same pictures at the same times."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from gpu.nodes import Opened, film
from media import Film, make

from dualface.graph.errors import DeviceError
from dualface.graph.node import Device
from dualface.hw.cuda import on, open_device
from dualface.nodes.decode.nvdec import Nvdec, NvdecConfig
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode

H264 = Film(size=(640, 360), times=tuple(range(100)), options={"bf": "2", "g": "25"})
HEVC = Film(size=(640, 360), times=tuple(range(100)), codec="libx265", options={"x265-params": "log-level=0"})


def by_pyav(path: Path) -> dict[int, Any]:
    """Pictures by time."""
    node = Opened(PyavDecode(PyavConfig()), film(path), None)
    return {
        int(pts): np.array(data)
        for batch in node.batches()
        for pts, data in zip(batch.pts, batch.data, strict=True)
    }


def by_nvdec(path: Path, device: Device, keep: int = 3) -> tuple[dict[int, Any], Opened]:
    """The same. Batches are read only when ``keep`` later ones were decoded, so that a surface or a
    buffer used again too early would show."""
    node = Opened(Nvdec(NvdecConfig()), film(path), device, held=keep + 1)
    found: dict[int, Any] = {}
    waiting: list[Any] = []

    def read(batch: Any) -> None:
        with on(device):
            found.update({int(pts): data for pts, data in zip(batch.pts, batch.data.get(), strict=True)})

    for batch in node.batches():
        waiting.append(batch)
        if len(waiting) > keep:
            read(waiting.pop(0))
    for batch in waiting:
        read(batch)
    node.close()
    return found, node


def same(ours: dict[int, Any], theirs: dict[int, Any]) -> None:
    assert list(ours) == list(theirs)
    assert [zlib.crc32(p) for p in ours.values()] == [zlib.crc32(p) for p in theirs.values()]


@pytest.mark.parametrize("wanted", [H264, HEVC], ids=["h264", "hevc"])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
def test_pictures_and_times_are_those_of_pyav_bit_for_bit(
    nvdec: int, device: Device, tmp_path: Path, wanted: Film, ending: str
) -> None:
    path = make(tmp_path / f"a.{ending}", wanted)
    ours, node = by_nvdec(path, device)
    assert len(ours) == 100
    assert not node.events
    same(ours, by_pyav(path))


@pytest.mark.parametrize(("size", "codec"), [((322, 242), "libx264"), ((365, 243), "libvpx-vp9")])
def test_sizes_that_fill_no_block_keep_the_visible_picture(
    nvdec: int, device: Device, tmp_path: Path, size: tuple[int, int], codec: str
) -> None:
    ending = "mp4" if codec == "libx264" else "webm"
    path = make(tmp_path / f"a.{ending}", Film(size=size, codec=codec, times=tuple(range(12))))
    ours, _ = by_nvdec(path, device)
    theirs = by_pyav(path)
    assert len(ours) == 12
    assert [p.shape for p in ours.values()] == [p.shape for p in theirs.values()]
    height, width = (size[1], size[0])
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        rows = height + height % 2
        assert np.array_equal(mine[:height, :width], other[:height, :width])
        chroma = slice(rows, rows + (height + 1) // 2)
        assert np.array_equal(mine[chroma, : width + width % 2], other[chroma, : width + width % 2])


@pytest.mark.parametrize(
    ("codec", "pixels", "ending", "options"),
    [
        ("libx265", "yuv420p10le", "mp4", {"x265-params": "log-level=0"}),
        ("libvpx-vp9", "yuv420p", "webm", {"deadline": "realtime", "cpu-used": "8"}),
        ("libsvtav1", "yuv420p", "mkv", {"preset": "10"}),
        ("libsvtav1", "yuv420p", "mp4", {"preset": "10"}),
        ("libsvtav1", "yuv420p10le", "mkv", {"preset": "10"}),
    ],
)
def test_other_codecs_and_ten_bits(
    nvdec: int, device: Device, tmp_path: Path, codec: str, pixels: str, ending: str, options: dict[str, str]
) -> None:
    wanted = Film(size=(640, 360), times=tuple(range(60)), codec=codec, pixels=pixels, options=options)
    path = make(tmp_path / f"a.{ending}", wanted)
    try:
        ours, node = by_nvdec(path, device)
    except DeviceError as error:
        pytest.skip(str(error))  # not every chip decodes AV1
    theirs = by_pyav(path)
    assert list(ours) == list(theirs)
    assert not node.events
    # Ten bits are rounded here; PyAV's conversion may dither.
    most = 1 if pixels.endswith("10le") else 0
    for mine, other in zip(ours.values(), theirs.values(), strict=True):
        assert np.abs(mine.astype(int) - other).max() <= most


def test_seven_streams_at_a_time_under_load(nvdec: int, tmp_path: Path) -> None:
    import cupy

    paths = [
        make(tmp_path / f"{i}.mp4", Film(size=(640, 360), times=tuple(range(i, i + 120)), codec=codec))
        for i, codec in enumerate(["libx264"] * 4 + ["libx265"] * 3)
    ]
    done = False

    def busy() -> None:
        a = cupy.random.rand(2048, 2048, dtype=cupy.float32)
        while not done:
            for _ in range(20):
                a = a @ a * 1e-3
            cupy.cuda.get_current_stream().synchronize()

    with ThreadPoolExecutor(8) as pool:
        load = pool.submit(busy)
        try:
            found = list(pool.map(lambda path: by_nvdec(path, open_device(nvdec))[0], paths))
        finally:
            done = True
        load.result()
    for path, ours in zip(paths, found, strict=True):
        same(ours, by_pyav(path))


@pytest.mark.parametrize("damage", ["garbage", "cut short"])
def test_a_picture_that_is_lost_takes_no_other_pictures_time(
    nvdec: int, device: Device, tmp_path: Path, damage: str
) -> None:
    wanted = Film(size=(640, 360), times=tuple(range(60)), options={"bf": "2", "g": "15"})
    whole, broken = make(tmp_path / "a.mp4", wanted), tmp_path / "b.mp4"
    with av.open(str(whole)) as source, av.open(str(broken), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for i, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.dts is None:
                continue
            if i == 20:
                size = packet.size - 4
                # One unit that is no picture; or one that is longer than what is there.
                unit = bytes([0x1F]) + bytes(size - 1)
                data = (size if damage == "garbage" else size + 99).to_bytes(4, "big") + unit
                changed = av.Packet(data)
                changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
                packet = changed
            packet.stream = stream
            out.mux(packet)
    good = by_pyav(whole)
    ours, node = by_nvdec(broken, device)
    # Only right behind the damage, where pictures come out of order, may some be a tick off.
    assert all(15 * 512 < pts < 30 * 512 for pts in set(ours) - set(good))
    assert len(ours) >= 57
    assert "did not decode" in node.events[0].message
    assert node.figures["damaged"] == 60 - len(ours)
    later = [pts for i, pts in enumerate(good) if i >= 35]  # well behind the next key picture
    same({pts: ours[pts] for pts in later}, {pts: good[pts] for pts in later})


def test_a_decoder_goes_on_with_the_next_file_of_its_kind(
    nvdec: int, device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pictures as by a new one; another size, or a file that was left early, begins anew."""
    import PyNvVideoCodec as nvc

    made: list[int] = []
    create = nvc.CreateDecoder
    monkeypatch.setattr(nvc, "CreateDecoder", lambda **given: made.append(1) or create(**given))
    b_frames = {"bf": "2", "g": "25"}
    films = [
        (Film(size=(640, 360), times=tuple(range(50)), options=b_frames), 1),
        (Film(size=(640, 360), times=tuple(range(7, 70)), options={"g": "9"}), 1),
        (Film(size=(320, 180), times=tuple(range(30)), options=b_frames), 2),
        (Film(size=(320, 180), times=tuple(range(30)), codec="libx265"), 3),
        (Film(size=(320, 180), times=tuple(range(3, 40)), codec="libx265"), 3),
    ]
    for number, (wanted, sessions) in enumerate(films):
        path = make(tmp_path / f"{number}.mp4", wanted)
        same(by_nvdec(path, device)[0], by_pyav(path))
        assert len(made) == sessions
    left = Opened(Nvdec(NvdecConfig()), film(path), device)
    next(left.batches())
    left.close()
    same(by_nvdec(path, device)[0], by_pyav(path))
    assert len(made) == 4
