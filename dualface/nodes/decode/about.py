"""What a user should know about a film, by its first picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dualface.graph.types import Video
from dualface.nodes.decode.color import HDR
from dualface.nodes.decode.probe import orientation


def told_of(frame: Any, video: Video) -> Iterator[tuple[str, str]]:
    """Kinds of events and their sentences, about a film of ``video`` that begins with PyAV's ``frame``."""
    _, left_out = orientation(frame)
    if left_out:
        yield "notice", f"{left_out}, which is not done; it is turned by {video.rotation} degrees only"
    depth = max(c.bits for c in frame.format.components)
    if depth > 8:
        yield "notice", f"the video has {depth} bits a sample; the result has 8"
    if video.color.transfer in HDR:
        yield (
            "warning",
            f"the video is HDR ({video.color.transfer}); it keeps that mark with 8 bits and "
            "is not tone-mapped, so expect banding, and dull colours in players that ignore the mark",
        )
    if frame.interlaced_frame:
        combs = "it is not deinterlaced, so fast movement may show combs"
        yield "notice", f"the video is interlaced; {combs}"
