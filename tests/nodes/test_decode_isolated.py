"""decode/pyav with isolate=true: the same batches, and what brings the process down is a sentence."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from media import Film, Ran, Sound, context, make

from dualface.graph.errors import InputError
from dualface.graph.job import Job
from dualface.nodes.decode import isolated
from dualface.nodes.decode.isolated import Prober
from dualface.nodes.decode.plain import job_from, plain_job
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode

# Put in front of the process's own beginning, to do what a broken codec does.
BROKEN = """
import os, signal, time
from dualface.nodes.decode import isolated_child, pyav
def broken(self, *given):
    {}
"""


def given(path: Path, *, isolate: bool, before: Any = None, stop: int = 99) -> tuple[list[Any], Any]:
    """Batches of ``path``, from a snapshot on, until so many; with the snapshot then."""
    job = look(path)
    node = PyavDecode(PyavConfig(isolate=isolate))
    node.open(context(job, "decode", Ran(job, [], {}, []), 4))
    if before is not None:
        node.restore(before)
    came: list[Any] = []
    try:
        while len(came) < stop and (out := node.process()) is not None:
            packets = [(p.stream.index, p.pts, bytes(p)) for p in out.source.packets]
            came.append((out.frames.data.tobytes(), out.frames.pts.tolist(), out.frames.first, packets))
        return came, node.snapshot()
    finally:
        node.close()


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_it_goes_on_from_a_snapshot_with_and_without(tmp_path: Path, stop: int) -> None:
    path = make(tmp_path / "a.mp4", Film(times=range(18), options={"g": "6"}, sounds=[Sound()]))
    whole, _ = given(path, isolate=False)
    for first, then in ((True, True), (True, False), (False, True)):
        head, between = given(path, isolate=first, stop=stop)
        tail, _ = given(path, isolate=then, before=between)
        assert head + tail == whole


CRASH = "os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "time.sleep(600)"
EAT = "self.eaten = [bytearray(1 << 24) for _ in range(200)]"


def sabotage(monkeypatch: pytest.MonkeyPatch, what: str, where: str = "pyav.PyavDecode._decode") -> None:
    before, rest = isolated.START.split("from dualface", 1)
    monkeypatch.setattr(
        isolated, "START", f"{before}\n{BROKEN.format(what)}\n{where} = broken\nfrom dualface{rest}"
    )


def look(path: Path) -> Job:
    return probe(path, output=path.with_suffix(".out.mp4"), name="x")


def took(path: Path, *, isolate: bool, batch: int = 4, threads: int = 2, **options: Any) -> tuple[Any, ...]:
    """All that comes of a file, as plain values."""
    job = look(path)
    ran = Ran(job, [], {}, [])
    node = PyavDecode(PyavConfig(isolate=isolate, **options))
    node.open(context(job, "decode", ran, batch, threads))
    pictures, packets, media = [], [], None
    try:
        while (given := node.process()) is not None:
            frames, media = given.frames, given.source.media
            pictures.append((frames.data.copy(), frames.pts.tolist(), frames.video, frames.first))
            packets.append(
                [(p.stream.index, p.pts, p.dts, p.is_discard, bytes(p)) for p in given.source.packets]
            )
    finally:
        node.close()
    events = [(event.kind, event.message, event.node, event.frame) for event in ran.events]
    assert media is not None
    return pictures, packets, events, ran.figures, media.last_length, media.ends_damaged


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    pictures = all(
        np.array_equal(a[0], b[0]) and a[1:] == b[1:] for a, b in zip(one[0], other[0], strict=True)
    )
    return pictures and one[1:] == other[1:]


def children() -> list[int]:
    """The processes that decode. (Python keeps one for itself once a test has used multiprocessing.)"""
    found = psutil.Process().children(recursive=True)
    return [child.pid for child in found if "resource_tracker" not in " ".join(child.cmdline())]


FILMS = {
    "plain.mp4": Film(times=range(19), sounds=[Sound(), Sound("ac3", start=0.2)]),
    "odd.mkv": Film(
        size=(161, 121), codec="ffv1", pixels="yuv444p", times=[0, 3, 4, 9], sounds=[Sound("flac")]
    ),
    "turned.mov": Film(rotation=90, pixels="yuv420p10le", color=(1, 9, 16, 9), sounds=[Sound("pcm_s16le")]),
    "edit.mp4": Film(times=range(-6, 20), options={"bf": "2", "g": "10"}, sounds=[Sound(start=-0.3)]),
    "silent.avi": Film(codec="mpeg4"),
}


@pytest.mark.parametrize("name", FILMS)
def test_the_same_as_without(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, FILMS[name])
    handles = os.listdir("/proc/self/fd")
    assert same(took(path, isolate=False), took(path, isolate=True))
    assert os.listdir("/proc/self/fd") == handles
    assert children() == []


@pytest.mark.parametrize("damage", ["cut off", "broken", "grows"])
def test_the_same_as_without_of_damaged_files(tmp_path: Path, damage: str) -> None:
    path = make(tmp_path / "a.ts", Film(times=range(60), sounds=[Sound("mp2", seconds=2)]))
    data = bytearray(path.read_bytes())
    if damage == "cut off":
        del data[len(data) * 2 // 3 :]
    elif damage == "broken":
        for at in range(len(data) // 3, len(data) * 2 // 3, 700):
            data[at] ^= 0x55
    else:
        data += make(tmp_path / "b.ts", Film(size=(320, 180))).read_bytes()
    path.write_bytes(data)
    # With more threads, FFmpeg makes what is missing up differently each time.
    plain, apart = (took(path, isolate=isolate, batch=8, threads=1) for isolate in (False, True))
    assert plain[2]  # there is something to be told
    assert same(plain, apart)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (CRASH, r"the decoder crashed on it \(Segmentation fault\)"),
        (HANG, "decoding it stands still, for 1.5 s; given up"),
        (EAT, "decoding it needs too much memory"),
        ("os._exit(3)", "the decoder's process ended on it, with code 3"),
        ("raise KeyError('x')", "the decoder's process ended on it, with code 1"),
    ],
)
def test_what_brings_it_down_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, says: str
) -> None:
    path = make(tmp_path / "a.mp4", Film(sounds=[Sound()]))
    sabotage(monkeypatch, what)
    handles = os.listdir("/proc/self/fd")
    patience = 1.5 if what is HANG else 60.0
    with pytest.raises(InputError, match=says) as caught:
        took(path, isolate=True, isolate_mb=512, isolate_seconds=patience)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir("/proc/self/fd") == handles
    assert children() == []


def test_it_ends_with_who_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in the middle of a codec that does not come back, and when that one was killed."""
    sabotage(monkeypatch, HANG)
    path = make(tmp_path / "a.mp4")
    job = look(path)
    parent = os.fork()
    if parent == 0:
        node = PyavDecode(PyavConfig(isolate=True))
        node.open(context(job, "decode", Ran(job, [], {}, [])))
        os._exit(0)
    child = None
    while child is None:
        child = next(iter(psutil.Process(parent).children()), None)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert psutil.wait_procs([child], timeout=20)[1] == []


def test_stopping_does_not_wait_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = look(make(tmp_path / "a.mp4", Film(times=range(40))))
    stop: list[bool] = []
    node = PyavDecode(PyavConfig(isolate=True))
    node.open(replace(context(job, "decode", Ran(job, [], {}, [])), stopping=lambda: bool(stop)))
    assert node.process() is not None
    stop.append(True)
    assert node.process() is None
    node.close()
    assert children() == []


def test_one_that_was_stopped_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run waits for nothing long once it is interrupted: what outlives the run would never end."""
    monkeypatch.setattr(isolated, "DECENT", 600)
    job = look(make(tmp_path / "a.mp4"))
    node = PyavDecode(PyavConfig(isolate=True))
    node.open(context(job, "decode", Ran(job, [], {}, [])))
    (child,) = children()
    os.kill(child, signal.SIGSTOP)
    closing = threading.Thread(target=node.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert children() == []


def test_probing_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = make(tmp_path / "good.mp4", Film(sounds=[Sound(language="kor", title="마이크")]))
    bad = make(tmp_path / "bad.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    usual = "usual = isolated_child.probe; kill = lambda: os.kill(os.getpid(), signal.SIGSEGV)\n"
    monkeypatch.setattr(isolated, "START", isolated.START)
    sabotage(
        monkeypatch, "return kill() if 'bad' in str(self) else usual(self, **options)", "isolated_child.probe"
    )
    start = isolated.START.replace("def broken(self, *given)", f"{usual}def broken(self, **options)")
    monkeypatch.setattr(isolated, "START", start)
    with Prober() as prober:
        first = prober.probe(good, output=tmp_path / "o.mp4", name="x", index=3)
        assert first == probe(good, output=tmp_path / "o.mp4", name="x", index=3)
        with pytest.raises(InputError, match=r"bad\.mp4: the decoder crashed on it"):
            prober.probe(bad, output=tmp_path / "o.mp4", name="x")
        with pytest.raises(InputError, match="is not a video"):
            prober.probe(text, output=tmp_path / "o.mp4", name="x")
        assert prober.probe(good, output=tmp_path / "o.mp4", name="x", index=3) == first
    assert children() == []


def test_a_job_as_plain_values(tmp_path: Path) -> None:
    job = look(make(tmp_path / "a.mkv", Film(sounds=[Sound(title="하나")])))
    assert job_from(plain_job(job)) == job


def test_one_job_fails_and_the_others_are_done(
    tmp_path: Path,
    run: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "bad", "c"):
        make(tmp_path / f"{name}.mp4", Film(sounds=[Sound()]))
    sabotage(monkeypatch, "return kill() if 'bad' in self.name else usual(self, *given)")
    usual = "usual = pyav.PyavDecode._decode; kill = lambda: os.kill(os.getpid(), signal.SIGSEGV)\n"
    monkeypatch.setattr(isolated, "START", isolated.START.replace("def broken", f"{usual}def broken"))
    assert run("input='*.mp4'", "output={name}.out.mkv", "graph.nodes.decode.isolate=true") == 1
    assert "the decoder crashed on it (Segmentation fault)" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("*.mkv")) == ["a.out.mkv", "c.out.mkv"]
    assert children() == []
