"""The main graph on a GPU: what it makes beside the CPU's, and that no picture leaves the device."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dualface.app import main

ROOT = Path(__file__).resolve().parents[2]


def experiment(name: str) -> Any:
    """A script of experiments/ as a module."""
    spec = importlib.util.spec_from_file_location(f"experiments_{name}", ROOT / f"experiments/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def excerpt(source: Path, target: Path, seconds: float) -> Path:
    """The first ``seconds`` of a clip, packets copied."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        streams = {s.index: out.add_stream_from_template(s) for s in container.streams}
        for packet in container.demux():
            if packet.dts is not None and packet.dts * packet.time_base < seconds:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return target


def run(folder: Path, source: Path, *overrides: str) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    output = folder / "out.mp4"
    command = [f"input={source}", f"output={output}", "record=true", "quiet=true", f"hydra.run.dir={folder}"]
    assert main([*command, *overrides]) == 0
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    people = (folder / "out.people.jsonl").read_text(encoding="utf-8").splitlines()
    return output, report, [json.loads(line) for line in people]


def luma(path: Path) -> Any:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


def sound(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        return [
            (float(p.pts * p.time_base), bytes(p))
            for p in container.demux(container.streams.audio[0])
            if p.size
        ]


def test_the_same_film_as_on_the_cpu(nvdec: int, footage: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    source = excerpt(footage / "duo_1080p.mp4", tmp_path / "in.mp4", 5)
    on_gpu, report, found = run(tmp_path / "gpu", source)
    on_cpu, _, wanted = run(tmp_path / "cpu", source, "hw=cpu")
    kinds = {node["kind"] for node in report["jobs"][0]["nodes"]}
    assert {"decode/nvdec", "detect/yunet", "compose/cuda"} <= kinds
    assert report["totals"]["device_to_host_bytes"] > 0
    assert len(found) == len(wanted) > 100
    far = []
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours["pts"] == theirs["pts"]
        assert [f["person"] for f in ours["faces"]] == [f["person"] for f in theirs["faces"]]
        assert [f["side"] for f in ours["faces"]] == [f["side"] for f in theirs["faces"]]
        for side, shot in theirs["shots"].items():
            far.append(np.abs(np.subtract(ours["shots"][side], shot)).max())
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(luma(on_gpu), luma(on_cpu), strict=True)]
    worst = min(10 * np.log10(255**2 / max(error, 1e-9)) for error in errors)
    print(f"crops differ by {np.median(far):.2f} px, at most {max(far):.2f}; least PSNR {worst:.1f} dB")
    assert max(far) <= 2
    assert worst > 38
    assert sound(on_gpu) == sound(source)


def test_no_picture_crosses_the_bus(nvdec: int, footage: Path, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
    assert torch.cuda.is_available()
    source = excerpt(footage / "duo_1080p.mp4", tmp_path / "in.mp4", 5)
    seen = experiment("gpu").traced(source, ["hw=auto"])
    copies = seen["copies"]
    assert any("Memcpy" in name for name in copies), "the profiler saw nothing"
    up = sum(c["bytes_a_frame"] for name, c in copies.items() if "HtoD" in name)
    down = sum(c["bytes_a_frame"] for name, c in copies.items() if "DtoH" in name)
    picture = 1920 * 1080 * 1.5
    # Boxes and thumbnails are 3.3 KB a frame; recognition adds 12 KB for each closer look at a face, of which
    # there are some in the first seconds.
    assert down < 8192
    # Tables and weights at the start, 11 MB of them recognition's; the coded film goes by NVDEC's own way.
    assert up < picture / 20
