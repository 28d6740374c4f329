"""TensorRT: engines are really built where the library is; running them is checked by a stand-in."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in
from stand_in import StandInCuda

from dualface import zoo
from dualface.infer import engines
from dualface.infer import tensorrt as ours
from dualface.infer.engines import Target
from dualface.infer.onnxruntime import OnnxSession
from dualface.infer.shapes import pictures
from dualface.infer.tensorrt import Built, EngineError, Library, Loaded, TensorRTNetwork

RTX_5090 = Target("NVIDIA GeForce RTX 5090", "12.0")
SIZE, BATCH, STREAM = (160, 96), 3, 7


@pytest.fixture
def real() -> Library:
    """The installed TensorRT for RTX."""
    found = [each for each in ours.libraries() if each.rtx]
    if not found:
        pytest.skip("TensorRT for RTX is not installed: pip install 'dualface[tensorrt]'")
    return found[0]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def yunet() -> Path:
    return zoo.onnx_path("yunet")


def loaded(
    cuda: StandInCuda, onnx: Path, rtx: bool = False, plan: bytes | None = None, most: int = 16
) -> Loaded:
    built = Built(engines.folder() / "x.engine", onnx.read_bytes() if plan is None else plan, 0, False)
    return Loaded(Library(stand_in.module(cuda, most), rtx, "10.13"), built)


def opened(cuda: StandInCuda, onnx: Path, rtx: bool = False, batch: int = BATCH) -> TensorRTNetwork:
    return TensorRTNetwork(loaded(cuda, onnx, rtx), pictures(onnx, batch, SIZE), stream=STREAM, cuda=cuda)


def some_pictures(batch: int = BATCH) -> Any:
    width, height = SIZE
    return np.random.default_rng(0).uniform(0, 255, (batch, 3, height, width)).astype(np.float32)


@pytest.mark.parametrize("rtx", [False, True])
def test_a_run_is_enqueued_and_gives_the_networks_answer(home: Path, yunet: Path, rtx: bool) -> None:
    cuda = StandInCuda()
    network = opened(cuda, yunet, rtx)
    assert network.inputs == ("input",)
    assert len(network.outputs) == 12
    assert cuda.captures == (0 if rtx else 1), "TensorRT for RTX captures by itself"
    given = some_pictures()
    network.input("input").host[:] = given
    network.output("cls_8").host[:] = -1
    network.launch()
    assert np.all(network.output("cls_8").host == -1), "the host has waited"
    cuda.wait(STREAM)
    expected = OnnxSession(yunet).run({"input": given})
    for name in network.outputs:
        np.testing.assert_array_equal(network.output(name).host, expected[name])


def test_addresses_stay_and_memory_is_counted(home: Path, yunet: Path) -> None:
    network = opened(StandInCuda(), yunet)
    array = network.input("input")
    network.launch()
    assert network.input("input") is array
    arrays = [network.input("input"), *map(network.output, network.outputs)]
    assert network.vram_bytes == stand_in.SCRATCH + sum(array.host.nbytes for array in arrays)


def test_closing_waits_for_the_work_and_gives_all_memory_back(home: Path, yunet: Path) -> None:
    cuda = StandInCuda()
    network = opened(cuda, yunet)
    network.launch()  # not waited for: the stand-in fails if memory goes before this has run
    network.close()
    assert not cuda.pending
    assert not cuda.memory
    network.close()


def test_sessions_of_one_gpu_share_its_engine(
    home: Path, yunet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = StandInCuda()
    fake = Library(stand_in.module(cuda), False, "10.13")
    monkeypatch.setattr(ours, "library", lambda target, here=True: fake)
    monkeypatch.setattr(ours, "build", lambda onnx, *rest: onnx.read_bytes())
    profile = engines.profile((), SIZE, BATCH)
    first = ours.load(yunet, cuda.target(), profile, 0)
    assert ours.load(yunet, cuda.target(), profile, 0) is first
    assert ours.load(yunet, cuda.target(), profile, 1) is not first
    del first
    assert len(ours._loaded) == 0, "an engine outlives its sessions"


def test_code_made_for_the_card_is_kept_for_the_next_run(home: Path, yunet: Path) -> None:
    cuda = StandInCuda()
    opened(cuda, yunet, rtx=True).close()
    assert engines.load(engines.folder() / "x.runtime") == b"made for this card"
    again = loaded(cuda, yunet, rtx=True)
    assert again.engine.configured.cache.content == b"made for this card"


def test_the_default_stream_is_refused(home: Path, yunet: Path) -> None:
    cuda = StandInCuda()
    with pytest.raises(ValueError, match="not the default stream"):
        TensorRTNetwork(loaded(cuda, yunet), pictures(yunet, 1, SIZE), stream=0, cuda=cuda)


def test_what_the_library_refuses_is_one_sentence(home: Path, yunet: Path) -> None:
    cuda = StandInCuda()
    with pytest.raises(EngineError, match=r"cannot be loaded: Magic tag does not match; remove it"):
        loaded(cuda, yunet, plan=b"no engine")
    small = loaded(cuda, yunet, most=2)
    with pytest.raises(EngineError, match=r"TensorRT 10.13: 'input' cannot be \(3, 3, 96, 160\)"):
        TensorRTNetwork(small, pictures(yunet, BATCH, SIZE), stream=STREAM, cuda=cuda)


def test_the_stand_in_has_the_real_librarys_names_and_arguments(real: Library) -> None:
    """Every class, method, argument, property and constant of the stand-in is the library's own."""
    fake = stand_in.module(StandInCuda())
    for name, kind in vars(fake).items():
        if name.startswith("_"):
            continue
        theirs = getattr(real.module, name)
        for member, value in vars(kind).items():
            if member.startswith("_") or member in ("answer", "name", "value"):
                continue
            assert hasattr(theirs, member), f"{name}.{member}"
            if inspect.isfunction(value):
                documented = str(getattr(theirs, member).__doc__)
                overloads = [
                    re.findall(r"(?:\(|, )(\w+): ", line)
                    for line in documented.splitlines()
                    if f"{member}(self" in line
                ]
                mine = list(inspect.signature(value).parameters)
                if member == "create_execution_context":
                    overloads = [["self", "strategy"] if "runtime_config" in o else o for o in overloads]
                if name != "ILogger":  # a virtual method, which has no signature of its own
                    assert mine in overloads, f"{name}.{member}: {mine} is none of {overloads}"


@pytest.mark.parametrize("half", [False, True])
def test_an_engine_for_the_rtx_5090_is_built_without_it(real: Library, home: Path, half: bool) -> None:
    onnx = zoo.onnx_path("yunet", half=half)
    profile = engines.profile(zoo.find("yunet").sizes, (384, 224), 16)
    built = ours.engine(onnx, RTX_5090, profile, here=False)
    assert not built.cached
    assert len(built.plan) > 100_000
    again = ours.engine(onnx, RTX_5090, profile, here=False)
    assert again.cached
    assert again.plan == built.plan
    # On the card the driver is known; what was built here is found there all the same.
    there = Target("NVIDIA GeForce RTX 5090 D", "12.0", "580.95.05")
    assert ours.engine_path(onnx, real, there, profile) == built.path


def test_what_cannot_be_built_says_so(real: Library, home: Path, tmp_path: Path) -> None:
    profile = engines.profile((), SIZE, BATCH)
    with pytest.raises(EngineError, match=r"does not know compute capability 9\.0; use the backend torch"):
        ours.engine(zoo.onnx_path("yunet"), Target("H100", "9.0"), profile, here=False)
    (broken := tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(EngineError, match=r"cannot read .*broken\.onnx"):
        ours.build(broken, real, RTX_5090, profile)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, yunet: Path) -> None:
    monkeypatch.setattr(ours, "NAMES", ("no_such_tensorrt",))
    with pytest.raises(EngineError, match=re.escape("pip install 'dualface[tensorrt]'")):
        ours.engine(yunet, RTX_5090, engines.profile((), SIZE, BATCH), here=False)


def test_tensorrt_itself_is_taken_only_where_the_gpu_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Library(stand_in.module(StandInCuda()), False, "11.4")
    monkeypatch.setattr(ours, "libraries", lambda: (plain,))
    assert ours.library(Target("H100", "9.0")) is plain
    with pytest.raises(EngineError, match="TensorRT for RTX is not installed"):
        ours.library(RTX_5090, here=False)
