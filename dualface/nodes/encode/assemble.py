"""The output, made of its segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from dualface.graph.errors import InputError
from dualface.graph.types import Video
from dualface.nodes.decode.feed import FILTERS
from dualface.nodes.decode.streams import Media
from dualface.nodes.encode.copied import Copied
from dualface.nodes.encode.mux import USUAL_RATE, Output
from dualface.nodes.encode.segments import Segments

Ints = npt.NDArray[np.int64]


def assemble(
    output: Output,
    segments: Segments,
    media: Media,
    video: Video,
    *,
    turned: int,
    audio: bool,
    stopping: Callable[[], bool],
) -> None:
    """Write the pictures of all ``segments`` to ``output``, and from ``media`` what goes beside them.

    The times of pictures are in ``video``'s time base; they are shown ``turned`` by so many degrees
    clockwise. Stops early when ``stopping()`` turns true. Raises `InputError` where a segment is not as
    it was left.
    """
    kept = [segments.arrays(k, "pts", "dts") for k in range(segments.count)]
    pts = np.concatenate([one["pts"] for one in kept])
    usual = max(1, round(1 / (video.frame_rate or USUAL_RATE) / video.time_base))
    last = round((media.last_length or 0) / video.time_base) or usual
    dts, lengths = timed(pts, max(_delay(one["pts"], one["dts"]) for one in kept), last)
    headers = _headers(segments, output)
    with segments.opened(0) as first:
        output.show(first.streams.video[0], video, turned, headers)
    output.carry(media, audio)
    at = 0
    for k in range(segments.count):
        keys = segments.arrays(k, "key")["key"].tolist()
        with segments.opened(k) as container:
            change = av.bitstream.BitStreamFilterContext(headers, container.streams.video[0])
            for item in segments.items(k, container):
                if stopping():
                    return
                if isinstance(item, Copied):
                    output.copy(item)
                    continue
                number, packet = item
                for ready in change.filter(packet):
                    ready.pts, ready.dts, ready.duration = int(pts[at]), int(dts[at]), int(lengths[at])
                    ready.time_base, ready.is_keyframe = video.time_base, keys[number]
                    output.write(ready)
                at += 1


def timed(pts: Ints, delay: int, last: int) -> tuple[Ints, Ints]:
    """When each picture is decoded and how long it is shown, for pictures shown at ``pts``, in the order
    of decoding.

    A picture is shown until the next is, the very last for ``last``. ``delay`` is by how many pictures
    showing lags behind decoding; times of decoding are those of showing moved by so many, as an encoder
    has them that made all in one go.

    >>> timed(np.array([0, 40, 20, 80, 60]), 1, 20)
    (array([-20,   0,  20,  40,  60]), array([20, 20, 20, 20, 20]))
    """
    order = np.argsort(pts, kind="stable")
    shown = pts[order]
    lengths = np.empty_like(pts)
    lengths[order] = np.diff(shown, append=shown[-1] + last)
    delay = min(delay, len(pts) - 1)
    early = shown[:delay] - (shown[delay] - shown[0])
    return np.concatenate([early, shown[: len(shown) - delay]]), lengths


def _delay(pts: Ints, dts: Ints) -> int:
    """By how many pictures showing lags behind decoding: those that are decoded before one is shown."""
    return int((dts < pts.min()).sum())


def _headers(segments: Segments, output: Output) -> str:
    """The bitstream filter for all segments: none, where their headers are the same and so can be the
    container's; else, after an encoder or a driver was replaced, one that leaves them in the pictures."""
    found = []
    for k in range(segments.count):
        with segments.opened(k) as container:
            context: Any = container.streams.video[0].codec_context
            found.append((context.codec.canonical_name, context.width, context.height, context.extradata))
    if len({one[:3] for one in found}) > 1:
        kinds = " and ".join(sorted({f"{codec} of {width}x{height}" for codec, width, height, _ in found}))
        raise InputError(f"{output.final}: {kinds} cannot be one film; start again without what was left")
    if len(set(found)) == 1:
        return "null"
    output.notice("the encoder changed its headers on the way: they are written beside every key picture")
    return FILTERS.get(found[0][0], "null")
