"""What is done to whole media so that they are hostile; seeded, so that a case can be made again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

INTERESTING = (
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    256,
    4095,
    32767,
    32768,
    65535,
    65536,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    (1 << 32) - 2,
)
# What headers count with. MP4 and MOV name it before its values, Matroska by an identifier of its own.
TIME = (
    *b"mvhd mdhd tkhd elst stts ctts trex tfhd trun tfdt sidx mehd avih strh".split(),
    b"fmt ", b"\x2a\xd7\xb1", b"\x44\x89", b"\x23\xe3\x83", b"\x53\x6e",
)  # fmt: skip
SIZES = (
    *b"avc1 hvc1 mp4v tkhd stsz stsc stco stsd avcC hvcC esds mp4a pasp strf idx1 IHDR DKIF".split(),
    b"\xb0", b"\xba", b"\x83", b"\xd7", b"\x00\x00\x01\xb3", b"\x00\x00\x00\x01\x67",
)  # fmt: skip
LARGEST = 1 << 20  # bytes of a seed that are damaged; longer ones are cut to it first


@dataclass(frozen=True)
class Case:
    """A file that `make` gives the content of, or what is there already as ``name``; ``source`` tells what
    it was. With both, ``name`` is what it has to end like."""

    kind: str
    source: str
    make: Callable[[], bytes] | None = None
    name: str | None = None


Damage = Callable[[random.Random, bytearray, Sequence[bytes]], bytearray]


def flip(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 4, 16, 64, 256))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def flip_headers(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    ends = rng.random() < 0.3  # where an MP4 has its index
    for _ in range(rng.choice((1, 3, 10, 30))):
        at = rng.randrange(min(len(data), 2048))
        data[len(data) - 1 - at if ends else at] ^= 1 << rng.randrange(8)
    return data


def truncate(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    return data[: max(1, round(len(data) * rng.random() ** rng.choice((0.3, 1, 3))))]


def behead(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    return data[rng.randrange(len(data)) :]


def splice(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    other = rng.choice(others)
    cut = rng.randrange(1, min(len(data), 8192))
    return data[:cut] + other[rng.randrange(min(len(other), 8192)) :]


def blank(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 4))):
        at, length = rng.randrange(len(data)), rng.choice((4, 64, 1024, 16384))
        data[at : at + length] = rng.choice((b"\0", b"\xff", rng.randbytes(1))) * len(data[at : at + length])
    return data


def repeat(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    start, end = sorted(rng.randrange(len(data)) for _ in range(2))
    part = data[start : min(end, start + 65536)]
    at = rng.randrange(len(data))
    return data[:at] + part * rng.choice((1, 2, 8)) + data[at:]


def numbers(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    for _ in range(rng.choice((1, 2, 5))):
        _put(rng, data, rng.randrange(min(len(data), rng.choice((512, 4096, 1 << 20)))))
    return data


def times(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    return _behind(rng, data, TIME)


def sizes(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> bytearray:
    return _behind(rng, data, SIZES)


def _behind(rng: random.Random, data: bytearray, marks: Sequence[bytes]) -> bytearray:
    """A number changed within a few bytes of one of ``marks``; anywhere, where there is none."""
    there = [mark for mark in marks if mark in data]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not there:
            _put(rng, data, rng.randrange(min(len(data), 512)))
            continue
        mark = rng.choice(there)
        at = data.find(mark, rng.randrange(max(1, data.rfind(mark) + 1)))
        _put(rng, data, at + len(mark) + rng.randrange(40))
    return data


def _put(rng: random.Random, data: bytearray, at: int) -> None:
    width = rng.choice((1, 2, 4, 4, 8))
    value = rng.choice((*INTERESTING, rng.getrandbits(32)))
    raw = (value * 0x1_0000_0001 & (1 << 64) - 1).to_bytes(8, rng.choice(("big", "little")))
    at = min(at, max(0, len(data) - width))
    data[at : at + width] = raw[8 - width :]


DAMAGES: Mapping[str, Damage] = {
    "bits": flip, "bits of headers": flip_headers, "cut off": truncate, "beheaded": behead, "spliced": splice,
    "blanked": blank, "repeated": repeat, "numbers": numbers, "times": times, "sizes": sizes,
}  # fmt: skip


def damaged(films: Sequence[Path], count: int, seed: int) -> Iterator[Case]:
    """``count`` cases of whole media damaged, every damage and every film in turn."""
    heads = []
    for film in films:
        with film.open("rb") as file:
            heads.append(file.read(65536))
    kinds = list(DAMAGES)
    for number in range(count):
        film, kind = films[number // len(kinds) % len(films)], kinds[number % len(kinds)]
        yield Case(kind, f"{film.stem} #{number}", partial(_damaged, film, kind, f"{seed}/{number}", heads))


def _damaged(film: Path, kind: str, seed: str, heads: Sequence[bytes]) -> bytes:
    with film.open("rb") as file:
        whole = bytearray(file.read(LARGEST))
    return bytes(DAMAGES[kind](random.Random(seed), whole, heads))


def crowds(mp4: Path, transport: Path, count: int = 10_000, *, endless: bool = False) -> Iterator[Case]:
    """Files of very many streams. With ``endless`` one that FFmpeg opens for minutes, of which only another
    process can be rid."""
    for many in (count, 300):
        yield Case("streams", f"MP4 of {many} tracks", partial(crowded, mp4, many))
        yield Case("streams", f"Matroska of {many} tracks", partial(crowd, many))
        yield Case("streams", f"AVI of {many} streams", partial(avi, many))
    for many in (*([8000] if endless else []), 2000, 300):
        what = f"transport stream of {many} programmes"
        yield Case("streams", what, lambda many=many: transport_stream(many) + transport.read_bytes())


def crowded(mp4: Path, many: int) -> bytes:
    """An MP4 with its first track ``many`` times more."""
    data = mp4.read_bytes()
    moov = data.rindex(b"moov") - 4
    (size,) = struct.unpack(">I", data[moov : moov + 4])
    trak = data.index(b"trak", moov) - 4
    (length,) = struct.unpack(">I", data[trak : trak + 4])
    more = data[trak : trak + length] * many
    head = data[:moov] + struct.pack(">I", size + len(more)) + data[moov + 4 : trak]
    return head + more + data[trak : moov + size]


def crowd(many: int) -> bytes:
    return matroska(b"".join(track(i + 1) for i in range(many)))


def element(name: int, body: bytes) -> bytes:
    """One of Matroska's, its size in eight bytes."""
    return (
        name.to_bytes((name.bit_length() + 7) // 8, "big") + (1 << 56 | len(body)).to_bytes(8, "big") + body
    )


def track(number: int, width: int = 8, height: int = 4) -> bytes:
    """A Matroska track of uncompressed pictures."""
    size = element(0xB0, struct.pack(">I", width)) + element(0xBA, struct.pack(">I", height))
    ids = element(0xD7, struct.pack(">H", number)) + element(0x73C5, struct.pack(">H", number))
    codec = element(0x83, b"\1") + element(0x86, b"V_UNCOMPRESSED")
    return element(0xAE, ids + codec + element(0xE0, size + element(0x2EB524, b"I420")))


def matroska(tracks: bytes, more: bytes = b"") -> bytes:
    """A film of ``tracks``, with one packet of the first."""
    kind = element(0x4282, b"matroska") + element(0x4287, b"\4") + element(0x4285, b"\2")
    about = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40"))
    cluster = element(0x1F43B675, element(0xE7, b"\0") + element(0xA3, b"\x81\0\0\x80" + bytes(48)))
    return element(0x1A45DFA3, kind) + element(
        0x18538067, about + element(0x1654AE6B, tracks) + more + cluster
    )


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


def avi(streams: int) -> bytes:
    header = b"vidsMJPG" + struct.pack("<IHHIIIIIIIIhhhh", 0, 0, 0, 0, 1, 25, 0, 1, 0, 0, 0, 0, 0, 320, 180)
    form = struct.pack("<IiiHHIIiiII", 40, 320, 180, 1, 24, 0x47504A4D, 0, 0, 0, 0, 0)
    one = chunk(b"LIST", b"strl" + chunk(b"strh", header) + chunk(b"strf", form))
    about = chunk(b"avih", struct.pack("<14I", 40000, 0, 0, 16, 1, 0, streams, 0, 320, 180, 0, 0, 0, 0))
    return chunk(b"RIFF", b"AVI " + chunk(b"LIST", b"hdrl" + about + one * streams) + chunk(b"LIST", b"movi"))


def transport_stream(programmes: int) -> bytes:
    """Tables that announce ``programmes``, each of one stream of H.264."""

    def packet(pid: int, table: bytes) -> bytes:
        table += crc32(table).to_bytes(4, "big")
        return (b"\x47" + struct.pack(">H", 0x4000 | pid) + b"\x10\0" + table).ljust(188, b"\xff")

    made = []
    for number in range(1, programmes + 1, 40):
        ids = range(number, min(number + 40, programmes + 1))
        rows = b"".join(struct.pack(">HH", one, 0xE000 | 32 + one % 8000) for one in ids)
        table = number // 40 & 255
        made.append(
            packet(0, b"\0" + struct.pack(">HHBBB", 0xB000 | len(rows) + 9, 1, 0xC1, table, 255) + rows)
        )
    for one in range(1, programmes + 1):
        pid = 32 + one % 8000
        body = (
            struct.pack(">HBBBHH", one, 0xC1, 0, 0, 0xE000 | pid, 0xF000)
            + b"\x1b"
            + struct.pack(">HH", 0xE000 | pid, 0xF000)
        )
        made.append(packet(pid, b"\2" + struct.pack(">H", 0xB000 | len(body) + 4) + body))
    return b"".join(made)


def crc32(data: bytes) -> int:
    """MPEG's, which is not zlib's."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value
