"""FFmpeg's colour numbers and their names.

PyAV gives the numbers of libavutil's ``pixfmt.h`` (which follow ITU-T H.273); a `Color` has the
names that ffprobe prints. Both ways are needed: reading a source, tagging an output.
"""

from __future__ import annotations

from typing import Any

from dualface.graph.types import Color

RANGE = {1: "tv", 2: "pc"}
MATRIX = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco",
    9: "bt2020nc", 10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c",
    14: "ictcp",
}  # fmt: skip
TRANSFER = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100",
    10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10",
    15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020",
    10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
HDR = ("smpte2084", "arib-std-b67")
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "pal8", "x2rgb", "x2bgr", "bayer")
UNSPECIFIED = 2  # of matrix, transfer and primaries; of the range it is 0


def is_rgb(pixel_format: str) -> bool:
    """Whether a pixel format has no luma, so that a matrix must be chosen for it."""
    return pixel_format.startswith(_RGB)


def is_full(pixel_format: str) -> bool:
    """Whether a pixel format means full range even where the stream is silent."""
    return pixel_format.startswith(("yuvj", "gray", "ya", "mono"))


def color_of(frame: Any) -> Color:
    """The colour of a decoded picture once it is NV12.

    RGB sources become limited-range YUV, with BT.709 from 720 lines up and BT.601 below, as is
    usual where nothing says otherwise; all else keeps its own tags.
    """
    name = frame.format.name
    transfer, primaries = TRANSFER.get(int(frame.color_trc)), PRIMARIES.get(int(frame.color_primaries))
    if is_rgb(name):
        return Color("tv", "bt709" if frame.height >= 720 else "smpte170m", transfer, primaries)
    value_range = "pc" if is_full(name) else RANGE.get(int(frame.color_range))
    return Color(value_range, MATRIX.get(int(frame.colorspace)), transfer, primaries)


def number(names: dict[int, str], name: str | None, unspecified: int = UNSPECIFIED) -> int:
    """FFmpeg's number for a name, or for "unspecified".

    >>> number(MATRIX, "bt709"), number(RANGE, None, 0)
    (1, 0)
    """
    return next((key for key, value in names.items() if value == name), unspecified)
