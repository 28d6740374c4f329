"""Opening a model on a GPU by the name of a backend."""

from __future__ import annotations

from dualface import zoo
from dualface.graph.node import Device
from dualface.infer.session import DeviceSession
from dualface.infer.shapes import Size, pictures

BACKENDS = ("tensorrt", "torch")


def open_network(
    backend: str, model: str, device: Device, *, batch: int, size: Size, half: bool = True, most: int = 0
) -> DeviceSession:
    """The model called ``model`` on ``device``, for ``batch`` pictures of ``size`` (width, height).

    ``half`` computes in 16-bit floats; inputs and outputs stay in 32. ``most`` is the batch that
    engines are built for (``hw.infer_batch``), so that those built ahead are found. Building one
    can take seconds. Raises ValueError or RuntimeError with one sentence.
    """
    onnx = zoo.onnx_path(model, half=half)
    shapes = pictures(onnx, batch, size)
    if backend == "torch":
        from dualface.infer.torch import TorchNetwork

        return TorchNetwork(onnx, shapes, gpu=device.gpu, stream=device.stream)
    if backend == "tensorrt":
        from dualface.infer.cuda import CupyCuda
        from dualface.infer.engines import profile
        from dualface.infer.tensorrt import TensorRTNetwork, load

        cuda = CupyCuda(device.gpu)
        cuda.use()
        wanted = profile(zoo.find(model).sizes, size, max(batch, most))
        loaded = load(onnx, cuda.target(), wanted, device.gpu)
        return TensorRTNetwork(loaded, shapes, stream=device.stream, cuda=cuda)
    raise ValueError(f"there is no backend called '{backend}'; there are {', '.join(BACKENDS)}")
