"""The layout that nodes fall back on where their config names none."""

from dualface.graph.types import Layout, Tile

SIDE_BY_SIDE = Layout(1920, 1080, (Tile("left", 0, 0, 960, 1080), Tile("right", 960, 0, 960, 1080)))
