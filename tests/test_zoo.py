"""Models: only what hashes right is used, and what is wrong is said in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dualface import convert_onnx, paths, zoo
from dualface.infer.onnxruntime import OnnxSession

OWN = """\
name: {name}
title: a model of one's own
licence: ours
source: {source}
sha256: {sha256}
input: anything
output: anything
conversions: {conversions}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    return tmp_path


def describe(home: Path, name: str = "own", data: bytes | None = None, **changes: str) -> Path:
    """A user's descriptor, and its weights where ``data`` are given."""
    folder = home / "config" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    if data is not None:
        (folder / "own.onnx").write_bytes(data)
    values = {
        "name": name,
        "source": "{path: own.onnx}",
        "sha256": hashlib.sha256(data or b"").hexdigest(),
        "conversions": "[]",
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(OWN.format(**values))
    return path


def test_yunet_is_converted_once_and_kept(home: Path) -> None:
    path = zoo.onnx_path("yunet")
    assert path.parent == home / "cache" / "models"
    before = path.stat().st_mtime_ns
    assert zoo.onnx_path("yunet") == path
    assert path.stat().st_mtime_ns == before


def test_a_damaged_cache_is_made_anew(home: Path) -> None:
    path = zoo.onnx_path("yunet")
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    assert zoo.onnx_path("yunet").read_bytes() == good
    assert not [p for p in path.parent.iterdir() if p.name.startswith(".")], "a temporary file was left"


def test_a_cache_that_cannot_be_written_is_said_to_be_so(home: Path) -> None:
    (home / "cache").mkdir()
    (home / "cache" / "models").write_text("a file where the folder should be")
    with pytest.raises(zoo.ModelError, match=r"'yunet' cannot be cached in .*models: ") as caught:
        zoo.onnx_path("yunet")
    assert "\n" not in str(caught.value)


def test_converted_yunet_is_the_same_network(home: Path) -> None:
    """Bit for bit at the size it was exported for, in a batch as well as alone."""
    original, dynamic = OnnxSession(zoo.weights_path("yunet")), OnnxSession(zoo.onnx_path("yunet"))
    pictures = np.random.default_rng(1).uniform(0, 255, (2, 3, 640, 640)).astype(np.float32)
    together = dynamic.run({"input": pictures})
    for i in range(2):
        alone = original.run({"input": pictures[i : i + 1]})
        assert sorted(alone) == sorted(together)
        for name, array in dynamic.run({"input": pictures[i : i + 1]}).items():
            np.testing.assert_array_equal(array, alone[name])
        for name, array in alone.items():
            np.testing.assert_allclose(together[name][i], array[0], rtol=1e-4, atol=1e-4)


def test_every_descriptor_of_ours_is_complete() -> None:
    ours = {path.stem for path in paths.models_dir().glob("*.yaml")}
    assert "yunet" in ours
    assert ours <= {model.name for model in zoo.descriptors()}


def test_a_users_own_file_is_used_as_it_is(home: Path) -> None:
    describe(home, data=b"weights")
    assert zoo.onnx_path("own").read_bytes() == b"weights"
    assert [model.name for model in zoo.descriptors()] == sorted(m.name for m in zoo.descriptors())


def test_a_users_descriptor_takes_the_place_of_ours(home: Path) -> None:
    describe(home, "yunet", b"other weights")
    assert zoo.onnx_path("yunet").read_bytes() == b"other weights"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "a" * 64}, r"own\.onnx has sha256 .*… instead of aaaaaaaaaaaa….*correct sha256 in"),
        ({"sha256": "12ab"}, "sha256 must have 64 hexadecimal digits"),
        ({"source": "{path: gone.onnx}"}, r"is missing: there is no file .*gone\.onnx"),
        ({"source": "{package: no_such_package, file: x.onnx}"}, "pip install 'no_such_package'"),
        ({"source": "{}"}, "either 'package' and 'file', or 'path'"),
        ({"source": "{package: numpy}"}, "'file' is missing"),
        ({"source": "{package: numpy.linalg, file: x.onnx}"}, "the plain name of a Python package"),
        ({"conversions": "[smaller]"}, "no conversion called 'smaller'; there are dynamic_size"),
        (
            {"conversions": "[half, dlib_face_resnet]"},
            "'dlib_face_resnet' reads the file; it is to be the first",
        ),
        ({"conversions": "[dlib_face_resnet]"}, "it is not a network of dlib's"),
        ({"conversions": "3"}, "conversions is a list"),
        ({"conversions": "[dynamic_size]"}, "cannot be converted: it is not an ONNX file"),
        ({"source": "[unclosed"}, "is not YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(home: Path, changes: dict[str, str], says: str) -> None:
    describe(home, data=b"weights", **changes)
    with pytest.raises(zoo.ModelError, match=says) as caught:
        zoo.onnx_path("own")
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_gets_a_suggestion(home: Path) -> None:
    with pytest.raises(zoo.ModelError, match="did you mean 'yunet'"):
        zoo.find("yunett")


def test_a_network_without_the_shape_to_free_is_refused() -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    data = onnx.helper.make_model(graph).SerializeToString()
    with pytest.raises(ValueError, match=r"no shape \[1, -1, channels\]"):
        convert_onnx.apply(data, ["dynamic_size"])
