"""encode/nvenc in segments, against the stand-in: a session each, one at a time."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import av
import pytest
from media import Film, Sound, context, decoded, make, tracks, unfinished, video_times
from standins.device import STREAM
from standins.machine import Machine
from test_encode_segments import Taken, Written, packets, take

from dualface.graph.errors import DeviceError
from dualface.graph.node import Device
from dualface.nodes.encode.nvenc import Nvenc, NvencConfig

FILM = Film(times=range(60), size=(192, 128), sounds=[Sound(seconds=2)])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", made.chip.module)
    return made


def put(machine: Machine, taken: Taken) -> Taken:
    """The film with its pictures in the device's memory."""
    batches = [
        one._replace(frames=dataclasses.replace(one.frames, data=machine.device.put(one.frames.data)))
        for one in taken.batches
    ]
    return dataclasses.replace(taken, batches=batches)


class OnChip(Written):
    def opened(self, options: dict[str, Any]) -> Any:
        node = Nvenc(NvencConfig(**options))
        node.open(dataclasses.replace(context(self.job, "encode", self.ran), device=Device(0, STREAM)))
        return node


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("h264", ".mp4"), ("h264", ".mkv"), ("hevc", ".mp4"), ("hevc", ".mkv"), ("av1", ".mp4")],
)
def test_broken_off_it_is_the_same_film(machine: Machine, tmp_path: Path, codec: str, suffix: str) -> None:
    taken = put(machine, take(make(tmp_path / "a.mp4", FILM)))
    count, cuts = len(taken.batches), {4, 5, 10}
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    writer = OnChip(taken, one, codec=codec)
    writer.give(0, count, cuts)
    writer.finish()

    killed = OnChip(taken, other, codec=codec)
    killed.give(0, 10, cuts)
    state = killed.snapshot()
    killed.give(10, 12, ())
    killed.node.close()
    again = OnChip(taken, other, codec=codec)
    again.node.restore(state)
    again.give(10, count, ())
    again.finish()

    assert packets(other) == packets(one)
    assert len(decoded(other)) == 60
    stamps = zip(video_times(other), video_times(taken.source), strict=True)
    assert max(abs(a - b) for a, b in stamps) <= (0.001 if suffix == ".mkv" else 0)
    (mine,), (yours,) = tracks(other, "audio"), tracks(one, "audio")
    assert (mine.data, mine.times) == (yours.data, yours.times)
    assert (machine.chip.most, machine.chip.open) == (1, 0)
    assert len(list(unfinished(one).glob("*/*.mkv"))) == 4
    if (codec, suffix) == ("hevc", ".mp4"):
        with av.open(str(other)) as film:
            assert film.streams.video[0].codec_context.codec_tag == "hvc1"


def test_a_session_refused_at_a_segment(machine: Machine, tmp_path: Path) -> None:
    taken, output = put(machine, take(make(tmp_path / "a.mp4", FILM))), tmp_path / "out.mp4"
    writer = OnChip(taken, output)
    writer.give(0, 5, ())
    state = writer.snapshot()
    machine.chip.refuse = 10  # somebody else took it in between
    with pytest.raises(DeviceError, match=r"out.mp4: NVENC refused a session: .*; node/encode@graph"):
        writer.give(5, 6, ())
    writer.node.close()
    machine.chip.refuse = 0
    again = OnChip(taken, output)
    again.node.restore(state)
    again.give(5, len(taken.batches), ())
    again.finish()
    assert len(decoded(output)) == 60
    assert machine.chip.open == 0


def test_a_turned_film_stays_turned_over_segments(machine: Machine, tmp_path: Path) -> None:
    film = dataclasses.replace(FILM, rotation=90)
    taken, output = put(machine, take(make(tmp_path / "a.mp4", film))), tmp_path / "out.mp4"
    writer = OnChip(taken, output)
    writer.give(0, len(taken.batches), {3, 8})
    writer.finish()
    assert {f.rotation for f in decoded(output)} == {f.rotation for f in decoded(taken.source)} != {0}
