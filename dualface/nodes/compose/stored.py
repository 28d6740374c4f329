"""Where a crop in display orientation is in the picture as stored."""

from __future__ import annotations

import numpy as np

from dualface.graph.types import Video

Box = tuple[float, float, float, float]


def stored(crop: np.ndarray[tuple[int, ...], np.dtype[np.float32]], video: Video) -> Box:
    """A crop in display orientation as one of the picture as stored."""
    x0, y0, x1, y1 = (float(v) for v in crop)
    width, height = float(video.width), float(video.height)
    if video.rotation == 90:
        return y0, height - x1, y1, height - x0
    if video.rotation == 180:
        return width - x1, height - y1, width - x0, height - y0
    if video.rotation == 270:
        return width - y1, x0, width - y0, x1
    return x0, y0, x1, y1
