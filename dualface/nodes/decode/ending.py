"""Whether a film stops before its file says that it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, BinaryIO

from dualface.nodes.clock import clock
from dualface.nodes.decode.source import scheme
from dualface.nodes.decode.streams import Media

SYNC = 0x47
SEGMENT = 0x18538067
ASF_FILE = bytes.fromhex("a1dcab8c 47a9 cf11 8ee4 00c00c205365")  # the header that tells the file's size
GUESSED = {"asf"}  # FFmpeg's formats of which it guesses a length by the bit rate once they are cut off
WHY = "it was probably cut off while being copied or recorded"


def broken_off(path: str, media: Media, seconds: float, expected: float, damaged: bool = False) -> str:
    """A sentence for a film of which ``seconds`` came, or "" where nothing says that it breaks off.

    ``expected`` is what the container claims, 0 where it is silent; ``damaged`` tells whether the
    decoder missed parts of the last pictures. All of ``media`` has been read.
    """
    kind = media.container.format.name
    if kind not in GUESSED and expected and expected - seconds > max(1.0, 0.02 * expected):
        return f"the file breaks off at {clock(seconds)} of {clock(expected)}; {WHY}"
    if cut(path, kind):
        return f"the file ends at {clock(seconds)} in the middle of a packet; {WHY}"
    if damaged or media.ends_damaged:
        return f"the file ends at {clock(seconds)} with damaged packets; {WHY}"
    return ""


def cut(path: str, kind: str) -> bool:
    """Whether a file of FFmpeg's format ``kind`` is shorter than the sizes in it say."""
    look = LOOKS.get(kind)
    if look is None or scheme(path) is not None:
        return False
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return look(file, os.fstat(file.fileno()).st_size)
    return False


def _transport(file: BinaryIO, total: int) -> bool:
    """MPEG-TS: packets of one size, each with a mark; Blu-ray's have a time before it. A part of one at the
    end was cut off."""
    head = file.read(1024)
    for size, at in ((188, 0), (192, 4), (204, 0)):
        if all(mark == SYNC for mark in head[at::size]):
            file.seek(total - total % size + at)
            return file.read(1) == bytes([SYNC])  # what is no packet was put there by somebody else
    return False


def _matroska(file: BinaryIO, total: int) -> bool:
    """Elements within elements; those that were written live have no size, and end with their parts."""
    at = 0
    while at < total:
        file.seek(at)
        head = file.read(12)
        name = _number(head, keep_mark=True)
        size = _number(head[name[1] :]) if name else None
        if name is None or size is None:
            return bool(head.strip(b"\0")) and len(head) < 12
        start = at + name[1] + size[1]
        endless = size[0] == (1 << 7 * size[1]) - 1
        at = start if endless else start + size[0]
        if name[0] == SEGMENT and not endless:
            break
    return at > total


def _number(data: bytes, *, keep_mark: bool = False) -> tuple[int, int] | None:
    """A number of variable length and that length; ``None`` where there is none.

    >>> _number(bytes([0x40, 0x02])), _number(bytes([0x81])), _number(bytes([0x40]))
    ((2, 2), (1, 1), None)
    """
    length = 9 - data[0].bit_length() if data else 9
    if length > 8 or len(data) < length:
        return None
    value = int.from_bytes(data[:length], "big")
    return (value if keep_mark else value & ((1 << 7 * length) - 1)), length


def _riff(file: BinaryIO, total: int) -> bool:
    """AVI: one part after the other; a size that was never filled in says nothing."""
    at = 0
    while at < total:
        file.seek(at)
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or not 0 < size < (1 << 32) - 1:
            return False
        at += 8 + size
    return at > total + 8 + 1  # some count the eight bytes before; a last odd byte may lack its pair


def _mp4(file: BinaryIO, total: int) -> bool:
    """MP4 and MOV: one box after the other; one of size 0 goes to the end. What has no name of a box
    was put behind the film by somebody else."""
    at = 0
    while at < total:
        file.seek(at)
        head = file.read(16)
        if not (head[4:8].isascii() and head[4:8].decode().isprintable()):
            return False
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if size < 8:
            return False
        at += size
    return at > total


def _asf(file: BinaryIO, total: int) -> bool:
    """WMV and WMA: a header tells the size, unless it is marked as written live."""
    head = file.read(1 << 16)
    at = head.find(ASF_FILE)
    told, marks = head[at + 40 : at + 48], head[at + 88 : at + 89]
    return at >= 0 and marks in (b"\0", b"\2") and int.from_bytes(told, "little") > total


LOOKS: dict[str, Callable[[Any, int], bool]] = {
    "mpegts": _transport,
    "matroska,webm": _matroska,
    "avi": _riff,
    "mov,mp4,m4a,3gp,3g2,mj2": _mp4,
    "asf": _asf,
}
