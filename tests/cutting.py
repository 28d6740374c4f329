"""Nodes broken off and gone on with: what a source gives, and what it gives after `restore`."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dualface.graph.node import Event, Node, Snapshot


def stored(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot after a way through a file."""
    file = io.BytesIO()
    np.savez(file, **snapshot)
    file.seek(0)
    with np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


@dataclass
class Given:
    """What a source gave: pictures and times, and packets, of each batch; what it told meanwhile.
    ``snapshots[i]`` was taken before batch ``i``, when ``told[i]`` events had been and the ``figures[i]``."""

    batches: list[tuple[Any, ...]]
    packets: list[tuple[Any, ...]]
    events: list[str]
    snapshots: list[dict[str, Any]]
    told: list[int]
    figures: list[dict[str, float]]

    def after(self, i: int) -> tuple[Any, ...]:
        """All that comes from batch ``i`` on."""
        counted = {k: v - self.figures[i].get(k, 0) for k, v in self.figures[-1].items()}
        rising = {name: value for name, value in counted.items() if value}
        return self.batches[i:], self.packets[i:], self.events[self.told[i] :], rising


def run(node: Node[Any], events: list[Event], figures: dict[str, float]) -> Given:
    """Run an open source to its end and close it; ``events`` and ``figures`` are where it tells."""
    given = Given([], [], [], [], [], [])
    ended = False
    while not ended:
        given.snapshots.append(stored(node.snapshot()))
        given.told.append(len(events))
        given.figures.append(dict(figures))
        out = node.process()
        ended = out is None
        if not ended:
            frames = out.frames
            pixels = zlib.crc32(np.ascontiguousarray(np.asarray(frames.data)))
            given.batches.append((frames.first, frames.pts.tolist(), pixels, frames.video))
            packets = ((p.stream.index, p.pts, p.dts, p.duration, bytes(p)) for p in out.source.packets)
            given.packets.append(tuple(packets))
    given.told.append(len(events))
    given.figures.append(dict(figures))
    given.events = [event.message for event in events]
    node.close()
    return given


def cut_everywhere(
    opened: Callable[[], tuple[Node[Any], list[Event], dict[str, float]]], step: int = 1
) -> Given:
    """Hold a source to going on from before each batch (or each ``step``-th from the last one) as if
    nothing had been. ``opened`` gives an open node, its events and its figures."""
    whole = run(*opened())
    for place in range(len(whole.batches), -1, -step):
        node, events, figures = opened()
        already = dict(figures)
        node.restore(whole.snapshots[place])
        again = run(node, events, figures)
        counted = {k: v - already.get(k, 0) for k, v in figures.items()}
        rising = {name: value for name, value in counted.items() if value}
        found = again.batches, again.packets, again.events, rising
        for ours, theirs in zip(found, whole.after(place), strict=True):
            assert ours == theirs, f"from {place} on"
    return whole
