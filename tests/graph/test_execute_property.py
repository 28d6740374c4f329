"""Graphs of any shape, with any lookahead, batch, queue and failure: they end, and end well."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

from execute_fakes import (
    FakeConfig,
    Log,
    Sink,
    Source,
    Work,
    make_graph,
    make_job,
    make_plan,
    place,
    run,
    work,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FAILURES = ["init", "open", "process", "finish", "close"]


@st.composite
def graphs(draw: Any) -> Any:
    """Places of a random DAG, what each sink must see, and how many frames the source has."""
    frames = draw(st.integers(1, 40))
    log = Log()

    def config(**more: Any) -> FakeConfig:
        return FakeConfig(log, frames=frames, **more)

    places = [("n0", Source, config(), {})]
    values = {"n0": list(range(frames))}
    sinks: dict[str, list[int]] = {}
    for index in range(1, draw(st.integers(2, 8))):
        name = f"n{index}"
        what = draw(st.sampled_from([Work, Work, Work, Sink, Source]))
        if what is Source:
            places.append((name, Source, config(), {}))
            values[name] = list(range(frames))
            continue
        most = 3 if what is Work else 1
        feeds = draw(st.lists(st.sampled_from(sorted(values)), min_size=1, max_size=most))
        inputs = dict(zip("abc", feeds, strict=False))
        if what is Sink:
            places.append((name, Sink, config(write=f"{name}.mp4"), inputs))
            sinks[name] = values[feeds[0]]
            continue
        made = config(
            salt=index,
            lookahead=draw(st.integers(0, 25)),
            late=tuple(draw(st.lists(st.booleans(), min_size=1, max_size=5))),
        )
        places.append((name, Work, made, inputs))
        values[name] = work(index, [values[feed] for feed in feeds])
    return places, sinks, frames, log


plans = st.fixed_dictionaries(
    {"batch": st.integers(1, 9), "queue": st.integers(1, 3), "slots": st.integers(1, 3)}
)
cuts = st.one_of(st.none(), st.lists(st.integers(0, 8)))


def jobs_in(folder: Path) -> list[Any]:
    return [make_job(name, folder / name, index) for index, name in enumerate("abc")]


def make(places: Any, folder: Path, sizes: Any, cut: Any) -> Any:
    graph = make_graph(*(place(name, cls, config, **inputs) for name, cls, config, inputs in places))
    if cut is not None:
        cut = [at for at in cut if at < len(places)]
    return make_plan(graph, jobs_in(folder), cuts=cut, **sizes)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), plans, cuts)
def test_every_graph_gives_every_frame_in_order(made: Any, sizes: Any, cut: Any) -> None:
    places, sinks, frames, log = made
    with tempfile.TemporaryDirectory() as name:
        results = run(make(places, Path(name), sizes, cut))
        assert [(r.status, r.error) for r in results] == [("done", "")] * 3
        for job in "abc":
            assert {sink: log.seen[job, sink] for sink in sinks} == sinks
            assert files(Path(name) / job) == {f"{sink}.mp4" for sink in sinks}
        assert {(r.frames_in, r.frames_out) for r in results} == {(frames, frames)}
        assert log.opened == log.closed
        assert set(log.opened.values()) == {1}
        assert not [ref for ref in log.alive if ref() is not None]


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), plans, cuts, st.data())
def test_a_failure_anywhere_ends_that_job_only(made: Any, sizes: Any, cut: Any, data: Any) -> None:
    places, sinks, frames, log = made
    _, _, broken, _ = places[data.draw(st.integers(0, len(places) - 1), label="node")]
    broken.fail = data.draw(st.sampled_from(FAILURES), label="fail")
    if broken.fail == "process":
        broken.fail_frame = data.draw(st.integers(1, frames), label="frame")
    broken.fail_job = "b"
    with tempfile.TemporaryDirectory() as name:
        results = run(make(places, Path(name), sizes, cut))
        unhurt = "" if broken.fail == "init" else "ac"
        for result in results:
            job = result.job.name
            if job in unhurt:
                assert (result.status, result.error) == ("done", "")
                assert {sink: log.seen[job, sink] for sink in sinks} == sinks
                assert files(Path(name) / job) == {f"{sink}.mp4" for sink in sinks}
            else:
                assert result.status == "failed"
                assert f"ValueError: bad {broken.fail}" in result.error
                assert files(Path(name) / job) == set()
        assert log.opened == log.closed
        assert set(log.opened.values()) <= {1}


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), plans, cuts, st.integers(0, 20))
def test_a_stop_at_any_moment_leaves_whole_files_or_none(made: Any, sizes: Any, cut: Any, after: int) -> None:
    places, sinks, _, log = made
    stop = threading.Event()

    class Stop:
        calls = 0

        def tell(self, *_: Any) -> None:
            self.calls += 1
            if self.calls > after:
                stop.set()

        job_started = progress = event = job_finished = tell

    with tempfile.TemporaryDirectory() as name:
        for result in run(make(places, Path(name), sizes, cut), stop=stop, listener=Stop()):
            job = result.job.name
            assert result.status in ("done", "interrupted")
            whole = {f"{sink}.mp4" for sink in sinks} if result.status == "done" else set()
            assert files(Path(name) / job) == whole
            if result.status == "done":
                assert {sink: log.seen[job, sink] for sink in sinks} == sinks
        assert log.opened == log.closed
