"""Networks with the signatures of YOLO face detectors whose answers are known: red squares are faces.

The centre of a "face" is that of the red in a cell of `CELL` pixels, its side the root of how much
red there is, and its landmarks lie at `POINTS` of the side from the centre.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL = 128
POINTS = np.array([(-0.2, -0.1), (0.2, -0.1), (0, 0.1), (-0.15, 0.25), (0.15, 0.25)], np.float32)
CLASS = 0.9  # that of the v5 head


def network(
    head: str = "yolov8-face",
    *,
    landmarks: int | None = None,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
    extra: bool = False,
) -> bytes:
    """An ONNX file. ``landmarks`` is how many numbers each has (0: none), ``batch`` and ``size``
    (width, height) are free where not given; ``extra`` adds a raw output behind the decoded one, as
    older exports do."""
    v5 = head == "yolov5-face"
    each = (2 if v5 else 3) if landmarks is None else landmarks
    offsets = np.arange(CELL, dtype=np.float32) + 0.5
    sums = np.stack([np.ones((CELL, CELL)), np.tile(offsets, (CELL, 1)), np.tile(offsets[:, None], CELL)])
    constants = {
        "less_green": np.array([1, -1, 0, *[0] * (channels - 3)], np.float32).reshape(1, channels, 1, 1),
        "sums": sums.astype(np.float32)[:, None],
        "one": np.float32(1), "zero": np.float32(0), "class": np.float32(CLASS), "cell": np.float32(CELL),
        "seen": np.float32(400), "slope": np.float32(100), "seeing": np.float32(0.7),
        "down": np.array(2), "along": np.array(3), "shape": np.array([0, 5 + 5 * each + v5, -1]),
    }  # fmt: skip
    nodes: list[Any] = []

    def add(operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"t{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def number(value: float) -> str:
        constants[name := f"number{len(constants)}"] = np.float32(value)
        return name

    pictures = "images"
    if kind != TensorProto.FLOAT:
        pictures = add("Cast", pictures, to=TensorProto.FLOAT)
    red = add("Relu", add("Conv", pictures, "less_green"))
    mass, x, y = add("Split", add("Conv", red, "sums", strides=[CELL, CELL]), outputs=3, axis=1)
    some = add("Max", mass, "one")
    ones = add("Add", add("Mul", mass, "zero"), "one")
    at = []
    for moment, axis in ((x, "along"), (y, "down")):
        corner = add("Mul", add("CumSum", ones, axis, exclusive=1), "cell")
        at.append(add("Add", add("Div", moment, some), corner))
    side = add("Sqrt", mass)
    score = add("Sigmoid", add("Div", add("Sub", mass, "seen"), "slope"))
    parts = [*at, side, side, score]
    for point in POINTS if each else ():
        parts += [add("Add", a, add("Mul", side, number(float(p)))) for a, p in zip(at, point, strict=True)]
        parts += [add("Mul", ones, "seeing")] * (each - 2)
    parts += [add("Mul", ones, "class")] * v5
    answer = add("Reshape", add("Concat", *parts, axis=1), "shape")
    if v5:
        answer = add("Transpose", answer, perm=[0, 2, 1])
    nodes.append(helper.make_node("Identity", [answer], ["output0"]))
    outputs = [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [None] * 3)]
    if extra:
        outputs.append(helper.make_tensor_value_info(mass, TensorProto.FLOAT, [None] * 4))
    width, height = size or ("width", "height")
    shape = [batch or "batch", channels, height, width]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes, "red", [helper.make_tensor_value_info("images", kind, shape)], outputs, tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def describe(home: Path, data: bytes, name: str = "red", conversions: str = "[]", **detector: str) -> None:
    """A user's descriptor in ``home`` (``DUALFACE_HOME``) and its weights."""
    folder = home / "config" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.onnx").write_bytes(data)
    asked = {"head": "yolov8-face", "size": "640x640", **detector}
    lines = [
        f"name: {name}", "title: red squares", "licence: ours", f"source: {{path: {name}.onnx}}",
        f"sha256: {hashlib.sha256(data).hexdigest()}", "input: RGB, 0..1", "output: boxes and landmarks",
        f"conversions: {conversions}", "detector:", *(f"  {key}: {value}" for key, value in asked.items()),
    ]  # fmt: skip
    (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def picture(size: tuple[int, int], *squares: tuple[float, float, float]) -> Any:
    """``[h, w, 3]`` RGB: red squares (x and y of the middle, side) on grey."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for x, y, side in squares:
        left, top, edge = round(x - side / 2), round(y - side / 2), round(side)
        image[top : top + edge, left : left + edge] = (255, 0, 0)
    return image


def nv12(image: Any) -> Any:
    return av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="nv12").to_ndarray()


def film(path: Path, images: list[Any]) -> Path:
    """The pictures as a film of 30 a second."""
    with av.open(str(path), "w") as out:
        height, width = images[0].shape[:2]
        stream = out.add_stream("libx264", rate=30, width=width, height=height, pix_fmt="yuv420p")
        stream.options = {"crf": "10", "preset": "ultrafast"}
        for image in images:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode(None))
    return path
