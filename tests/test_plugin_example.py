"""Packages from outside: the example plugin, and the one that the guide tells one to write.

They are installed into a folder of their own, without a network, and used through the command line.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "write-a-node.md"
Command = Callable[..., subprocess.CompletedProcess[str]]


def install(package: Path, site: Path) -> Command:
    """Install ``package`` into ``site``; answers with a way to run Python modules that see it."""
    where = str(site)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", where]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, str(package)], check=True)
    path = os.pathsep.join([where, str(ROOT)])

    def run(*words: str, cwd: Path = package) -> subprocess.CompletedProcess[str]:
        environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": path}
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8"
        )

    return run


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of grey in which one bright square moves on the left."""
    path = tmp_path_factory.mktemp("clip") / "square.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for i in range(25):
            picture = np.full((180, 320, 3), 90, np.uint8)
            picture[60:100, 20 + 3 * i : 60 + 3 * i] = 220
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_the_example_plugin_is_found_and_runs(tmp_path: Path, clip: Path) -> None:
    run = install(ROOT / "examples" / "plugin", tmp_path / "site")
    app = str(ROOT / "run.py")

    listed = run(app, "action=nodes", cwd=tmp_path)
    assert re.search(r"^detect/motion +dualface-motion ", listed.stdout, re.MULTILINE), listed.stderr
    assert run(app, "action=nodes", "kind=detect/motion", cwd=tmp_path).stdout.startswith("detect/motion\n")

    pinned = "node/detect@graph.nodes.detect=motion"
    done = run(app, "graph=inspect", pinned, f"input={clip}", "output=seen.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    assert len(lines) == 25
    x0, y0, x1, y1 = lines[-1]["faces"][0]["box"]
    assert x0 < 20 + 3 * 24 + 20 < x1  # the square's centre in the last frame
    assert y0 < 80 < y1

    done = run(app, pinned, f"input={clip}", "output=split.mp4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "split.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) == 25


def test_the_example_plugin_passes_its_own_tests(tmp_path: Path) -> None:
    plugin = ROOT / "examples" / "plugin"
    run = install(plugin, tmp_path / "site")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(plugin / "tests"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_example_plugin_is_short() -> None:
    files = (ROOT / "examples" / "plugin").rglob("*.py")
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) < 60


def test_the_guide_says_what_happens(tmp_path: Path, clip: Path) -> None:
    """Follow docs/write-a-node.md to the letter, with a shorter video than its demo."""
    text = GUIDE.read_text(encoding="utf-8")
    folder = tmp_path / "colour"
    for name, body in re.findall(r"^```\w+ title=(\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(body, encoding="utf-8")
    (folder / "dualface_colour/conf/__init__.py").touch()
    (later,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    project = folder / "pyproject.toml"
    first = '"look/colour" = "dualface_colour:Colour"\n'
    project.write_text(project.read_text(encoding="utf-8").replace(first, first + later), encoding="utf-8")
    run = install(folder, tmp_path / "site")

    commands = [
        shlex.split(line.replace("input=demo", f"input={clip}"))
        for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    programs = {"dualface": [str(ROOT / "run.py")], "pytest": ["-m", "pytest"]}
    followed = [words for words in commands if words[0] in programs]
    assert len(followed) == 7
    for words in followed:
        done = run(*programs[words[0]], *words[1:], cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    with av.open(str(folder / "outputs" / "square_dual.mp4")) as made:
        assert sum(1 for _ in made.decode(video=0)) == 25

    asked, answer = re.findall(r"^```console\n\$ (.*?)\n(.*?)\n```$", text, re.MULTILINE)[0]
    refused = run(
        *programs["dualface"], *shlex.split(asked.replace("input=demo", f"input={clip}"))[1:], cwd=folder
    )
    assert refused.returncode == 2
    assert refused.stderr.strip() == answer
