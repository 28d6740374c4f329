"""A film in the making: closed segments in a folder, which outlive the process that made them.

Segment 12 is ``0012.mkv``, pictures alone, which plays by itself, and ``0012.npz``, which is there only
when the segment is complete: the exact times of its pictures, and the source's packets that belong beside
them. (Matroska, for its beginning plays too if the process is killed in the middle, and it takes any
times.) Segments begin with a key picture and know nothing of each other.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np

from dualface.graph.errors import InputError
from dualface.nodes.decode.source import ffmpeg_name
from dualface.nodes.encode.copied import Copied, packed, unpacked
from dualface.nodes.encode.disk import claim, settle, writing

Arrays = Mapping[str, np.ndarray[Any, Any]]
# Clusters of a second, each written when it is complete: no more is lost to a kill.
OPTIONS = {"cluster_time_limit": "1000", "flush_packets": "1"}


class Segments:
    """The first ``count`` segments in ``folder``, of a film that will be ``final``.

    Raises `InputError` where the disk does not take one, and where one is not as it was left.
    """

    def __init__(self, folder: Path, final: Path) -> None:
        self.folder, self.final = folder, final
        self.count = 0

    def restore(self, count: int) -> None:
        """Go on after the first ``count``; any others are removed."""
        for k in range(count):
            with self.reading(k):
                arrays = self.arrays(k)
                if checksum(self.film(k)) != int(arrays["crc32"]):
                    raise ValueError("it has changed")
        kept = {path for k in range(count) for path in (self.film(k), self._beside(k))}
        with writing(self.final):
            for path in set(self.folder.iterdir()) - kept:
                path.unlink()
        self.count = count

    def begin(self) -> Segment:
        """A new one, to be closed with `end`."""
        return Segment(self.film(self.count), self.final)

    def end(self, segment: Segment) -> None:
        """Complete ``segment``; it is safe on the disk when this returns."""
        arrays = segment.close()
        with writing(self.final):
            arrays["crc32"] = np.array(checksum(segment.path))
            settle(segment.path)
            beside = self._beside(self.count)
            temporary = beside.with_suffix(".tmp")
            with temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            settle(temporary)
            os.replace(temporary, beside)
            settle(self.folder)
        self.count += 1

    def film(self, k: int) -> Path:
        return self.folder / f"{k:04}.mkv"

    def arrays(self, k: int, *names: str) -> dict[str, np.ndarray[Any, Any]]:
        """What is known of segment ``k``; only these ``names``, where some are given."""
        with self.reading(k), np.load(self._beside(k), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names or arrays.files}

    @contextlib.contextmanager
    def opened(self, k: int) -> Iterator[Any]:
        """Segment ``k`` as a container of PyAV's: the first with all that FFmpeg finds out about its
        pictures, the others with what their headers say."""
        with self.reading(k):
            options = {"probesize": "32"} if k else {}
            container = av.open(ffmpeg_name(self.film(k)), format="matroska", options=options)
        try:
            yield container
        finally:
            container.close()

    def items(self, k: int, container: Any) -> Iterator[Copied | tuple[int, Any]]:
        """What segment ``k``, open as ``container``, holds, in the order in which it came: packets to be
        copied, and pictures as their number in it and a packet of PyAV's."""
        arrays = self.arrays(k)
        copied = deque(zip(arrays["before"].tolist(), unpacked(arrays), strict=True))
        with self.reading(k):
            pictures = (packet for packet in container.demux(video=0) if packet.size)
            for number in range(len(arrays["pts"])):
                while copied and copied[0][0] <= number:
                    yield copied.popleft()[1]
                packet = next(pictures, None)
                if packet is None:
                    raise ValueError("pictures are missing")
                yield number, packet
            for _, packet in copied:
                yield packet

    @contextlib.contextmanager
    def reading(self, k: int) -> Iterator[None]:
        """Tells what is wrong with segment ``k`` in a sentence."""
        try:
            yield
        except Exception as error:  # damaged files fail in many ways
            raise InputError(
                f"{self.final}: segment {k} of the unfinished work in {self.folder} is missing or damaged "
                "and cannot be gone on with"
            ) from error

    def _beside(self, k: int) -> Path:
        return self.folder / f"{k:04}.npz"


def checksum(path: Path) -> int:
    """The CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            found = zlib.crc32(data, found)
    return found


class Segment:
    """A segment under way, at ``path``: a stream of pictures is to be added to ``container``."""

    def __init__(self, path: Path, final: Path) -> None:
        self.path, self._final = path, final
        self._pts: list[int] = []
        self._dts: list[int] = []
        self._key: list[bool] = []
        self._copied: list[Copied] = []
        self._before: list[int] = []  # how many pictures came before each of them
        with writing(final):
            claim(path)
            self.container = av.open(ffmpeg_name(path), "w", format="matroska", container_options=OPTIONS)

    def copy(self, packets: Iterable[Any]) -> None:
        """Keep packets of the source, to be written where they came."""
        for packet in packets:
            self._copied.append(Copied.of(packet))
            self._before.append(len(self._pts))

    def write(self, packets: Iterable[Any]) -> None:
        """Write pictures, whose packets have the film's time base."""
        for packet in packets:
            self._pts.append(packet.pts)
            self._dts.append(packet.dts)
            self._key.append(packet.is_keyframe)
            with writing(self._final):
                self.container.mux_one(packet)

    def close(self) -> dict[str, np.ndarray[Any, Any]]:
        """Complete the film; what else is to be kept."""
        with writing(self._final):
            self.container.close()
        return {
            "pts": np.array(self._pts, np.int64),
            "dts": np.array(self._dts, np.int64),
            "key": np.array(self._key, bool),
            "before": np.array(self._before, np.int64),
            **packed(self._copied),
        }

    def abandon(self) -> None:
        """Close without caring for the result."""
        with contextlib.suppress(Exception):
            self.container.close()
