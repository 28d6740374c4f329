"""ONNX Runtime behind the small interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualface import zoo
from dualface.infer.onnxruntime import OnnxSession


def test_names_shapes_and_the_same_answer_twice() -> None:
    session = OnnxSession(zoo.onnx_path("yunet"), threads=2)
    assert session.inputs == ("input",)
    assert len(session.outputs) == 12
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 3, 96, 160)).astype(np.float32)
    first, second = session.run({"input": pictures}), session.run({"input": pictures})
    assert first["bbox_8"].shape == (3, 12 * 20, 4)
    assert first["kps_32"].shape == (3, 3 * 5, 10)
    for name in session.outputs:
        np.testing.assert_array_equal(first[name], second[name])


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    session = OnnxSession(zoo.onnx_path("yunet"))
    pictures = np.random.default_rng(0).uniform(0, 255, (3, 3, 96, 160)).astype(np.float32)
    other = pictures.copy()
    other[0] = 0
    np.testing.assert_array_equal(
        session.run({"input": pictures})["cls_8"][1:], session.run({"input": other})["cls_8"][1:]
    )


def test_what_is_no_network_is_said_to_be_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"broken\.onnx does not run on ONNX Runtime"):
        OnnxSession(broken)
