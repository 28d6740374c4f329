"""Models: only what hashes right is used, and what is wrong is said in one sentence."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

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


def tiny(**more: Any) -> Any:
    """A network that does next to nothing, as a model of ONNX; ``more`` goes to its only node."""
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"], **more)
    graph = helper.make_graph([node], "g", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


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
    data = tiny().SerializeToString()
    describe(home, data=data)
    assert zoo.onnx_path("own").read_bytes() == data
    assert [model.name for model in zoo.descriptors()] == sorted(m.name for m in zoo.descriptors())


def test_a_users_descriptor_takes_the_place_of_ours(home: Path) -> None:
    data = tiny().SerializeToString()
    describe(home, "yunet", data)
    assert zoo.onnx_path("yunet").read_bytes() == data


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
        ({"conversions": "[[]]"}, "conversions are names; there are dynamic_size"),
        ({"conversions": "[]"}, r"'own' cannot be used: .*own\.onnx: it is not an ONNX file"),
        ({"source": "{package: numpy, file: ../secret.onnx}"}, "it is a path within the package"),
        ({"source": "{package: numpy, file: /etc/passwd}"}, "it is a path within the package"),
        ({"source": "{path: /dev/zero}"}, "'own' cannot be used: /dev/zero is no file"),
        ({"source": '{path: "a\\0b"}'}, "'path' holds a character that cannot be shown"),
        ({"source": "!!timestamp 2026-13-45"}, "it holds a value that cannot be read .month must be in 1"),
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


def hostile() -> dict[str, tuple[Any, str]]:
    from onnx import TensorProto, helper

    def weights(**more: Any) -> Any:
        tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
        for key, value in more.items():
            tensor.external_data.add(key=key, value=value)
            tensor.data_location = TensorProto.EXTERNAL
        return tensor

    cases: dict[str, tuple[Any, str]] = {}
    for name, location in {"above": "../../secret", "beside": "own.data", "absolute": "/etc/passwd"}.items():
        model = tiny()
        model.graph.initializer.append(weights(location=location))
        cases[name] = model, "its weights 'w' are in another file"
    model = tiny()
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=weights(location="x")))
    cases["in a node"] = model, "its weights 'w' are in another file"
    inner = helper.make_graph([], "inner", [], [], [weights(location="x")])
    branch = tiny()
    branch.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    cases["in a branch"] = branch, "its weights 'w' are in another file"
    cases["library"] = (
        tiny(domain="evil.ops"),
        "its operator Relu is of 'evil.ops', which nothing here brings",
    )
    model = tiny()
    model.graph.node[0].op_type, model.graph.node[0].domain = "EPContext", "com.microsoft"
    cases["compiled"] = model, "it holds parts that were compiled elsewhere"
    model = tiny()
    del model.graph.node[:]
    cases["empty"] = model, "one without a network"
    return cases


@pytest.mark.parametrize("name", hostile())
@pytest.mark.parametrize("conversions", ["[]", "[half]"])
def test_a_network_that_reaches_out_of_its_file_is_refused(home: Path, name: str, conversions: str) -> None:
    model, says = hostile()[name]
    describe(home, data=model.SerializeToString(), conversions=conversions)
    with pytest.raises(zoo.ModelError, match=says) as caught:
        zoo.onnx_path("own")
    assert "\n" not in str(caught.value)


def test_a_cached_model_that_others_can_write_is_made_anew(home: Path) -> None:
    path = zoo.onnx_path("yunet")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    good = path.read_bytes()
    for file, data in ((path, b"evil"), (path.with_suffix(".sha256"), hashlib.sha256(b"evil").hexdigest())):
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        file.chmod(0o666)
    assert zoo.onnx_path("yunet").read_bytes() == good
    assert path.stat().st_mode & 0o777 == 0o600
