"""How many video engines a chip has: NVML tells what they do, not how many there are.

Counts are from NVIDIA's "Video Encode and Decode GPU Support Matrix" (developer.nvidia.com),
NVDEC and NVENC per chip. H100's seven NVDEC and missing NVENC were also seen on the card itself.
"""

from __future__ import annotations

import ctypes
import sys

# What the driver must bring beside the chip; containers often leave them out.
LIBRARIES = {
    "nvdec": ("libnvcuvid.so.1", "nvcuvid.dll"),
    "nvenc": ("libnvidia-encode.so.1", "nvEncodeAPI64.dll"),
}

# Part of the marketing name → (NVDEC, NVENC). The first that matches counts.
BY_NAME: tuple[tuple[str, tuple[int, int]], ...] = (
    ("RTX PRO 6000", (4, 4)),
    ("RTX 5090", (2, 3)),
    ("RTX 5080", (2, 2)),
    ("RTX 5070 Ti", (1, 2)),
    ("RTX 4090", (1, 2)),
    ("RTX 4080", (1, 2)),
    ("RTX 4070 Ti", (1, 2)),
    ("H200", (7, 0)),
    ("H100", (7, 0)),
    ("GH200", (7, 0)),
    ("B200", (7, 0)),
    ("A100", (5, 0)),
    ("A30", (4, 0)),
    ("L40", (3, 3)),
    ("L4", (4, 2)),
    ("A40", (2, 1)),
    ("A10", (2, 1)),
    ("T4", (2, 1)),
    ("V100", (1, 3)),
)


# Compute chips without NVENC, by compute capability: A100/A30, H100/H200, B200, B300.
WITHOUT_NVENC = frozenset({"8.0", "9.0", "10.0", "10.3"})


def engines(name: str, capability: str, encoder: bool | None) -> tuple[int, int]:
    """NVDEC and NVENC engines of the GPU called ``name``.

    ``encoder`` is what NVML says about H.264 encoding (``None``: it would not say). A "yes" is
    believed only of chips that are not known better: on an H100 (driver 580) NVML gives an
    encoder capacity of 100 although the chip has no encoder. An unknown chip counts as the
    smallest of its kind: one NVDEC, and one NVENC where it can encode.

    >>> engines("NVIDIA GeForce RTX 5090", "12.0", True), engines("NVIDIA H100 80GB HBM3", "9.0", True)
    ((2, 3), (7, 0))
    """
    words = f"{name} "
    for part, (decode, encode) in BY_NAME:
        # "L4" is not "L40", and "A10" is not "A100"; "L40S" is an L40, "A10G" an A10.
        if any(f"{part}{end}" in words for end in (" ", "-", "S ", "G ")):
            return decode, encode if encoder is not False else 0
    return 1, 1 if encoder and capability not in WITHOUT_NVENC else 0


def has_library(feature: str) -> bool:
    """Whether the driver's library for ``nvdec`` or ``nvenc`` can be loaded here."""
    unix, windows = LIBRARIES[feature]
    try:
        ctypes.CDLL(windows if sys.platform == "win32" else unix)
    except OSError:
        return False
    return True
