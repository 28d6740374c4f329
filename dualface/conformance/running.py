"""A node run through batches, and watched."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualface.conformance.made_up import Batch, length_of
from dualface.conformance.values import copied, faults, same
from dualface.graph.job import Job
from dualface.graph.node import Context, Event, NodeConfig, most_owed
from dualface.graph.registry import Kind


class Run:
    """A node running through batches, watched. ``breaches`` has what was seen. What it keeps for going
    on with is in ``unfinished``, a folder of its own unless another's is given."""

    def __init__(self, kind: Kind, config: NodeConfig, job: Job, unfinished: Path | None = None) -> None:
        self.kind, self.config, self.job = kind, config, job
        self.node = kind.cls(config)
        self.breaches: list[str] = []
        self.owed: list[Batch] = []
        self.folder = tempfile.TemporaryDirectory()
        self.unfinished = unfinished or Path(self.folder.name) / "unfinished"
        self.context = Context(
            job=job, name="checked", batch=8, threads=1, emit=self._emit, stopping=lambda: False,
            write_as=self._write_as, count=lambda name, value: None, report=lambda name, value: None,
            workspace=self._workspace,
        )  # fmt: skip

    def all(self, batches: Sequence[Batch]) -> list[Any]:
        """Open, run through all batches, finish, close; the answers in order."""
        self.start()
        return self.rest(batches)

    def start(self) -> None:
        self.node.open(self.context)

    @property
    def is_source(self) -> bool:
        return not self.kind.ports.inputs

    def rest(self, batches: Sequence[Batch]) -> list[Any]:
        """The answers to ``batches`` and all that are still owed; then close."""
        try:
            answers = self._source() if self.is_source else self._some(batches)
            return answers + self.end()
        finally:
            self.close()

    def next(self, batch: Batch | None) -> list[Any]:
        """The answers to one batch; a source is asked for its next. ``None`` is no batch."""
        if not self.is_source:
            return [] if batch is None else self._some([batch])
        answers: list[Any] = []
        if (answer := self.node.process()) is not None:
            self.owed.append({})
            self._answer(answer, answers)
        return answers

    def end(self) -> list[Any]:
        """The answers that are still owed."""
        answers: list[Any] = []
        for answer in self.node.finish():
            self._answer(answer, answers)
        if self.owed:
            self._breach(f"{len(self.owed)} batches were never answered")
        return answers

    def close(self) -> None:
        self.node.close()
        self.folder.cleanup()

    def _some(self, batches: Sequence[Batch]) -> list[Any]:
        answers: list[Any] = []
        most, longest, late = self.kind.cls.lookahead(self.config), 0, 0
        unwired = dict.fromkeys(self.kind.ports.inputs)  # what is left out is None, as in a run
        for batch in batches:
            before = {name: copied(value) for name, value in batch.items()}
            answer = self.node.process(**{**unwired, **batch})
            for name, value in batch.items():
                if not same(before[name], value):
                    self._breach(f"it changes its input '{name}'")
            if not self.kind.ports.outputs:
                if answer is not None:
                    self._breach("process gives a value, although it is annotated -> None")
                continue
            self.owed.append(batch)
            if answer is not None:
                self._answer(answer, answers)
            longest = max(longest, length_of(batch))
            if (owed := sum(map(length_of, self.owed))) > most_owed(most, longest):
                late = max(late, owed)
        if late:
            self._breach(f"up to {late} frames are unanswered, but its look-ahead is {most}")
        return answers

    def _source(self) -> list[Any]:
        answers: list[Any] = []
        most = 100 + 10 * self.job.frames if self.job.frames else None  # a job may not know its length
        while (answer := self.node.process()) is not None:
            self.owed.append({})
            self._answer(answer, answers)
            if most is not None and len(answers) > most:
                self._breach(f"the source does not end: a job of {self.job.frames} frames, {most} batches")
                break
        if not answers:
            self._breach("the source gives nothing")
        return answers

    def _answer(self, answer: Any, answers: list[Any]) -> None:
        """Check an answer to the oldest batch that has none."""
        if not self.owed:
            self._breach("there are more answers than batches")
            return
        batch = self.owed.pop(0)
        ports = self.kind.ports
        values = {name: getattr(answer, name, None) if name else answer for name in ports.outputs}
        framed = [value for value in (*batch.values(), *values.values()) if hasattr(value, "pts")]
        pts = framed[0].pts if framed else None
        length = length_of(batch or values)
        if not batch and length > (most := self.context.batch):
            self._breach(f"the source gives a batch of {length} frames, which must have 1 to {most}")
        for name, value in values.items():
            label = f"output '{name}'" if name else "its output"
            if not isinstance(value, ports.outputs[name].type.value):
                self._breach(f"{label} is a {type(value).__name__}, not {ports.outputs[name].type}")
                continue
            for fault in faults(value, length if hasattr(value, "__len__") else 0, pts):
                self._breach(f"{label}: {fault}")
        answers.append(copied(answer))

    def _emit(self, event: Event) -> None:
        if not isinstance(event, Event):
            self._breach(f"it emits a {type(event).__name__}, not an Event")

    def _write_as(self, path: Path) -> Path:
        if path not in self.kind.cls.writes(self.config, self.job):
            self._breach(f"it writes {path.name}, which writes() does not name")
        return Path(self.folder.name) / path.name

    def _workspace(self) -> Path:
        self.unfinished.mkdir(exist_ok=True)
        return self.unfinished

    def files(self) -> dict[str, bytes]:
        """What was written, by the names of the files."""
        written = (path for path in Path(self.folder.name).iterdir() if path.is_file())
        return {path.name: path.read_bytes() for path in written}

    def _breach(self, sentence: str) -> None:
        if sentence not in self.breaches:
            self.breaches.append(sentence)
