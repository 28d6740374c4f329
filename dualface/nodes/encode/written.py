"""What all nodes that write a video file have in common: the file's life, and what it is told about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from dualface.graph.job import Job
from dualface.graph.node import Context, Event, Node, NodeConfig
from dualface.nodes.encode.mux import Output, check_output


@dataclass
class WrittenConfig(NodeConfig):
    """Options of every node that writes a video file."""

    audio: Literal["copy", "none"] = "copy"  # copy every sound track bit for bit, or leave sound out


C = TypeVar("C", bound=WrittenConfig)


class Written(Node[C]):
    """A node that writes the job's output; it appears only if the whole job succeeds.

    A subclass calls `Output.finish` in its ``finish`` and then sets ``output`` to ``None``.
    """

    output: Output | None = None

    @staticmethod
    def writes(config: Any, job: Job) -> tuple[Path, ...]:
        return (job.output,)

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        return check_output(job, config.audio == "copy")

    def open(self, context: Context) -> None:
        self.context = context
        final = context.job.output
        self.output = Output(context.write_as(final), final, self.notice)

    def close(self) -> None:
        output, self.output = self.output, None
        if output is not None:
            output.abandon()

    def notice(self, message: str) -> None:
        self.context.emit(Event("notice", message, self.context.name))
