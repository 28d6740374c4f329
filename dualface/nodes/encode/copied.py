"""Packets that go from input to output as they are, and their way through a file of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

import av
import numpy as np
from av.packet import PacketSideData, PktSideDataT

NONE = np.iinfo(np.int64).min  # a time that nobody knows
# In the order of FFmpeg's numbers, by which PyAV makes them.
EXTRAS: tuple[str, ...] = get_args(PktSideDataT)
_Extra: Any = PacketSideData  # of whose arguments its stubs say nothing


@dataclass(frozen=True, slots=True)
class Copied:
    """A packet of the source: times in ``time_base``, ``None`` where unknown; ``discard`` where its edit
    list hides it; ``extras`` are FFmpeg's side data by their number."""

    stream: int
    pts: int | None
    dts: int | None
    duration: int | None
    time_base: Fraction
    key: bool
    discard: bool
    data: bytes
    extras: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def of(cls, packet: Any) -> Copied:
        return cls(
            packet.stream.index,
            packet.pts,
            packet.dts,
            packet.duration,
            packet.time_base,
            packet.is_keyframe,
            packet.is_discard,
            bytes(packet),
            tuple((EXTRAS.index(extra.data_type), bytes(extra)) for extra in packet.iter_sidedata()),
        )

    def packet(self) -> Any:
        """A packet of PyAV's, of no stream yet."""
        made = av.Packet(self.data)
        made.pts, made.dts, made.duration = self.pts, self.dts, self.duration
        made.time_base, made.is_keyframe = self.time_base, self.key
        for number, data in self.extras:
            extra = _Extra(number, len(data))
            if data:
                extra.update(data)
            made.set_sidedata(extra)
        return made


def packed(packets: Sequence[Copied]) -> dict[str, np.ndarray[Any, Any]]:
    """Plain arrays that hold ``packets``; `unpacked` takes them out again."""
    about = [
        (
            p.stream, _number(p.pts), _number(p.dts), _number(p.duration),
            p.time_base.numerator, p.time_base.denominator, p.key, p.discard, len(p.data), len(p.extras),
        )
        for p in packets
    ]  # fmt: skip
    extras = [extra for p in packets for extra in p.extras]
    return {
        "packets": np.array(about, np.int64).reshape(-1, 10),
        "extras": np.array([(number, len(data)) for number, data in extras], np.int64).reshape(-1, 2),
        "bytes": np.frombuffer(b"".join(p.data for p in packets), np.uint8),
        "extra_bytes": np.frombuffer(b"".join(data for _, data in extras), np.uint8),
    }


def unpacked(arrays: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[Copied]:
    data, extra_data = arrays["bytes"].tobytes(), arrays["extra_bytes"].tobytes()
    extras, at, extra_at = iter(arrays["extras"].tolist()), 0, 0
    for stream, pts, dts, duration, over, under, key, discard, size, count in arrays["packets"].tolist():
        beside = []
        for _ in range(count):
            number, length = next(extras)
            beside.append((number, extra_data[extra_at : extra_at + length]))
            extra_at += length
        yield Copied(
            stream, _time(pts), _time(dts), _time(duration), Fraction(over, under),
            bool(key), bool(discard), data[at : at + size], tuple(beside),
        )  # fmt: skip
        at += size


def _number(time: int | None) -> int:
    return int(NONE) if time is None else time


def _time(number: int) -> int | None:
    return None if number == NONE else number
