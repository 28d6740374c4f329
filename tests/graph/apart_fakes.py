"""Nodes for jobs in processes of their own: those have to be importable there."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

from dualface.graph.errors import DeviceError
from dualface.graph.node import Context, Device, Event, Node, NodeConfig
from dualface.graph.registry import node


class Numbers:
    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass
class CountConfig(NodeConfig):
    frames: int = 40
    each: float = 0.0  # seconds that a batch takes


class OneWay(Exception):
    """Can be pickled, and not be read again."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


@dataclass
class NoteConfig(NodeConfig):
    fault: str = ""  # raise, refuse, die, hang, odd, late, tell
    of: str = "b"  # the job in which that happens


def open_device(gpu: int) -> Device:
    return Device(gpu, 7)


@node("apart/count")
class Count(Node[CountConfig]):
    """The numbers from 0 on; without end where ``frames`` is 0."""

    def open(self, context: Context) -> None:
        self.context, self.next = context, 0

    def process(self) -> Numbers:
        first = self.next
        self.next += 4
        if first >= (self.config.frames or 1 << 40) or self.context.stopping():
            return None  # type: ignore[return-value]
        if not self.config.frames:
            time.sleep(0.001)  # or the queue would be all that is measured
        time.sleep(self.config.each)
        return Numbers(list(range(first, first + 4)))


@node("apart/note")
class Note(Node[NoteConfig]):
    """Writes the numbers to the job's output; says which process it is in."""

    def open(self, context: Context) -> None:
        self.context, self.seen = context, 0
        self.file = context.write_as(context.job.output).open("w")
        context.emit(Event("notice", f"device {context.device}", context.name))
        context.report("process", os.getpid())

    def process(self, a: Numbers) -> None:
        self.seen += len(a)
        self.file.write("".join(f"{n}\n" for n in a.numbers))
        self.file.flush()
        self.context.count("seen", len(a))
        fault = self.config.fault if self.context.job.name == self.config.of and self.seen > 8 else ""
        if fault == "odd":
            self.context.report("lock", threading.Lock())
            self.context.report("error", OneWay(1, 2))
            self.context.emit(Event("notice", OneWay(1, 2), self.context.name))  # type: ignore[arg-type]
            self.context.emit(Event("notice", threading.Lock(), self.context.name))  # type: ignore[arg-type]
        if fault == "late":
            emit = self.context.emit
            threading.Timer(0.5, lambda: emit(Event("notice", "late"))).start()
        if fault == "tell":
            self.context.emit(Event("notice", f"at work in {os.getpid()}", self.context.name))
            time.sleep(5)  # in which somebody may act on it
        if fault == "raise":
            raise ValueError("no more")
        if fault == "refuse":
            raise DeviceError(f"{self.context.job.input}: refused")
        if fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while fault == "hang":
            time.sleep(1)

    def close(self) -> None:
        self.file.close()
