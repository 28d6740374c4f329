"""The CUDA sources compile for the chips they are meant for, on a machine that has none."""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path
from typing import Any

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[1] / "dualface").rglob("*.cu"))


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """NVIDIA's run-time compiler, from its package."""
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    found = [path for place in places for path in Path(place).rglob("libnvrtc.so.*")]
    if not found:
        pytest.skip("NVRTC is not installed: pip install nvidia-cuda-nvrtc")
    for builtins in found[0].parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(found[0]))


@pytest.mark.parametrize("chip", ["sm_90", "sm_120"], ids=["H100", "RTX 5090"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_a_source_compiles(nvrtc: Any, source: Path, chip: str) -> None:
    program = ctypes.c_void_p()
    text = source.read_bytes()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, source.name.encode(), 0, None, None) == 0
    options = [f"--gpu-architecture={chip}".encode(), b"--std=c++17"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    assert status == 0, log.value.decode()


def test_all_sources_are_found() -> None:
    assert {path.name for path in SOURCES} >= {"cuda.cu", "nvdec.cu", "look.cu", "faces.cu"}
