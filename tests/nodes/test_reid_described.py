"""A network of one's own that recognises faces: its descriptor, and what it is shown."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_reid_embed import scene

from dualface import paths
from dualface.nodes.reid.conditional import Conditional, ConditionalConfig
from dualface.nodes.reid.described import described
from dualface.nodes.reid.embed import Embedder
from dualface.zoo import ModelError


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Describes a network that answers with the mean of each channel, ``[n, 3, 1, 1]``."""
    monkeypatch.setenv("DUALFACE_HOME", str(tmp_path))
    folder = tmp_path / "config" / "models"
    folder.mkdir(parents=True)

    def describe(embedder: str, shape: Any = ("n", 3, "h", "w"), kind: int = TensorProto.FLOAT) -> str:
        cast = [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT)]
        graph = helper.make_graph(
            [*cast, helper.make_node("GlobalAveragePool", ["f"], ["y"])], "own",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], shape[1], 1, 1])],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / "own.onnx")
        sha256 = hashlib.sha256((folder / "own.onnx").read_bytes()).hexdigest()
        (folder / "own.yaml").write_text(
            "{name: own, title: t, licence: l, input: i, output: o, conversions: [], "
            f"sha256: {sha256}, source: {{path: own.onnx}}{embedder and f', embedder: {embedder}'}}}"
        )
        return "own"

    return describe


def test_what_is_left_out_is_as_for_dlib(own: Any) -> None:
    found = described(own("{distance: 0.7}"))
    assert (found.distance, found.size, found.channels, found.normalise) == (0.7, 150, "rgb", False)
    picture, video, faces = scene()
    embedder = Embedder("own")
    chips = embedder.chips(picture, video, faces[:2])
    assert chips.shape == (2, 3, 150, 150)
    np.testing.assert_allclose(embedder.embed(picture, video, faces[:2]), chips.mean((2, 3)), rtol=1e-4)


def test_the_face_is_shown_as_it_is_described(own: Any) -> None:
    picture, video, faces = scene()
    own("{distance: 1.1}")
    plain = Embedder("own").embed(picture, video, faces[:1])[0]
    points = "[[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]"
    shown = f"size: 112, points: {points}, channels: bgr, mean: 100, scale: 1/50, normalise: true"
    own(f"{{distance: 1.1, {shown}}}")
    embedder = Embedder("own")
    assert embedder.chips(picture, video, faces[:1]).shape == (1, 3, 112, 112)
    numbers = embedder.embed(picture, video, faces[:1])[0]
    assert np.linalg.norm(numbers) == pytest.approx(1, abs=1e-5)
    assert (np.sign(numbers) == np.sign(plain[::-1] - 100))[np.abs(plain[::-1] - 100) > 20].all()


def test_the_example_in_the_docs_is_complete(own: Any, tmp_path: Path) -> None:
    text = (paths.models_dir() / "README.md").read_text(encoding="utf-8")
    _of_faces, example = (part.split("```")[0] for part in text.split("```yaml\n")[1:])
    (tmp_path / "config" / "models" / "my-people.yaml").write_text(example.replace("0f3c…", "a" * 64))
    found = described("my-people")
    assert (found.distance, found.size, found.mean, found.normalise) == (1.1, 112, 127.5, True)
    assert found.scale == pytest.approx(1 / 127.5)


@pytest.mark.parametrize(
    ("embedder", "said"),
    [
        ("", "has no 'embedder'"),
        ("{distanc: 1}", "no key 'distanc'; did you mean 'distance'"),
        ("{size: 112}", "distance is missing"),
        ("{distance: -1}", "distance is '-1'"),
        ("{distance: 1, size: x}", "size is 'x'"),
        ("{distance: 1, scale: 0}", "scale is above 0"),
        ("{distance: 1, channels: gray}", "channels is gray"),
        ("{distance: 1, normalise: 3}", "normalise is 3"),
        ("{distance: 1, points: [[1, 2]]}", "points is not five places"),
        ("[1]", "embedder is a map"),
    ],
)
def test_a_wrong_descriptor_is_told_in_a_sentence(own: Any, embedder: str, said: str) -> None:
    with pytest.raises(ModelError, match=said.replace("[", r"\[")):
        described(own(embedder))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_may_take_so_many_faces_only(own: Any, batch: int) -> None:
    picture, video, faces = scene()
    expected = Embedder(own("{distance: 0.7}")).embed(picture, video, faces)
    found = Embedder(own("{distance: 0.7}", shape=(batch, 3, 150, 150))).embed(picture, video, faces)
    assert len(faces) == 11
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shape": (1, 3, 112, 112)}, "takes pictures of 112x112, but its descriptor says 150x150"),
        ({"shape": (1, 1, 150, 150)}, r"reid/conditional needs pictures \[n, 3, height, width\]"),
        ({"kind": TensorProto.UINT8}, "does not take 32-bit floats"),
    ],
)
def test_a_file_that_is_not_as_described_is_refused_before_the_run(own: Any, given: Any, said: str) -> None:
    model = own("{distance: 0.7}", **given)
    (found,) = Conditional.check(ConditionalConfig(model=model), None)  # type: ignore[arg-type]
    assert re.search(said, found)
