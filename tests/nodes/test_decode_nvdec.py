"""decode/nvdec behind a stand-in: the pictures of decode/pyav, and broken off and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from cutting import cut_everywhere, run
from media import Film, Ran, Sound, context, copy, make
from standins.nvdec import nvdec_machine

from dualface.graph.errors import InputError
from dualface.graph.node import Event
from dualface.nodes.decode.nvdec import Nvdec, NvdecConfig
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode

Opened = Callable[[], tuple[Nvdec, list[Event], dict[str, float]]]
LONG = tuple(range(40))
SOUND = [Sound(seconds=2)]
FILMS = {
    "a.mp4": Film(times=LONG, options={"bf": "2", "g": "10"}, sounds=SOUND),
    "b.ts": Film(times=LONG, options={"bf": "3", "g": "12", "x264-params": "open-gop=1"}, sounds=SOUND),
    "c.mp4": Film(
        times=LONG, codec="libx265", sounds=SOUND,
        options={"x265-params": "log-level=none:keyint=12:bframes=3"},
    ),
    "d.mp4": Film(times=LONG, options={"bf": "3", "g": "12", "x264-params": "open-gop=1"}, sounds=SOUND),
    "m.264": Film(times=LONG, options={"bf": "2", "g": "10"}, format="h264"),
}  # fmt: skip


@pytest.fixture
def made() -> object:
    with nvdec_machine() as machine:
        yield machine


def opens(path: Path, machine: tuple) -> Opened:
    device, _ = machine
    job = probe(path, output=path.with_suffix(".out.mp4"), name="x")

    def opened() -> tuple[Nvdec, list[Event], dict[str, float]]:
        ran, node = Ran(job, [], {}, []), Nvdec(NvdecConfig())
        node.open(replace(context(job, "decode", ran), device=replace(device, spare={})))
        return node, ran.events, ran.figures

    return opened


def test_the_stand_in_gives_what_pyav_gives(tmp_path: Path, made: tuple) -> None:
    path = make(tmp_path / "a.mp4", FILMS["a.mp4"])
    node, *_ = opens(path, made)()
    theirs = copy(path).batches
    for batch in theirs:
        out = node.process()
        assert out is not None
        assert out.frames.pts.tolist() == batch.pts.tolist()
        assert np.array_equal(out.frames.data, batch.data)
    assert node.process() is None
    node.close()


@pytest.mark.parametrize("name", FILMS)
def test_cut_anywhere(tmp_path: Path, name: str, made: tuple) -> None:
    whole = cut_everywhere(opens(make(tmp_path / name, FILMS[name]), made))
    assert sum(len(batch[1]) for batch in whole.batches) == 40


def test_pictures_that_do_not_decode_are_counted_once(tmp_path: Path, made: tuple) -> None:
    source = make(tmp_path / "a.mp4", replace(FILMS["a.mp4"], options={"bf": "0", "g": "10"}))
    data = bytearray(source.read_bytes())
    with av.open(str(source)) as film:
        places = [packet.pos for packet in film.demux(video=0) if packet.size]
    for place in (places[9], places[29]):  # the last of their groups, so that nothing else is harmed
        data[place : place + 4] = b"\xff" * 4  # a length that no part of a packet can have
    source.write_bytes(data)
    whole = run(*opens(source, made)())
    assert whole.figures[-1]["decode.damaged"] == 2
    assert sum(len(batch[1]) for batch in whole.batches) == 38
    cut_everywhere(opens(source, made))


def test_a_decoder_that_does_not_begin_there_begins_with_the_first(
    tmp_path: Path, made: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = opens(make(tmp_path / "a.mp4", FILMS["a.mp4"]), made)
    whole = run(*opened())
    _, decoders = made
    node, events, figures = opened()
    taken = {**whole.snapshots[-3]}
    taken["place"] = taken["place"].copy()
    taken["place"][3] -= 1  # no picture is shown then
    node.restore(taken)
    before = len(decoders)
    again = run(node, events, figures)
    assert len(decoders) == before + 1
    assert (again.batches, again.packets) == (whole.batches[-2:], whole.packets[-2:])


def test_a_file_that_has_become_shorter_is_told(tmp_path: Path, made: tuple) -> None:
    source = make(tmp_path / "a.mp4", FILMS["a.mp4"])
    snapshot = run(*opens(source, made)()).snapshots[-2]
    make(source, Film(times=LONG[:10], options={"g": "5"}))
    node, *_ = opens(source, made)()
    node.restore(snapshot)
    with pytest.raises(InputError, match="fewer pictures than when this job began"):
        node.process()
    node.close()


@pytest.mark.parametrize("name", ["a.mp4", "b.ts"])
def test_each_goes_on_where_the_other_broke_off(tmp_path: Path, name: str, made: tuple) -> None:
    path = make(tmp_path / name, FILMS[name])
    by_nvdec = opens(path, made)

    def by_pyav() -> tuple[PyavDecode, list[Event], dict[str, float]]:
        job = probe(path, output=path.with_suffix(".out.mp4"), name="x")
        ran, node = Ran(job, [], {}, []), PyavDecode(PyavConfig())
        node.open(context(job, "decode", ran))
        return node, ran.events, ran.figures

    assert "decode/nvdec" in PyavDecode.takes_over
    assert "decode/pyav" in Nvdec.takes_over
    for first, second in ((by_nvdec, by_pyav), (by_pyav, by_nvdec)):
        whole = run(*first())
        for place in range(len(whole.snapshots)):
            node, events, figures = second()
            node.restore(whole.snapshots[place])
            again = run(node, events, figures)
            assert again.batches == whole.batches[place:]
            assert sum(again.packets, ()) == sum(whole.packets[place:], ())
