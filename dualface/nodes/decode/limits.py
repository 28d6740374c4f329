"""What an input may take of the machine, checked before it is taken."""

from __future__ import annotations

from errno import ENOMEM
from typing import Any

import av

from dualface.graph.errors import InputError
from dualface.graph.job import Limits

ROOM = 64  # pixels in a row that a decoder adds to a picture's width at most


def for_opening(limits: Limits) -> dict[str, str]:
    """FFmpeg's options for a container: one stream more than is allowed, so that it can be told."""
    return {"max_streams": str(limits.streams + 1)}


def for_decoding(limits: Limits) -> dict[str, str]:
    """FFmpeg's options for a decoder, which then takes no memory for a picture that is too large."""
    return {"max_pixels": str(limits.pixels + ROOM * limits.height)}


def check_streams(name: str, container: Any, limits: Limits) -> None:
    """Raise `InputError` where ``container`` has too many streams, or its pictures are too large by
    what its headers say."""
    if len(container.streams) > limits.streams:
        raise InputError(f"{name}: has more than {limits.streams} streams, {way('streams')}")
    for stream in container.streams.video:
        if stream.codec_context is not None:
            check_size(name, stream.codec_context.width, stream.codec_context.height, limits)


def check_size(name: str, width: int, height: int, limits: Limits) -> None:
    """Raise `InputError` where a picture is wider, higher or of more pixels than is allowed."""
    size = f"{name}: its pictures are {width}x{height} pixels"
    if width > limits.width:
        raise InputError(f"{size}, wider than {limits.width}, {way('width')}")
    if height > limits.height:
        raise InputError(f"{size}, higher than {limits.height}, {way('height')}")
    if width * height > limits.pixels:
        raise InputError(f"{size}, more than {limits.pixels} in all, {way('pixels')}")


def check_picture(name: str, frame: Any, limits: Limits) -> None:
    """The same for a decoded picture, and for the memory that it takes."""
    check_size(name, frame.width, frame.height, limits)
    taken = sum(abs(plane.line_size) * plane.height for plane in frame.planes)
    if taken > limits.frame_mb << 20:
        size = f"{name}: a picture takes {taken / (1 << 20):.0f} MiB"
        raise InputError(f"{size}, more than {limits.frame_mb}, {way('frame_mb')}")


def check_failed(name: str, codec: Any, error: av.error.FFmpegError, limits: Limits, begun: bool) -> None:
    """Raise `InputError` where a picture did not decode because it is too large, or memory ran out.

    ``codec`` is the decoder; some forget a size that they are not allowed to have, which is told by
    there being none though pictures have ``begun``.
    """
    check_size(name, codec.width, codec.height, limits)
    if error.errno == ENOMEM:
        what = f"decoding it needs more memory than there is, or than {limits.pixels} pixels"
        raise InputError(f"{name}: {what}, {way('pixels')}") from error
    if begun and codec.width == 0:
        what = f"its pictures become larger than {limits.pixels} pixels"
        raise InputError(f"{name}: {what}, {way('pixels')}") from error


def way(key: str) -> str:
    """Whose limit it is, as the end of a sentence."""
    return f"which limits.{key} sets; raise it if the file is to be trusted"
