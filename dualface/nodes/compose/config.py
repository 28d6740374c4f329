"""The options that composers share."""

from __future__ import annotations

from dataclasses import dataclass, field

from dualface.graph.node import NodeConfig
from dualface.graph.types import Layout
from dualface.nodes.compose.policy import OnError
from dualface.nodes.layout import SIDE_BY_SIDE


@dataclass
class ComposeConfig(NodeConfig):
    """Where the tiles are in the output, and what they show where something goes wrong."""

    layout: Layout = field(default_factory=lambda: SIDE_BY_SIDE)  # the output's size and tiles
    # what a tile shows whose crop or pixels are bad: last, its last good picture (wide before there is
    # one), wide, the whole picture fitted into it, or blank; fail ends the job
    on_error: OnError = "last"

    def __post_init__(self) -> None:
        for tile in self.layout.tiles:
            if any(v % 2 or v < 0 for v in (tile.x, tile.y, tile.width, tile.height)):
                raise ValueError(f"tile '{tile.name}' has an odd or negative number; 4:2:0 needs even ones")
            if tile.x + tile.width > self.layout.width or tile.y + tile.height > self.layout.height:
                size = f"{self.layout.width}x{self.layout.height}"
                raise ValueError(f"tile '{tile.name}' leaves the output of {size}")
        if self.layout.width % 2 or self.layout.height % 2:
            raise ValueError("the layout's width and height have to be even, as 4:2:0 needs")
