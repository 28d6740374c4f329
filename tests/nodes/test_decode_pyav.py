"""decode/pyav as a source: batches, packets, times, stopping."""

from __future__ import annotations

import dataclasses
import gc
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media import Film, Ran, Sound, context, copy, decoded, make

from dualface.graph.registry import kind_of
from dualface.graph.types import NV12, Memory
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.decode.timeline import Timeline


def open_node(path: Path, **changes: object) -> PyavDecode:
    job = probe(path, output=path.with_suffix(".out.mp4"), name="x")
    node = PyavDecode(PyavConfig())
    node.open(dataclasses.replace(context(job, "decode", Ran(job, [], {}, [])), **changes))
    return node


def test_ports() -> None:
    ports = kind_of(PyavDecode).ports
    assert ports.inputs == {}
    frames = ports.outputs["frames"].type
    assert (frames.format, frames.memory) == (NV12, Memory.CPU)


@pytest.mark.parametrize(("count", "batch"), [(8, 4), (9, 4), (1, 4), (7, 8)])
def test_batches(tmp_path: Path, count: int, batch: int) -> None:
    ran = copy(make(tmp_path / "a.mp4", Film(times=range(count))), batch=batch)
    sizes = [len(f) for f in ran.batches]
    assert sum(sizes) == count
    assert all(size == batch for size in sizes[:-1])
    assert [f.first for f in ran.batches] == [batch * k for k in range(len(sizes))]
    assert all(f.data.shape[0] == len(f) for f in ran.batches)


def test_every_packet_travels_once(tmp_path: Path) -> None:
    node = open_node(make(tmp_path / "a.mkv", Film(sounds=[Sound(seconds=2), Sound(seconds=2)])))
    met: list[tuple[int, int]] = []
    media = set()
    while (out := node.process()) is not None:
        met += [(p.stream.index, p.pts) for p in out.source.packets]
        media.add(out.source.media)
    node.close()
    assert len(met) == len(set(met))
    assert {index for index, _ in met} == {1, 2}
    assert len(media) == 1
    assert [t.kind for t in next(iter(media)).tracks] == ["audio", "audio"]


def test_the_input_stays_open_for_those_who_hold_it(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))
    gc.collect()

    def handles() -> int:
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return sum(os.path.exists(link) and os.readlink(link) == str(path) for link in links)

    node = open_node(path)
    out = node.process()
    assert out is not None
    node.close()
    assert handles() == 1
    assert out.source.media.tracks[0].stream.codec_context.sample_rate == 48_000
    del out
    assert handles() == 0


def test_stopping_ends_it(tmp_path: Path) -> None:
    stop = []
    node = open_node(make(tmp_path / "a.mp4", Film(times=range(200))), stopping=lambda: bool(stop))
    assert node.process() is not None
    stop.append(True)
    node.process()
    assert node.process() is None
    node.close()


def test_chroma_is_where_it_was(tmp_path: Path) -> None:
    """The fast path for 4:2:0 gives bit for bit what the decoder gave."""
    path = make(tmp_path / "a.mkv", Film(codec="ffv1", times=range(2)))
    frames = copy(path).batches[0]
    planes = decoded(path)[1].planes
    y, u, v = (np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size) for p in planes)
    assert np.array_equal(frames.data[1, :120], y[:120, :160])
    chroma = frames.data[1, 120:].reshape(60, 80, 2)
    assert np.array_equal(chroma[..., 0], u[:60, :80])
    assert np.array_equal(chroma[..., 1], v[:60, :80])


def test_memory_is_used_again(tmp_path: Path) -> None:
    node = open_node(make(tmp_path / "a.mp4", Film(times=range(80))))
    addresses = set()
    while (out := node.process()) is not None:
        addresses.add(out.frames.data.ctypes.data)
        del out
    node.close()
    assert len(addresses) == 1


def test_pictures_are_let_go_without_the_collector(tmp_path: Path) -> None:
    node = open_node(make(tmp_path / "a.mp4", Film(times=range(80), sounds=[Sound(seconds=3)])))
    gc.collect()
    gc.disable()
    try:
        while node.process() is not None:
            pass
        kinds = Counter(type(one).__name__ for one in gc.get_objects())
    finally:
        gc.enable()
    node.close()
    assert kinds["VideoFrame"] <= 8
    assert kinds["Packet"] <= 8


def test_pictures_without_times_follow_at_the_usual_distance() -> None:
    line = Timeline(Fraction(1, 30_000), Fraction(30_000, 1001))
    assert [line.place(None) for _ in range(3)] == [0, 1001, 2002]
    assert line.place(None, 5005) == 5005
    assert line.repaired == 4
