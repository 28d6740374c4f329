"""The thread that looks, and the port where others look."""

from __future__ import annotations

import threading
import urllib.request
from pathlib import Path

import pytest
from test_hw_pacing import JOBS, Quiet

from dualface.graph.errors import RequestError
from dualface.graph.running.outcome import JobResult
from dualface.hw.monitor import Monitor
from dualface.hw.sampling import Gpu, Sample
from dualface.hw.tally import Tally

WAIT = 30.0


def test_it_looks_before_within_and_at_the_end() -> None:
    heard: list[Sample] = []
    threads, enough, count = set(), threading.Event(), iter(range(1000))

    def look() -> Sample:
        threads.add(threading.current_thread().name)
        n = next(count)
        return Sample(n, cpu_percent=n, gpus=(Gpu(0, throttle=("power cap",) if n else ()),))

    def hear(sample: Sample) -> None:
        heard.append(sample)
        if len(heard) == 4:
            enough.set()

    monitor = Monitor(look, 0.01, hear)
    with monitor:
        assert heard
        assert enough.wait(WAIT)
    seen = len(heard)
    told = monitor.told()
    assert threads == {"monitor"}
    assert monitor.latest is heard[-1]
    assert told["samples"] == seen
    assert told["figures"]["cpu_percent"]["max"] == seen - 1
    assert told["throttle_reasons"] == {"gpu0 power cap": (seen - 1) / seen}
    assert told["cpu_seconds"] >= 0
    assert "fault" not in told


def test_a_short_run_is_looked_at_twice() -> None:
    monitor = Monitor(lambda: Sample(0.0), 3600, lambda sample: None)
    with monitor:
        pass
    assert monitor.told()["samples"] == 2


def test_a_look_that_fails_holds_nobody_up() -> None:
    heard: list[Sample] = []
    looks = iter([Sample(0.0, free_mb=(1.0,))])
    monitor = Monitor(lambda: next(looks), 0.01, heard.append)
    with monitor:
        monitor._thread.join(WAIT)
    assert [sample.free_mb for sample in heard] == [(1.0,), ()]
    assert monitor.told()["fault"].startswith("StopIteration")


def test_a_driver_that_does_not_answer_holds_up_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualface.hw.monitor.PATIENCE", 0.05)
    hangs = threading.Event()

    def look() -> Sample:
        hangs.wait(WAIT)
        return Sample(0.0)

    with Monitor(look, 1, lambda sample: None):
        pass
    hangs.set()


@pytest.fixture
def tally() -> Tally:
    made = Tally(Quiet(), failed=2)
    made.job_started(JOBS[0], "a")
    made.job_started(JOBS[1], "b")
    made.progress(JOBS[0], 7)
    made.job_finished(JobResult(JOBS[0], "done"))
    return made


def test_prometheus_reads_what_was_seen_last(tally: Tally) -> None:
    pytest.importorskip("prometheus_client", reason="the extra 'monitor' is not installed")
    from prometheus_client.parser import text_string_to_metric_families

    from dualface.hw.exposition import Collector, exposed

    gpu = Gpu(0, 40, None, 20, 1024, 2048, 55, 210, ("thermal slowdown",))
    sample = Sample(0.0, 50, 150, 100, 10, (3.0, None), (gpu,))
    collector = Collector(lambda: sample, tally, [Path("/a b"), Path("/y")])
    with exposed(collector, 0) as port:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT).read().decode()
    values = {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }
    assert values == {
        ("dualface_jobs_total", "done"): 1,
        ("dualface_jobs_total", "failed"): 2,
        ("dualface_jobs_total", "interrupted"): 0,
        ("dualface_frames_total",): 7,
        ("dualface_jobs_running",): 1,
        ("dualface_cpu_usage_ratio",): 0.5,
        ("dualface_process_cpu_usage_cores",): 1.5,
        ("dualface_memory_used_bytes",): 100 << 20,
        ("dualface_process_memory_bytes",): 10 << 20,
        ("dualface_gpu_usage_ratio", "0"): 0.4,
        ("dualface_gpu_encoder_usage_ratio", "0"): 0.2,
        ("dualface_gpu_memory_used_bytes", "0"): 1 << 30,
        ("dualface_gpu_memory_bytes", "0"): 2 << 30,
        ("dualface_gpu_temperature_celsius", "0"): 55,
        ("dualface_gpu_power_watts", "0"): 210,
        ("dualface_gpu_throttled", "0"): 1,
        ("dualface_disk_free_bytes", "/a b"): 3 << 20,
    }
    with pytest.raises(OSError, match="refused"):  # and gone afterwards
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT)


def test_it_answers_on_loopback_alone(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    prometheus = pytest.importorskip("prometheus_client", reason="the extra 'monitor' is not installed")
    from dualface.hw.exposition import Collector, exposed

    asked: list[object] = []
    start = prometheus.start_http_server

    def noted(*args: object, **options: object) -> object:
        made = start(*args, **options)
        asked.append(made[0].server_address[0])
        return made

    monkeypatch.setattr(prometheus, "start_http_server", noted)
    with exposed(Collector(lambda: None, tally, []), 0):
        assert asked == ["127.0.0.1"]


def test_a_port_that_is_taken_is_a_sentence(tally: Tally) -> None:
    pytest.importorskip("prometheus_client", reason="the extra 'monitor' is not installed")
    from dualface.hw.exposition import Collector, exposed

    collector = Collector(lambda: None, tally, [])
    with exposed(collector, 0) as port, pytest.raises(RequestError) as told, exposed(collector, port):
        pass
    assert str(told.value) == (
        f"monitor.port: port {port} cannot be opened: Address already in use. "
        "Choose another, or monitor.port=0 for one that is free. [no-port]"
    )
