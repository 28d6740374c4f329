"""Layers: who wins, what is dropped and in which words."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualface.graph.errors import RequestError
from dualface.hw.keys import KEYS, parse
from dualface.hw.layers import FALLBACK, Layer, Resolved, resolve
from dualface.hw.manual import read_manual

CONF = Path(__file__).resolve().parents[2] / "conf" / "hw"
CARD = {
    "index": 0, "name": "NVIDIA GeForce RTX 4060", "vram_mb": 8188, "compute_capability": "8.9",
    "decode_engines": 1, "encode_engines": 1,
}  # fmt: skip
ALL = ["av", "cv2", "onnx", "onnxruntime"]
HERE_CPU = Layer(
    "probed", {"gpus": [], "features": [], "packages": ALL, "cpu_cores": 6, "memory_mb": 9000, "cpu_slots": 1}
)
HERE_GPU = Layer(
    "probed",
    {
        **HERE_CPU.values, "gpus": [CARD], "features": ["cuda", "nvdec", "nvenc"], "vram_limit_gb": 6.0,
        "vram_per_stream_mb": 3000, "cuda_streams": 2, "decode_sessions": 2, "encode_sessions": 2,
    },
)  # fmt: skip


def preset(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())


def typed(name: str, **values: Any) -> dict[str, Any]:
    """The composed section and the keys that came from the command line."""
    return {"config": {**preset(name), **values}, "typed": values}


def layer_of(resolved: Resolved, key: str) -> str:
    return next(value.layer for value in resolved.values if value.key == key)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_file_has_every_key_a_comment_and_its_name(path: Path) -> None:
    assert path.read_text().startswith("# ")
    values = yaml.safe_load(path.read_text())
    assert values["name"] == path.stem
    assert set(values) == {"name", *KEYS}
    resolved = resolve(values, machine=HERE_CPU, trust=True)
    assert resolved.warnings == (
        ("hw=manual: there is no manual layer, so the fallback is used.",) * (path.stem == "manual")
    )


def test_the_rtx5090_layer_is_the_users_sheet() -> None:
    resolved = resolve(preset("rtx5090"), machine=HERE_CPU, trust=True)
    hardware = resolved.hardware
    assert (hardware.cuda_streams, hardware.decode_sessions, hardware.encode_sessions) == (4, 4, 2)
    assert (hardware.decode_batch, hardware.infer_batch, hardware.encode_overflow) == (8, 16, "software")
    assert (hardware.vram_limit_mb, hardware.vram_per_stream_mb) == (24576, 6144)
    (gpu,) = hardware.gpus
    assert (gpu.decode_engines, gpu.encode_engines) == (2, 3)
    assert {value.layer for value in resolved.values} == {"rtx5090"}


def test_auto_takes_manual_then_probed_then_fallback() -> None:
    resolved = resolve(**typed("auto", infer_batch=4), machine=HERE_GPU, manual={"cuda_streams": 1})
    keys = ("infer_batch", "cuda_streams", "cpu_cores", "decode_batch")
    layers = ["command line", "manual", "probed", "fallback"]
    assert [layer_of(resolved, key) for key in keys] == layers
    assert (resolved.hardware.infer_batch, resolved.hardware.cuda_streams) == (4, 1)
    assert resolved.warnings == ()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("manual", {"manual", "fallback"}),
        ("probed", {"probed", "fallback"}),
        ("fallback", {"fallback"}),
    ],
)
def test_one_layer_alone(name: str, layers: set[str]) -> None:
    resolved = resolve(preset(name), machine=HERE_CPU, manual={"cpu_slots": 2})
    assert {value.layer for value in resolved.values} == layers


def test_values_given_beside_auto_come_from_the_command_line() -> None:
    resolved = resolve({**preset("auto"), "cpu_slots": 3}, machine=HERE_CPU)
    assert layer_of(resolved, "cpu_slots") == "command line"


def test_a_preset_on_a_machine_without_a_gpu_falls_back_to_the_cpu() -> None:
    resolved = resolve(preset("rtx5090"), machine=HERE_CPU)
    hardware = resolved.hardware
    assert (hardware.gpus, hardware.features, hardware.cuda_streams) == ((), frozenset(), 0)
    assert (hardware.cpu_cores, hardware.memory_mb) == (6, 9000)
    assert resolved.warnings == (
        "hw.gpus=[NVIDIA GeForce RTX 5090] (rtx5090) is dropped: no NVIDIA GPU was found on this machine; "
        "using [] from probed; the other GPU settings of this layer are left out too.",
        "hw.packages=[av, cv2, onnx, onnxruntime, torch, cupy, tensorrt, PyNvVideoCodec] (rtx5090) is "
        "dropped: PyNvVideoCodec, cupy, tensorrt, torch are not here; "
        "using [av, cv2, onnx, onnxruntime] from probed.",
        "hw.cpu_cores=16 (rtx5090) is dropped: this machine has 6; using 6 from probed.",
        "hw.memory_mb=65536 (rtx5090) is dropped: this machine has 9000; using 9000 from probed.",
    )


def test_a_preset_for_a_larger_card_uses_the_card_that_is_here() -> None:
    resolved = resolve(preset("h100"), machine=HERE_GPU)
    assert resolved.hardware.gpus[0].name == CARD["name"]
    assert resolved.hardware.vram_limit_mb == 6144
    assert "GPU 0 here is NVIDIA GeForce RTX 4060 with 8188 MB of VRAM" in resolved.warnings[0]


@pytest.mark.parametrize(
    ("manual", "key", "sentence"),
    [
        ({"vram_limit_gb": 24}, "vram_limit_gb",
         "hw.vram_limit_gb=24 (manual) is dropped: NVIDIA GeForce RTX 4060 has only 8.0 GB; "
         "using 6.0 from probed."),
        ({"encode_sessions": 13}, "encode_sessions",
         "hw.encode_sessions=13 (manual) is dropped: the driver opens at most 12 encode sessions on "
         "NVIDIA GeForce RTX 4060; using 2 from probed."),
        ({"encode_sessions": -1}, "encode_sessions",
         "hw.encode_sessions=-1 (manual) is dropped: it must be a whole number from 0 to 64; "
         "using 2 from probed."),
        ({"decode_sessions": 0}, "decode_sessions",
         "hw.decode_sessions=0 (manual) is dropped: with nvdec in hw.features it must be at least 1; "
         "using 2 from probed."),
        ({"decode_sessions": 500}, "decode_sessions",
         "hw.decode_sessions=500 (manual) is dropped: it must be a whole number from 0 to 64; "
         "using 2 from probed."),
        ({"vram_per_stream_mb": 7000}, "vram_per_stream_mb",
         "hw.vram_per_stream_mb=7000 (manual) is dropped: it is more than hw.vram_limit_gb allows (6144 MB); "
         "using 3000 from probed."),
        ({"cuda_streams": "four"}, "cuda_streams",
         "hw.cuda_streams=four (manual) is dropped: it must be a whole number from 0 to 64; "
         "using 2 from probed."),
        ({"cuda_streams": True}, "cuda_streams",
         "hw.cuda_streams=True (manual) is dropped: it must be a whole number from 0 to 64; "
         "using 2 from probed."),
        ({"encode_overflow": "sofware"}, "encode_overflow",
         "hw.encode_overflow=sofware (manual) is dropped: it must be 'wait' or 'software'; did you mean "
         "'software'?; using wait from fallback."),
        ({"features": ["cuda", "nvenc"], "gpus": [{**CARD, "encode_engines": 0}]}, "features",
         "hw.features=[cuda, nvenc] (manual) is dropped: NVIDIA GeForce RTX 4060 has no NVENC engine; "
         "using [] from fallback."),
        ({"packages": ["torch"]}, "packages",
         "hw.packages=[torch] (manual) is dropped: torch is not here; "
         "using [av, cv2, onnx, onnxruntime] from probed."),
        ({"cpu_cores": 64}, "cpu_cores",
         "hw.cpu_cores=64 (manual) is dropped: this machine has 6; using 6 from probed."),
        ({"cpu_slots": 7}, "cpu_slots",
         "hw.cpu_slots=7 (manual) is dropped: a job needs a core, and hw.cpu_cores is 6; "
         "using 1 from probed."),
        ({"gpus": [CARD, {**CARD, "index": 1}]}, "gpus",
         "hw.gpus=[NVIDIA GeForce RTX 4060, NVIDIA GeForce RTX 4060] (manual) is dropped: this machine "
         "has no GPU 1 (it has 1); using [NVIDIA GeForce RTX 4060] from probed; the other GPU settings of "
         "this layer are left out too."),
        ({"gpus": [CARD, CARD]}, "gpus",
         "hw.gpus=[NVIDIA GeForce RTX 4060, NVIDIA GeForce RTX 4060] (manual) is dropped: two GPUs have the "
         "same index; using [NVIDIA GeForce RTX 4060] from probed; the other GPU settings of this layer are "
         "left out too."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_dropped_in_a_sentence(manual: dict[str, Any], key: str, sentence: str) -> None:
    resolved = resolve(preset("auto"), machine=HERE_GPU, manual=manual)
    assert sentence in resolved.warnings
    assert layer_of(resolved, key) != "manual"


def test_a_layer_that_contradicts_itself_loses_its_streams() -> None:
    manual = {"vram_limit_gb": 6, "vram_per_stream_mb": 3000, "cuda_streams": 5}
    resolved = resolve(preset("auto"), machine=HERE_GPU, manual=manual)
    assert resolved.warnings == (
        "hw.cuda_streams=5 (manual) is dropped: 5 streams of 3000 MB are more than its VRAM limit of "
        "6144 MB; using 2 from probed.",
    )


def refused(*, machine: Layer = HERE_CPU, trust: bool = True, **given: Any) -> list[str]:
    with pytest.raises(RequestError) as caught:
        resolve(**given, machine=machine, trust=trust)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("vram_limit_gb", 99, "NVIDIA GeForce RTX 5090 has only 31.8 GB."),
        ("vram_limit_gb", -1, "it must be a number above 0."),
        ("cuda_streams", "abc", "it must be a whole number from 0 to 64."),
        ("cuda_streams", -4, "it must be a whole number from 0 to 64."),
        ("decode_sessions", 0, "with nvdec in hw.features it must be at least 1."),
        ("encode_overflow", "bla", "it must be 'wait' or 'software'."),
        ("encode_overflow", "softwar", "it must be 'wait' or 'software'; did you mean 'software'?"),
        ("features", "cuda", "it must be a list of words, such as [cuda]."),
        ("memory_mb", 1, "it must be a whole number from 128 up."),
        ("cpu_slots", 500, "a job needs a core, and hw.cpu_cores is 16."),
    ],
)
def test_a_typed_value_that_cannot_be_is_refused(key: str, value: Any, why: str) -> None:
    sentence = f"hw.{key}: it cannot be {value}: {why} [bad-hardware]"
    assert refused(**typed("rtx5090", **{key: value})) == [sentence]


def test_more_jobs_than_cores_are_refused_but_the_fallbacks_one_core_is_a_guess() -> None:
    two = resolve(**typed("fallback", cpu_slots=2), machine=HERE_CPU)
    assert (two.hardware.cpu_slots, two.hardware.cpu_cores) == (2, 1)
    assert refused(**typed("fallback", cpu_slots=500), trust=False) == [
        "hw.cpu_slots: it cannot be 500: a job needs a core, and this machine has 6. [bad-hardware]"
    ]


def test_all_typed_values_that_cannot_be_are_told_at_once_and_nothing_that_follows_from_them() -> None:
    # With the VRAM limit gone the 6000 MB a stream and the 4 streams are not measured against another.
    values = {"vram_limit_gb": 99, "vram_per_stream_mb": 6000, "decode_sessions": 0, "decod_batch": 4}
    assert [line.split(":")[0] for line in refused(**typed("rtx5090", **values))] == [
        "hw.decod_batch", "hw.vram_limit_gb", "hw.decode_sessions",
    ]  # fmt: skip


def test_a_typed_value_is_also_measured_against_the_machine_but_not_for_a_plan() -> None:
    assert refused(**typed("auto", cpu_cores=64), trust=False) == [
        "hw.cpu_cores: it cannot be 64: this machine has 6. [bad-hardware]"
    ]
    assert resolve(**typed("auto", cpu_cores=64), machine=HERE_CPU, trust=True).hardware.cpu_cores == 64


def test_a_typed_place_within_a_key_counts_as_the_key() -> None:
    config = preset("rtx5090")
    config["gpus"][0]["vram_mb"] = "much"
    (sentence,) = refused(config=config, typed=["gpus.0.vram_mb"])
    assert sentence.startswith("hw.gpus: it cannot be [NVIDIA GeForce RTX 5090]: 0.vram_mb: ")


def test_a_name_is_not_typed_but_chosen() -> None:
    (sentence,) = refused(config={**preset("auto"), "name": "mine"}, typed=["name"])
    assert sentence == "hw.name: no layer has this key. A layer is chosen by hw=NAME. [unknown-key]"


def test_a_presets_own_bad_value_goes_to_the_next_layer() -> None:
    own = {**preset("rtx5090"), "name": "mine", "cpu_cores": 0}
    resolved = resolve(own, machine=HERE_CPU, trust=True)
    assert layer_of(resolved, "cpu_cores") == "probed"
    assert resolved.warnings[0] == (
        "hw.cpu_cores=0 (mine) is dropped: it must be a whole number from 1 to 1000; using 6 from probed."
    )


def test_plan_does_not_believe_a_manual_layer_that_is_not_named() -> None:
    resolved = resolve(preset("auto"), machine=HERE_CPU, manual={"cpu_cores": 64}, trust=True)
    assert layer_of(resolved, "cpu_cores") == "probed"
    named = resolve(preset("manual"), machine=HERE_CPU, manual={"cpu_cores": 64}, trust=True)
    assert layer_of(named, "cpu_cores") == "manual"


def test_unknown_keys_get_a_suggestion() -> None:
    resolved = resolve(preset("auto"), machine=HERE_CPU, manual={"decod_batch": 4, "zzz": 1})
    assert resolved.warnings[0] == (
        "hw.decod_batch=4 (manual) is dropped: no layer has this key; did you mean 'decode_batch'?; "
        "it is ignored."
    )
    assert "the keys are gpus, features" in resolved.warnings[1]
    assert refused(**typed("auto", decod_batch=4)) == [
        "hw.decod_batch: no layer has this key. Did you mean 'decode_batch'? [unknown-key]"
    ]


def test_a_gpu_setting_without_a_gpu_says_so() -> None:
    resolved = resolve(**typed("auto", cuda_streams=8), machine=HERE_CPU)
    assert resolved.warnings == ("hw.cuda_streams (command line) has no effect: there is no GPU to use.",)
    assert len(refused(**typed("auto", cuda_streams="x"))) == 1


def test_encode_sessions_for_a_chip_without_an_encoder_are_refused() -> None:
    machine = Layer(
        "probed",
        {
            **HERE_GPU.values,
            "gpus": [{**CARD, "encode_engines": 0}],
            "features": ["cuda", "nvdec"],
            "encode_sessions": 0,
        },
    )
    resolved = resolve(preset("auto"), machine=machine, manual={"encode_sessions": 2})
    assert resolved.hardware.encode_sessions == 0
    assert "has no NVENC engine; using 0 from probed" in resolved.warnings[0]


def test_every_gpu_must_have_the_engines_since_sessions_are_counted_on_each() -> None:
    cards = [CARD, {**CARD, "index": 1, "name": "H100", "encode_engines": 0}]
    values = {**preset("rtx5090"), "name": "both", "gpus": cards, "vram_limit_gb": 6}
    values["vram_per_stream_mb"] = 1024
    resolved = resolve(values, machine=HERE_CPU, trust=True)
    assert resolved.warnings[0] == (
        "hw.features=[cuda, nvdec, nvenc] (both) is dropped: H100 has no NVENC engine; using [] from probed."
    )
    values |= {"features": ["cuda", "nvdec"], "encode_sessions": 0}
    without = resolve(values, machine=HERE_CPU, trust=True)
    assert (without.warnings, without.hardware.features) == ((), {"cuda", "nvdec"})


def test_memory_may_be_short_of_what_the_kernel_keeps() -> None:
    machine = Layer("probed", {**HERE_GPU.values, "memory_mb": 128887})  # seen beside an H100
    resolved = resolve(preset("auto"), machine=machine, manual={"memory_mb": 131072})
    assert (layer_of(resolved, "memory_mb"), resolved.warnings) == ("manual", ())


def test_only_a_fallback_that_fails_is_an_error() -> None:
    with pytest.raises(RequestError) as caught:
        resolve(**typed("fallback", gpus=[CARD], vram_limit_gb=0.5), trust=True)
    (problem,) = caught.value.problems
    assert problem.where == "hw.vram_per_stream_mb"
    assert "it is more than hw.vram_limit_gb allows (512 MB)" in problem.message


def test_the_fallback_is_valid_by_itself() -> None:
    assert set(FALLBACK) == set(KEYS)
    assert resolve({"name": "fallback"}).warnings == ()
    assert all(not parse(key, value)[1] for key, value in FALLBACK.items())


def test_the_result_is_a_value() -> None:
    first, second = (resolve(preset("rtx5090"), machine=HERE_CPU, trust=True) for _ in range(2))
    assert first.hardware == second.hardware
    assert dataclasses.asdict(first.hardware)["name"] == "rtx5090"


def test_a_manual_file_is_read_as_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "manual.yaml"
    assert read_manual(path) == Layer("manual", {})
    path.write_text(
        "name: manual\ncuda_streams: 2\nvram_limit_gb: ${oc.env:HOME}\n_target_: os.system\n"
        "gpus: [{name: '${x}'}]\nhydra: {run: {dir: x}}\ndefaults: [cpu]\ndecode_batch: null\n"
    )
    read = read_manual(path)
    assert read.values == {"cuda_streams": 2, "decode_batch": None}
    assert [note.split("'")[1] for note in read.notes] == [
        "vram_limit_gb", "_target_", "gpus", "hydra", "defaults",
    ]  # fmt: skip
    assert "interpolations (${oc.env:HOME}) are not allowed" in read.notes[0]
    resolved = resolve(preset("auto"), machine=HERE_GPU, manual=read)
    assert (layer_of(resolved, "cuda_streams"), resolved.warnings) == ("manual", read.notes)
    assert resolve(preset("fallback"), machine=HERE_GPU, manual=read).warnings == ()


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n", "a: 1\na: 2\n"])
def test_a_manual_file_that_is_no_layer_is_left_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "manual.yaml"
    path.write_text(text)
    read = read_manual(path)
    assert read.values == {}
    assert "is left out" in read.notes[0]


def test_the_template_can_be_read_as_a_manual_layer() -> None:
    read = read_manual(CONF / "manual.yaml")
    assert read.notes == ()
    assert not any(read.values.values())


def test_packages_that_are_no_matter_of_hardware_are_those_of_this_machine() -> None:
    """A layer could not list every plugin's; what it lists of the others holds."""
    here = [*HERE_CPU.values["packages"], "cupy", "weights"]
    machine = Layer("probed", {**HERE_CPU.values, "packages": here})
    preset = {"name": "small", "packages": ["av", "cv2"]}
    assert resolve(preset, machine=machine).hardware.packages == {"av", "cv2", "weights"}
    assert resolve(preset, machine=machine, typed=["packages"]).hardware.packages == {"av", "cv2"}
