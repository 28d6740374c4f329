"""The figures for Prometheus, on this machine only: http://127.0.0.1:PORT/metrics."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dualface.graph.errors import Problem, RequestError
from dualface.hw.sampling import MB, Sample
from dualface.hw.tally import Tally

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HOST = "127.0.0.1"
PACKAGE = "prometheus_client"


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A figure as Prometheus names it, in its base units: ratios, bytes."""

    name: str
    help: str
    scale: float = 1.0


OF_MACHINE = {
    "cpu_percent": _Gauge("cpu_usage_ratio", "CPU time in use, of all cores", 0.01),
    "process_cpu_percent": _Gauge("process_cpu_usage_cores", "Cores that dualface keeps busy", 0.01),
    "memory_used_mb": _Gauge("memory_used_bytes", "Memory in use on this machine", MB),
    "process_memory_mb": _Gauge("process_memory_bytes", "Memory of dualface with its child processes", MB),
}
OF_GPU = {
    "load_percent": _Gauge("gpu_usage_ratio", "Time in which the GPU computed", 0.01),
    "decoder_percent": _Gauge("gpu_decoder_usage_ratio", "Time in which NVDEC was busy", 0.01),
    "encoder_percent": _Gauge("gpu_encoder_usage_ratio", "Time in which NVENC was busy", 0.01),
    "vram_used_mb": _Gauge("gpu_memory_used_bytes", "VRAM in use", MB),
    "vram_total_mb": _Gauge("gpu_memory_bytes", "VRAM", MB),
    "celsius": _Gauge("gpu_temperature_celsius", "The chip's temperature"),
    "watts": _Gauge("gpu_power_watts", "Power drawn"),
    "throttled": _Gauge("gpu_throttled", "1 while the clock is held down by heat or a fault of supply"),
}


class Collector:
    """Makes Prometheus's values when they are asked for, from the last sample and the tally."""

    def __init__(self, latest: Callable[[], Sample | None], tally: Tally, folders: Sequence[Path]) -> None:
        self._latest, self._tally, self._folders = latest, tally, folders

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        tally = self._tally
        jobs = CounterMetricFamily("dualface_jobs", "Jobs that have ended", labels=["status"])
        for status, count in tally.ended.items():
            jobs.add_metric([status], count)
        yield jobs
        yield CounterMetricFamily("dualface_frames", "Frames that have passed a graph", tally.frames)
        yield GaugeMetricFamily("dualface_jobs_running", "Jobs that a slot has", len(tally.running))
        sample = self._latest()
        if sample is None:
            return
        for name, gauge in OF_MACHINE.items():
            yield from _family(gauge, "", {"": getattr(sample, name)})
        for name, gauge in OF_GPU.items():
            yield from _family(gauge, "gpu", {str(gpu.index): getattr(gpu, name) for gpu in sample.gpus})
        free = {str(folder): mb for folder, mb in zip(self._folders, sample.free_mb, strict=False)}
        yield from _family(_Gauge("disk_free_bytes", "Free space where outputs go", MB), "folder", free)


@contextlib.contextmanager
def exposed(collector: Collector, port: int) -> Iterator[int]:
    """Answer at ``port`` while the block lasts (0: at one that is free); gives the port. Raises
    `RequestError` where it cannot be had."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        message = f"port {port} cannot be opened: {os.strerror(error.errno) if error.errno else error}."
        hint = "Choose another, or monitor.port=0 for one that is free."
        raise RequestError([Problem("no-port", "monitor.port", message, hint)]) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _family(gauge: _Gauge, label: str, values: Mapping[str, float | None]) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    known: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if known:
        family = GaugeMetricFamily(f"dualface_{gauge.name}", gauge.help, labels=[label] if label else [])
        for name, value in known.items():
            family.add_metric([name] if label else [], value * gauge.scale)
        yield family
