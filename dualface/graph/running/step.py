"""One node at work in one job: it is asked batch by batch and held to the node contract."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from dualface.graph.dag import Graph, GraphNode
from dualface.graph.errors import InputError
from dualface.graph.failures import Failure, failure_of
from dualface.graph.faults import Injector, Moment
from dualface.graph.node import Node, Snapshot, Stateless, most_owed
from dualface.graph.recovery import IN_PLACE, Action, Decision
from dualface.graph.running.answer import Unfit, outputs_of
from dualface.graph.running.batch import Batch, Value
from dualface.graph.running.boundary import Boundary, Times
from dualface.graph.running.channel import Aborted
from dualface.graph.running.checkpoint import Part
from dualface.graph.running.outcome import NodeUse
from dualface.graph.running.repeat import last_of, repeated
from dualface.graph.running.rescue import Rescue

LARGE = 1 << 16  # bytes of a state that is too much to keep for each batch


class NodeFailed(Exception):
    """A node raised, or broke the contract. The text is a sentence that names the node; the
    cause, where there is one, is what it raised."""


class Step:
    """A node and the batches that it has not answered yet, oldest first.

    A node that nothing feeds is a source; one without outputs is there for its effect and lets
    every batch pass. A batch that the node fails at is kept until ``rescue`` has nothing more to try
    in place; then ``failure`` says what went wrong, and ``decision`` what else may be done.
    """

    def __init__(
        self,
        place: GraphNode,
        graph: Graph,
        readers: Mapping[Value, int],
        rescue: Rescue,
        faults: Injector | None = None,
    ) -> None:
        self.place = place
        self.edges = graph.into(place.name)
        self.is_source = not self.edges
        self.made = 0  # frames made, by a source
        self._drawn = False  # whether it made batches of its own
        self.inside = ""  # which call of the node is going on: "to open", "at frame 40"
        self.moved = 0  # grows with every call that begins or ends
        self.counted: dict[str, float] = defaultdict(float)
        self.reported: dict[str, Any] = {}
        self.failure: Failure | None = None
        self.decision: Decision | None = None
        self._readers = readers
        self._rescue, self._faults = rescue, faults
        self._in_place = rescue.in_place(place)
        self._context: Any = None
        self._left = False  # behind, in a call that did not come back
        self._last: dict[str, Any] | None = None  # the last good frame, where that may be repeated
        self._node: Node[Any] | None = None
        wired = {edge.input for edge in self.edges}
        self._unwired = dict.fromkeys(name for name in place.kind.ports.inputs if name not in wired)
        self._boundary = Boundary(place.outputs)
        self._unanswered: deque[tuple[Batch, Times]] = deque()
        self._owed = 0  # frames in them
        self._longest = 0  # frames in the largest batch so far
        self._calls = 0
        self._seconds = self._cpu_seconds = 0.0

    def __str__(self) -> str:
        return f"node '{self.place.name}' ({self.place.kind.name})"

    # the life of a node

    def create(self) -> None:
        self._node = self._guard("to start", lambda: self.place.kind.cls(self.place.config))

    def open(self, context: Any) -> None:
        self._context = context
        self._guard("to open", lambda: self.node.open(context), "open")

    def close(self) -> None:
        """Close the node and forget it, with the batches it did not answer."""
        self._unanswered.clear()
        self._last = None
        self._close()

    def leave(self) -> bool:
        """Whether a call of the node is going on, which is then left to close the node when it comes back,
        if ever."""
        if not self.inside:
            return False
        self._left = True
        return bool(self.inside)

    def come_back(self) -> None:
        """Called on the thread of a node's stage when that ends."""
        if self._left:
            with contextlib.suppress(InputError, NodeFailed):  # nobody listens any more
                self.close()

    def _close(self) -> None:
        node, self._node = self._node, None
        if node is not None:  # it could not be made again
            self._guard("to close", node.close, "close")

    @property
    def node(self) -> Node[Any]:
        assert self._node is not None
        return self._node

    # segments

    def snapshot(self) -> Part | None:
        """The node's state and what it owes; None where it has a state but no snapshot of it."""
        arrays = self._guard("while its state was kept", lambda: dict(self.node.snapshot()))
        stateless = isinstance(self.place.state, Stateless) and not self.is_source
        if not arrays and not stateless:
            return None
        owed = tuple((batch.first, batch.length, times) for batch, times in self._unanswered)
        return Part(self.use(), arrays, owed, dict(self._boundary.last), self._longest)

    def takes(self, part: Part) -> bool:
        """Whether the node can go on from ``part``."""
        kind = self.place.kind
        return part.use.kind in {kind.name, *kind.cls.takes_over} or not (part.snapshot or part.owed)

    def restore(self, part: Part, frame: int) -> None:
        """Go on from ``part``; ``frame`` is the first that a source is to make."""
        self._guard("while taking up its state", lambda: self.node.restore(part.snapshot))
        use = part.use
        self.counted.update(use.counted)
        self.reported.update(use.reported)
        self._calls, self._seconds, self._cpu_seconds = use.calls, use.seconds, use.cpu_seconds
        self._longest = part.longest
        self._boundary.last.update(part.last)
        if self.is_source:
            self.made = frame
        for first, length, times in part.owed:
            self._unanswered.append((Batch(first, length, {}, past=True), times))
            self._owed += length

    # batches

    def produce(self, most: int) -> Batch | None:
        """Ask a source for its next batch, of 1 to ``most`` frames; ``None`` is the end."""
        self._drawn = True
        answer = self._ask(self._unwired, self.made)
        if answer is None:
            return None
        outputs = self._outputs(answer)
        length = next((len(v) for v in outputs.values() if hasattr(v, "__len__")), 1)
        if not 1 <= length <= most:
            raise self._broke(f"gave a batch of {length} frames, which must have 1 to {most}")
        batch = Batch(self.made, length, self._readers)
        self._fill(batch, outputs, ())
        self.made += length
        return batch

    def push(self, batch: Batch) -> Batch | None:
        """Give the node ``batch``; what comes back is the oldest unanswered one, answered."""
        inputs = {**self._unwired, **batch.take(self.edges)}
        times = self._boundary.times(inputs)
        answer = self._rescued(inputs, batch) if self._in_place else self._ask(inputs, batch.first)
        del inputs  # or they would live until the answer is dealt with
        if not self.place.outputs:
            if answer is not None:
                raise self._broke(f"has no outputs, but answered with {type(answer).__name__}")
            return batch
        if self.is_source and answer is None:
            raise self._broke(f"has only {batch.first} frames, fewer than the graph's first source")
        self._unanswered.append((batch, times))
        self._owed += batch.length
        self._longest = max(self._longest, batch.length)
        answered = None if answer is None else self._answer(answer)
        if self._owed > most_owed(self.place.lookahead, self._longest):
            allowed = f"its lookahead is {self.place.lookahead}"
            raise self._broke(
                f"keeps {self._owed} frames unanswered after frame {batch.first}, but {allowed}"
            )
        return answered

    def finish(self) -> Iterator[Batch]:
        """The batches still unanswered, as the node answers them."""
        # A source that was pushed made no batches of its own: it must end with the one that did.
        follows = self.is_source and self.place.outputs and not self._drawn
        if follows and self._ask(self._unwired, None) is not None:
            raise self._broke("has more frames than the graph's first source")
        answers = self._guard("while finishing", lambda: iter(self.node.finish()), "finish")
        end = object()
        while (answer := self._timed("while finishing", lambda: next(answers, end))) is not end:
            if not self._unanswered:
                raise self._broke("answers more batches than it was given")
            batch = self._answer(answer)
            del answer  # or it would live until the next one is asked for
            yield batch
        if self._unanswered:
            raise self._broke(
                f"never answered the {self._owed} frames from {self._unanswered[0][0].first} on"
            )

    def use(self) -> NodeUse:
        return NodeUse(
            self.place.name,
            self.place.kind.name,
            self._calls,
            self._seconds,
            self._cpu_seconds,
            dict(self.counted),
            dict(self.reported),
        )

    def _answer(self, answer: Any) -> Batch:
        batch, times = self._unanswered.popleft()
        self._owed -= batch.length
        self._fill(batch, self._outputs(answer), times)
        return batch

    def _fill(self, batch: Batch, outputs: Mapping[str, Any], times: Times) -> None:
        for name, value in outputs.items():
            if hasattr(value, "__len__") and len(value) != batch.length:
                label = f" in '{name}'" if name else ""
                asked = f"{batch.length} from frame {batch.first}"
                raise self._broke(f"answered {len(value)} frames{label} where it was asked for {asked}")
        if wrong := self._boundary.fault(outputs, times):
            raise self._broke(f"{wrong}, at frame {batch.first}")
        if "skip" in self._in_place:
            self._last = last_of(outputs)
        batch.put(self.place.name, outputs)

    def _outputs(self, answer: Any) -> dict[str, Any]:
        try:
            return outputs_of(answer, self.place.outputs)
        except Unfit as error:
            raise self._broke(str(error)) from None

    # recoveries in place

    def _rescued(self, inputs: Mapping[str, Any], batch: Batch) -> Any:
        """The node's answer to ``batch``, after all that the rules try in place where it fails."""
        before = None if isinstance(self.place.state, Stateless) else self._state()
        if before is not None and sum(value.nbytes for value in before.values()) > LARGE:
            self._in_place = frozenset()  # from now on
        trying: Decision | None = None
        while True:
            try:
                if trying is not None:
                    self._begin(trying, before, batch.first)
                if trying is not None and trying.action == "skip":
                    return self._skipped(inputs, batch)
                answer = self._ask(inputs, batch.first)
                break
            except (InputError, NodeFailed):
                trying = self._decide(batch, inputs)
                if trying.action not in IN_PLACE:
                    raise
        if trying is not None:
            self.failure = self.decision = None
        return answer

    def _state(self) -> Snapshot:
        """The node's state, as it is now whatever the node does next."""
        taken = self._timed("to give its state", lambda: self.node.snapshot())
        return {name: np.array(value) for name, value in taken.items()}

    def _decide(self, batch: Batch, inputs: Mapping[str, Any]) -> Decision:
        assert self.failure is not None
        able: set[Action] = {"retry", "reopen"}
        if self._last is not None and not (self._unanswered or self.place.lookahead):
            able.add("skip")
        self.decision = self._rescue.decide(self.place, self.failure, able & self._in_place)
        return self.decision

    def _begin(self, decision: Decision, before: Snapshot | None, frame: int) -> None:
        """Make the node ready for what is tried next: a node with state takes up that of before, which it
        can do only once in its life, so that it is another one."""
        if not self._rescue.begin(decision, str(self), frame):
            raise Aborted
        if decision.action != "reopen" and before is None:
            return
        with contextlib.suppress(InputError, NodeFailed):  # it has failed already
            self._close()
        self.create()
        self.open(self._context)
        if before is not None:
            self._guard("to take up its state", lambda: self.node.restore(before))

    def _skipped(self, inputs: Mapping[str, Any], batch: Batch) -> Any:
        """An answer that repeats the last good frame."""
        assert self._last is not None
        made = repeated(self._last, batch.length, inputs)
        if made is None:
            raise NodeFailed(f"{self} has no times for the frames from {batch.first} on to be repeated with")
        self.failure = self.decision = None
        return made[""] if "" in made else namedtuple("Repeated", made)(**made)

    def _ask(self, inputs: Mapping[str, Any], frame: int | None) -> Any:
        self._calls += 1
        when = "at the end" if frame is None else f"at frame {frame}"
        if self._faults is None:
            return self._timed(when, lambda: self.node.process(**inputs))
        faults = self._faults

        def faulty() -> Any:
            faults.before("process", frame)
            return faults.after(frame, self.node.process(**inputs))

        return self._timed(when, faulty)

    def _timed(self, when: str, call: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return self._guard(when, call)
        finally:
            self._seconds += time.perf_counter() - wall
            self._cpu_seconds += time.thread_time() - cpu

    def _guard(self, when: str, call: Callable[[], Any], at: Moment | None = None) -> Any:
        self.inside = when
        self.moved += 1
        try:
            if at is not None and self._faults is not None:
                self._faults.before(at, None)
            return call()
        except BaseException as error:  # a node that exits must not take a thread down unseen
            if at != "close" or self.failure is None:  # what fails once it is over only follows
                self.failure = failure_of(error)
            if isinstance(error, InputError):
                raise
            text = " ".join(str(error).split())
            told = f"{type(error).__name__}: {text}" if text else type(error).__name__
            raise NodeFailed(f"{self} failed {when}: {told}") from error
        finally:
            self.inside = ""
            self.moved += 1

    def _broke(self, what: str) -> NodeFailed:
        return NodeFailed(f"{self} {what}; this is a bug of the node.")
