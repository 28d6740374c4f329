"""decode/pyav broken off and gone on with: the very pictures, times and packets of one that was not."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cutting import cut_everywhere, run, stored
from media import Film, Ran, Sound, context, make

from dualface.graph.errors import InputError
from dualface.graph.node import Event
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode

Opened = Callable[[], tuple[PyavDecode, list[Event], dict[str, float]]]


def opens(path: Path, threads: int = 2, batch: int = 4) -> Opened:
    """Opens decode/pyav for ``path``, anew each time."""
    job = probe(path, output=path.with_suffix(".out.mp4"), name="x")

    def opened() -> tuple[PyavDecode, list[Event], dict[str, float]]:
        ran, node = Ran(job, [], {}, []), PyavDecode(PyavConfig())
        node.open(context(job, "decode", ran, batch, threads))
        return node, ran.events, ran.figures

    return opened


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often the input was opened."""
    count, open_input = [0], PyavDecode._open_input

    def counting(self: PyavDecode, known: int = 0) -> None:
        count[0] += 1
        open_input(self, known)

    monkeypatch.setattr(PyavDecode, "_open_input", counting)
    return count


LONG = tuple(range(40))
SOUND = [Sound(seconds=2)]
MP2 = [Sound("mp2", seconds=2)]
GAPS = tuple(2 * i + (i % 3) * (i % 2) for i in range(40))
OPEN = {"bf": "3", "g": "12", "x264-params": "open-gop=1:scenecut=0"}
FILMS = {
    "a.mp4": Film(times=LONG, options=OPEN, sounds=SOUND),
    "b.ts": Film(times=LONG, options=OPEN, sounds=SOUND),
    "c.mp4": Film(
        times=LONG, codec="libx265", sounds=SOUND,
        options={"x265-params": "log-level=none:open-gop=1:keyint=12:bframes=3:scenecut=0"},
    ),
    "d.webm": Film(
        times=LONG, codec="libvpx-vp9", sounds=[Sound("libopus", seconds=2)],
        options={"g": "12", "deadline": "realtime", "cpu-used": "8", "lag-in-frames": "8"},
    ),
    "e.ts": Film(times=LONG, rate=25, codec="mpeg2video", options={"bf": "2", "g": "12"}, sounds=MP2),
    "f.avi": Film(times=LONG, codec="mpeg4", options={"bf": "2", "g": "12"}, sounds=MP2),
    "g.avi": Film(times=LONG, options={"bf": "3", "g": "12"}),
    "h.mkv": Film(times=GAPS, options={"bf": "2", "g": "12"}, sounds=[*SOUND, Sound(seconds=1, start=0.5)]),
    "i.mkv": Film(times=LONG, options={"x264-params": "intra-refresh=1:keyint=12:bframes=0"}, sounds=SOUND),
    "j.mkv": Film(times=LONG[:12], codec="ffv1", options={"g": "5"}, sounds=SOUND),
    "k.avi": Film(times=LONG[:12], codec="mjpeg", pixels="yuvj420p"),
    "l.mp4": Film(times=range(-15, 30), options={"bf": "2", "g": "10"}, sounds=[Sound(start=-0.7)]),
    "m.264": Film(times=LONG, options={"bf": "2", "g": "12"}, format="h264"),
    "n.wmv": Film(times=LONG, codec="wmv2", options={"g": "12"}, sounds=[Sound("wmav2", seconds=2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILMS)
def test_cut_anywhere(tmp_path: Path, name: str) -> None:
    whole = cut_everywhere(opens(make(tmp_path / name, FILMS[name])))
    assert sum(len(batch[1]) for batch in whole.batches) >= 12


@pytest.mark.parametrize("threads", [1, 4])
def test_one_picture_a_batch_and_other_threads(tmp_path: Path, threads: int) -> None:
    source = make(tmp_path / "a.mkv", Film(times=LONG[:30], options={"bf": "2", "g": "10"}, sounds=SOUND))
    cut_everywhere(opens(source, threads, batch=1), step=4)


def test_only_the_last_pictures_are_decoded_again(tmp_path: Path, inputs: list[int]) -> None:
    opened = opens(make(tmp_path / "a.mp4", FILMS["a.mp4"]))
    snapshot = run(*opened()).snapshots[-4]
    node, events, figures = opened()
    node.restore(snapshot)
    decoded, decode = [], node._decode
    node._decode = lambda reader, packet: decoded.append(reader.count) or decode(reader, packet)  # type: ignore[method-assign]
    inputs[0] = 0
    run(node, events, figures)
    assert inputs[0] == 0
    assert min(decoded) == 13


def test_where_the_picture_is_another_all_is_decoded_again(tmp_path: Path, inputs: list[int]) -> None:
    opened = opens(make(tmp_path / "a.mp4", FILMS["a.mp4"]))
    whole = run(*opened())
    place = whole.snapshots[-4]["place"]
    place[5] += 1  # its checksum
    node, events, figures = opened()
    node.restore(whole.snapshots[-4])
    inputs[0] = 0
    again = run(node, events, figures)
    assert inputs[0] == 1
    assert (again.batches, again.packets) == (whole.batches[-3:], whole.packets[-3:])


def joined(folder: Path, *films: Film) -> Path:
    parts = [make(folder / f"{k}.ts", film).read_bytes() for k, film in enumerate(films)]
    (folder / "joined.ts").write_bytes(b"".join(parts))
    return folder / "joined.ts"


def test_recordings_that_were_joined(tmp_path: Path) -> None:
    """Time jumps back, and the pictures change their size twice."""
    options = {"bf": "2", "g": "10"}
    films = [
        Film(size=size, times=range(60, 80), options=options, sounds=[Sound(start=2)])
        for size in ((160, 120), (160, 90), (160, 120))
    ]
    whole = cut_everywhere(opens(joined(tmp_path, *films)))
    assert len([e for e in whole.events if "change from" in e]) == 1
    assert any("no usable timestamp" in e for e in whole.events)


@pytest.mark.parametrize("name", ["a.mp4", "b.ts", "c.mp4", "d.webm", "e.ts", "f.avi", "i.mkv"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    """On one thread: on several, FFmpeg's guesses at what is missing differ from run to run."""
    source = make(tmp_path / name, FILMS[name])
    data, chance = bytearray(source.read_bytes()), random.Random(4)
    for _ in range(12):
        data[chance.randrange(len(data) // 8, len(data) * 7 // 8)] ^= 1 << chance.randrange(8)
    source.write_bytes(data)
    cut_everywhere(opens(source, threads=1), step=2)


@pytest.mark.parametrize("name", ["b.ts", "e.ts", "f.avi", "h.mkv"])
def test_files_that_were_cut_off(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, FILMS[name])
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 3 // 5])
    whole = cut_everywhere(opens(source), step=2)
    assert any("cut off" in event for event in whole.events)


def test_the_end_is_known_also_behind_it(tmp_path: Path) -> None:
    opened = opens(make(tmp_path / "h.mkv", FILMS["h.mkv"]))
    node, *_ = opened()
    while (out := node.process()) is not None:
        media = out.source.media
    again, *_ = opened()
    again.restore(stored(node.snapshot()))
    assert again.process() is None
    assert again.reader is not None
    assert again.reader.media.last_length == media.last_length
    for one in (node, again):
        one.close()


@pytest.mark.parametrize("name", ["a.mp4", "m.264"])
def test_a_file_that_has_become_shorter_is_told(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, FILMS[name])
    snapshot = run(*opens(source)()).snapshots[-2]
    make(source, Film(times=LONG[:10], options={"g": "5"}, format=FILMS[name].format))
    node, *_ = opens(source)()
    node.restore(snapshot)
    with pytest.raises(InputError, match="fewer pictures than when this job began"):
        node.process()
    node.close()


def test_stopping_while_the_place_is_looked_for(tmp_path: Path) -> None:
    source = make(tmp_path / "m.264", FILMS["m.264"])
    snapshot = run(*opens(source)()).snapshots[-2]
    job = probe(source, output=tmp_path / "x.mp4", name="x")
    node, asked = PyavDecode(PyavConfig()), [0]

    def stopping() -> bool:
        asked[0] += 1
        return asked[0] > 5

    about: Any = context(job, "decode", Ran(job, [], {}, []))
    object.__setattr__(about, "stopping", stopping)
    node.open(about)
    node.restore(snapshot)
    assert node.process() is None
    node.close()


def test_snapshots_are_small(tmp_path: Path) -> None:
    snapshots = run(*opens(make(tmp_path / "a.mp4", FILMS["a.mp4"]))()).snapshots
    assert snapshots[0] == {}
    assert sum(np.asarray(array).nbytes for array in snapshots[-1].values()) < 2000
