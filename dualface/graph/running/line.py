"""A job's line of stages: threads joined by bounded queues.

Every batch passes all stages in order, so there is nothing to merge and no way for a fan-out to
wait for itself: the last stage can always go on, and each stage before it as soon as the next has
room. A node that answers later keeps its unanswered batches to itself (`Step`), not in a queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.graph.plan import Pipeline
from dualface.graph.running.batch import Batch
from dualface.graph.running.channel import Aborted, Channel
from dualface.graph.running.checkpoint import Mark, Segments
from dualface.graph.running.outcome import QueueUse
from dualface.graph.running.step import Step

POLL = 0.05  # seconds between two looks at the stop event


class Line:
    """The steps of one job in their stages, ready to run once.

    ``delivered`` is called on the last stage's thread with the number of frames that have
    passed the last node, and ``keep`` there with each mark once all nodes have added their state to it;
    ``pause`` on the source's before each batch (see `Pauses`). Steps must be open when `run` is called and
    are left open.
    """

    def __init__(
        self,
        job: Job,
        pipeline: Pipeline,
        steps: Sequence[Step],
        delivered: Callable[[int], None],
        segments: Segments | None = None,
        keep: Callable[[Mark], None] | None = None,
        pause: Callable[[threading.Event], None] = lambda ended: None,
    ) -> None:
        by_name = {step.place.name: step for step in steps}
        stages = [(stage, [by_name[node] for node in stage.nodes]) for stage in pipeline.stages]
        self.job = job
        self.batch = pipeline.batch
        self.frames_out = 0
        self.failure: BaseException | None = None
        self.held = False  # whether the source is held back on purpose, which is no stall
        self._aborted = threading.Event()
        self._left = False  # threads that do not come back are left behind
        self._failing = threading.Lock()
        self._delivered = delivered
        self._segments, self._keep = segments, keep
        self._last = steps[-1] if steps else None
        self._pause = pause
        self._channels = [Channel(stage.name, pipeline.queue) for stage, _ in stages[1:]]
        ends = list(zip([None, *self._channels], [*self._channels, None], strict=True))
        self._works = list(zip((own for _, own in stages), ends, strict=True))
        self.threads = [
            threading.Thread(
                target=self._work, args=(own, *joints), name=f"{job.name}/{stage.name}", daemon=True
            )
            for (stage, own), joints in zip(stages, ends, strict=True)
        ]

    @property
    def aborted(self) -> bool:
        """Whether the job is being abandoned; nodes see this as ``Context.stopping``."""
        return self._aborted.is_set()

    def run(self, stop: threading.Event) -> bool:
        """Run until the source ends, a node fails (see ``failure``) or ``stop`` is set.

        True if every batch passed every node. All threads have ended on return: they are woken
        from any queue, and only a call inside a node can hold them; see `leave`.
        """
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            while thread.is_alive() and not self._left:
                if stop.is_set():
                    self.abort()
                thread.join(POLL)
        return not self.aborted

    def abort(self, failure: BaseException | None = None) -> None:
        """Abandon the job. The first failure is kept: later ones follow from it."""
        with self._failing:
            if self.aborted:
                return
            self.failure = failure
            self._aborted.set()
        for channel in self._channels:
            channel.abort()

    def leave(self) -> None:
        """Abandon the job, and no longer wait for threads that are inside a node."""
        self.abort()
        self._left = True

    def work_of(self, thread: threading.Thread) -> tuple[Sequence[Step], str]:
        """The steps of a stage's thread, and what it waits for, as a clause, unless that is a node."""
        steps, (inbox, outbox) = self._works[self.threads.index(thread)]
        if inbox is not None and inbox.getting:
            return steps, "waits for a batch"
        if outbox is not None and outbox.putting:
            return steps, f"waits for room before {outbox.stage}"
        return steps, ""

    def wait(self, seconds: float) -> bool:
        """Wait so long, but no longer than until the job is being abandoned, which it tells."""
        return self._aborted.wait(seconds)

    def queues(self) -> tuple[QueueUse, ...]:
        return tuple(channel.use() for channel in self._channels)

    def _work(self, steps: Sequence[Step], inbox: Channel | None, outbox: Channel | None) -> None:
        try:
            if inbox is None:
                self._draw(steps, outbox)
            else:
                while (batch := inbox.get()) is not None:
                    self._pass(batch, steps, outbox)
            for index, step in enumerate(steps):
                for batch in step.finish():
                    if not batch.past:
                        self._pass(batch, steps[index + 1 :], outbox)
            if outbox is not None:
                outbox.end()
        except Aborted:
            pass
        except BaseException as error:  # whatever it is, the other stages must not wait for this one
            self.abort(error)
        finally:
            for step in steps:
                step.come_back()

    def _draw(self, steps: Sequence[Step], outbox: Channel | None) -> None:
        source, before = steps[0], None
        while True:
            self.held = True
            self._pause(self._aborted)
            self.held = False
            if self._segments is not None:
                before = source.snapshot()
            batch = source.produce(self.batch)
            if batch is None:
                break
            if self._segments is not None:
                batch.mark = self._segments.mark(batch)
            if batch.mark is not None and before is not None:
                batch.mark.parts[source.place.name] = before
            self._pass(batch, steps[1:], outbox)
            del batch  # or its pictures would live through a pause
        if source.made == 0 and not self.aborted:
            raise InputError(f"{self.job.input}: has no frames")

    def _pass(self, batch: Batch, steps: Sequence[Step], outbox: Channel | None) -> None:
        """Take ``batch``, or the older one that each node answers instead, through ``steps``."""
        current = batch
        for step in steps:
            if self.aborted:
                raise Aborted
            if current.mark is not None:
                self._add(current, current.mark, step)
            answered = step.push(current)
            if answered is None or answered.past:
                return
            current = answered
        if outbox is not None:
            outbox.put(current)
        else:
            if self.aborted:
                raise Aborted
            self.frames_out += current.length
            self._delivered(self.frames_out)

    def _add(self, batch: Batch, mark: Mark, step: Step) -> None:
        """Add the state of ``step`` to ``mark``. Where it has none to give, there is no checkpoint, but
        all others end their segment all the same: segments are the same in every run."""
        part = step.snapshot()
        if part is not None:
            mark.parts[step.place.name] = part
        if step is self._last and self._keep is not None:
            self._keep(mark)
