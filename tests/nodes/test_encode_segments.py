"""A film in segments: broken off anywhere, gone on with, it is the film it would have been."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import Film, Ran, Sound, context, decoded, make, tracks, unfinished, video_times, with_subtitles

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.encode.assemble import timed
from dualface.nodes.encode.copied import Copied, packed, unpacked
from dualface.nodes.encode.x264 import X264, X264Config
from dualface.nodes.roles import Decoded

BATCH = 4
FILMS = {
    "plain.mp4": Film(times=range(40), sounds=[Sound(seconds=1.4), Sound("libmp3lame", pitch=660)]),
    "variable.mkv": Film(
        times=[0, 33, 50, 117, 250, 251, 400, 1033, 1066, 1100, 3000, 3001, 3002, 3040, 4000, 4800, 4801],
        time_base=Fraction(1, 1000), sounds=[Sound("libopus", start=0.3, seconds=2)],
    ),
    "hidden.mp4": Film(times=range(-15, 30), options={"bf": "2"}, sounds=[Sound(start=-0.7, seconds=1.7)]),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Taken:
    """A film as it is decoded, to be encoded more than once."""

    source: Path
    batches: list[Decoded[Any, Any]]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Taken]:
    folder = tmp_path_factory.mktemp("films")
    return {name: take(make(folder / name, film)) for name, film in FILMS.items()}


def take(source: Path) -> Taken:
    job = probe(source, output=source.with_suffix(".none.mp4"), name="x")
    node = PyavDecode(PyavConfig())
    node.open(context(job, "decode", Ran(job, [], {}, []), BATCH))
    batches = list(iter(node.process, None))
    node.close()
    return Taken(source, batches)


class Written:
    """A film on its way to ``output``: `give` it batches, `snapshot` it, `restore` it in another."""

    def __init__(self, taken: Taken, output: Path, **options: Any) -> None:
        self.job: Job = probe(taken.source, output=output, name="x")
        self.ran = Ran(self.job, [], {}, [])
        self.taken, self.output = taken, output
        self.node = self.opened(options)

    def opened(self, options: dict[str, Any]) -> Any:
        node = X264(X264Config(**options))
        # One thread: on several, x264 does not always write the same pictures in the same bytes.
        node.open(context(self.job, "encode", self.ran, threads=1))
        return node

    def give(self, start: int, stop: int, cuts: Collection[int]) -> None:
        """Batches, with a snapshot before each that is in ``cuts``."""
        for k in range(start, stop):
            if k in cuts:
                self.snapshot()
            self.node.process(self.taken.batches[k].frames, self.taken.batches[k].source)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: np.array(array) for name, array in self.node.snapshot().items()}

    def finish(self) -> bytes:
        list(self.node.finish())
        self.node.close()
        return self.output.read_bytes()


def whole(taken: Taken, output: Path, cuts: Collection[int], **options: Any) -> bytes:
    writer = Written(taken, output, **options)
    writer.give(0, len(taken.batches), cuts)
    return writer.finish()


def packets(path: Path) -> list[tuple[Any, ...]]:
    with av.open(str(path)) as film:
        return [(p.pts, p.dts, p.duration, p.is_keyframe, bytes(p)) for p in film.demux(video=0) if p.size]


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_broken_off_anywhere_it_is_the_same_film(
    films: dict[str, Taken], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    taken = films[data.draw(st.sampled_from(sorted(films)))]
    count, folder = len(taken.batches), tmp_path_factory.mktemp("run")
    suffix = data.draw(st.sampled_from([".mp4", ".mkv"]))
    cuts = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    one, other = folder / f"one{suffix}", folder / f"other{suffix}"
    whole(taken, one, cuts)

    at = 0
    for cut in sorted(data.draw(st.sets(st.sampled_from(sorted(cuts)), max_size=3))):
        writer = Written(taken, other)
        if at:
            writer.node.restore(state)  # noqa: F821  # of the round before
        writer.give(at, cut, cuts - {at})
        state = writer.snapshot()
        writer.give(cut, data.draw(st.integers(cut, count)), cuts - {cut})  # lost
        writer.node.close()
        at = cut
    last = Written(taken, other)
    if at:
        last.node.restore(state)
    last.give(at, count, cuts - {at})
    last.finish()

    assert packets(other) == packets(one)
    for a, b in zip(tracks(other, "audio"), tracks(one, "audio"), strict=True):
        assert (a.data, a.times, a.tags) == (b.data, b.times, b.tags)
    if suffix == ".mp4":  # Matroska writes random numbers
        assert other.read_bytes() == one.read_bytes()


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_segment_a_batch_changes_no_time_and_no_sound(
    films: dict[str, Taken], tmp_path: Path, name: str, suffix: str
) -> None:
    taken = films[name]
    one, many = tmp_path / f"one{suffix}", tmp_path / f"many{suffix}"
    whole(taken, one, ())
    whole(taken, many, range(len(taken.batches)))
    assert len(list(unfinished(many).glob("*/*.mkv"))) == len(taken.batches)
    assert video_times(many) == video_times(one)
    stamps = packets(many)
    if suffix == ".mp4":  # Matroska has no times of decoding
        assert all(a[1] < b[1] for a, b in pairwise(stamps))
        assert all(pts >= dts for pts, dts, *_ in stamps)
        assert [(pts, length) for pts, _, length, *_ in sorted(stamps)][-1] == (
            [(pts, length) for pts, _, length, *_ in sorted(packets(one))][-1]
        )
    assert len(decoded(many)) == len(stamps)
    for a, b in zip(tracks(many, "audio"), tracks(one, "audio"), strict=True):
        assert (a.data, a.times) == (b.data, b.times)


def test_times_of_decoding_are_the_encoders_own(films: dict[str, Taken], tmp_path: Path) -> None:
    for name in FILMS:
        writer = Written(films[name], tmp_path / f"{name}.mp4", preset="medium")
        writer.give(0, len(films[name].batches), ())
        writer.snapshot()
        made = writer.node.segments.arrays(0)
        delay = int((made["dts"] < made["pts"].min()).sum())
        assert delay == 2, "this is to be about pictures that are coded out of order"
        dts, lengths = timed(made["pts"], delay, 7)
        assert dts.tolist() == made["dts"].tolist()
        assert sorted(zip(made["pts"].tolist(), lengths.tolist(), strict=True))[-1][1] == 7
        writer.node.close()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(os.pathsep)
from test_encode_segments import Written, take
taken = take(Path(sys.argv[2]))
writer = Written(taken, Path(sys.argv[3]), keyint=5)
writer.give(0, 10, {3, 6})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_in_the_middle_of_a_segment(tmp_path: Path) -> None:
    film = Film(times=range(0, 4800, 100), time_base=Fraction(1, 1000), sounds=[Sound(seconds=4)])
    source, output = make(tmp_path / "long.mp4", film), tmp_path / "out.mp4"
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", KILLED, paths, str(source), str(output)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    segments = sorted(unfinished(output).glob("encode/*.mkv"))
    assert [path.name for path in segments] == ["0000.mkv", "0001.mkv", "0002.mkv"]
    assert [len(decoded(path)) for path in segments[:2]] == [12, 12]
    assert not segments[2].with_suffix(".npz").exists()

    taken = take(source)
    writer = Written(taken, output, keyint=5)
    writer.node.restore({"segments": np.array(2)})
    assert sorted(unfinished(output).glob("encode/*.mkv")) == segments[:2]
    writer.give(6, len(taken.batches), ())
    made = writer.finish()
    assert made == whole(taken, tmp_path / "whole.mp4", {3, 6}, keyint=5)


def test_what_is_under_way_can_be_played(tmp_path: Path) -> None:
    film = Film(times=range(0, 12_000, 100), time_base=Fraction(1, 1000))
    taken, output = take(make(tmp_path / "long.mp4", film)), tmp_path / "out.mp4"
    writer = Written(taken, output, tune="zerolatency")
    writer.give(0, len(taken.batches), ())
    assert len(decoded(unfinished(output) / "encode" / "0000.mkv")) >= 100  # all but the last seconds
    writer.node.close()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


DAMAGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "no pictures": ("0000.mkv", Path.unlink),
    "no times": ("0001.npz", Path.unlink),
    "cut short": ("0001.mkv", cut_short),
    "times cut short": ("0000.npz", cut_short),
    "changed": ("0000.mkv", changed),
    "times changed": ("0000.npz", changed),
    "something else": ("0000.npz", lambda path: path.write_bytes(b"PK\3\4 not really")),
    "empty": ("0001.mkv", lambda path: path.write_bytes(b"")),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_segment_is_not_gone_on_with(
    films: dict[str, Taken], tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    output = tmp_path / "out.mp4"
    writer = Written(films["plain.mp4"], output)
    writer.give(0, 6, {2, 4})
    writer.node.close()
    damage(unfinished(output) / "encode" / name)
    again = Written(films["plain.mp4"], output)
    with pytest.raises(InputError) as caught:
        again.node.restore({"segments": np.array(2)})
    again.node.close()
    assert str(caught.value) == (
        f"{output}: segment {int(name[:4])} of the unfinished work in {unfinished(output)}/encode is missing "
        "or damaged and cannot be gone on with"
    )


def test_a_segment_damaged_on_the_way_is_told_at_the_end(films: dict[str, Taken], tmp_path: Path) -> None:
    writer = Written(films["plain.mp4"], tmp_path / "out.mp4")
    writer.give(0, len(films["plain.mp4"].batches), {4})
    film = unfinished(tmp_path / "out.mp4") / "encode" / "0000.mkv"
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with pytest.raises(InputError, match=r"segment 0 of the unfinished work in .* is missing or damaged"):
        list(writer.node.finish())
    writer.node.close()


def test_a_full_disk_at_the_end_costs_no_segment(films: dict[str, Taken], tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    taken, output = films["plain.mp4"], tmp_path / "out.mp4"
    writer = Written(taken, output, crf=0)
    writer.give(0, len(taken.batches), range(len(taken.batches)))
    state = writer.snapshot()
    largest = max(path.stat().st_size for path in unfinished(output).glob("encode/*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max(largest, 1 << 16) + 1, hard))
    try:
        with pytest.raises(InputError, match=r"out.mp4: cannot be written \(File too large"):
            list(writer.node.finish())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(list(unfinished(output).glob("encode/*.mkv"))) == int(state["segments"])
    made = writer.finish()  # there is room again
    assert made == whole(taken, tmp_path / "whole.mp4", range(len(taken.batches)), crf=0)


def test_snapshots_without_a_picture_between_make_no_segment(films: dict[str, Taken], tmp_path: Path) -> None:
    writer = Written(films["plain.mp4"], tmp_path / "out.mp4")
    assert int(writer.snapshot()["segments"]) == 0
    writer.give(0, 2, ())
    assert [int(writer.snapshot()["segments"]) for _ in range(3)] == [1, 1, 1]
    writer.node.close()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_encoder_that_was_replaced_on_the_way(
    films: dict[str, Taken], tmp_path: Path, suffix: str
) -> None:
    taken, output = films["plain.mp4"], tmp_path / f"out{suffix}"
    before = Written(taken, output, profile="high")
    before.give(0, 5, ())
    state = before.snapshot()
    before.node.close()
    after = Written(taken, output, profile="baseline")
    after.node.restore(state)
    after.give(5, len(taken.batches), ())
    after.finish()
    assert "changed its headers on the way" in after.ran.said("notice")
    frames, wanted = decoded(output), decoded(taken.source)
    stamps = zip(video_times(output), video_times(taken.source), strict=True)
    assert max(abs(a - b) for a, b in stamps) <= (Fraction(1, 1000) if suffix == ".mkv" else 0)
    for a, b in zip(frames, wanted, strict=True):
        gap = a.to_ndarray(format="gray").astype(int) - b.to_ndarray(format="gray")
        assert np.abs(gap).mean() < 3


def test_sound_that_is_left_out_is_not_kept_either(films: dict[str, Taken], tmp_path: Path) -> None:
    taken = films["plain.mp4"]
    writer = Written(taken, tmp_path / "out.mp4", audio="none")
    writer.give(0, len(taken.batches), {3})
    assert len(writer.node.segments.arrays(0)["packets"]) == 0
    writer.finish()
    assert tracks(tmp_path / "out.mp4", "audio") == []
    assert writer.ran.said("notice") == ""


def test_what_is_left_out_is_told_at_the_beginning_and_once(tmp_path: Path) -> None:
    taken, output = take(with_subtitles(tmp_path)), tmp_path / "out.mp4"
    writer = Written(taken, output)
    writer.give(0, 1, ())
    assert "(.mkv would)" in writer.ran.said("notice")
    state = writer.snapshot()
    writer.node.close()
    again = Written(taken, output)
    again.node.restore(state)
    again.give(1, len(taken.batches), ())
    again.finish()
    assert again.ran.said("notice") == ""


TIMES = st.one_of(st.none(), st.integers(-(2**60), 2**60))
PACKETS = st.builds(
    Copied,
    stream=st.integers(0, 9),
    pts=TIMES,
    dts=TIMES,
    duration=TIMES,
    time_base=st.fractions(Fraction(1, 10**9), 1, max_denominator=10**9),
    key=st.booleans(),
    discard=st.booleans(),
    data=st.binary(max_size=9),
    extras=st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=5)), max_size=2).map(tuple),
)


@given(st.lists(PACKETS, max_size=6))
def test_packets_come_back_from_their_arrays(given_: list[Copied]) -> None:
    assert list(unpacked(packed(given_))) == given_


def test_a_packet_keeps_its_side_data() -> None:
    extras = ((11, b"0123456789"),)
    made = Copied(1, 5, None, 7, Fraction(1, 48_000), True, False, b"abc", extras).packet()
    assert (made.pts, made.dts, made.duration, bytes(made), made.is_keyframe) == (5, None, 7, b"abc", True)
    assert [(e.data_type, bytes(e)) for e in made.iter_sidedata()] == [("skip_samples", b"0123456789")]
