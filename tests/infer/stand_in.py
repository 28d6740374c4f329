"""A stand-in for CUDA and for TensorRT's runtime that checks what we do and really computes.

Memory is the host's, streams are lists of work that runs when somebody waits, and an engine is
the ONNX file itself, run by ONNX Runtime. Whatever the real library would crash on or silently
get wrong is an AssertionError here: unknown names, shapes outside the profile, addresses that are
nobody's memory, memory or contexts that go before their work is done, the default stream.
Method names and arguments are compared with the real library's in test_tensorrt.py.
"""

from __future__ import annotations

import enum
import math
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from dualface.infer.engines import Target
from dualface.infer.onnxruntime import OnnxSession
from dualface.infer.shapes import Shape, inputs

SCRATCH = 4096  # bytes that a context asks for


class DeviceArray:
    """Host memory that poses as a GPU's."""

    def __init__(self, shape: Shape, dtype: str) -> None:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raw = np.full(size + 256, 0xA5, np.uint8)  # never zeros: real memory is not either
        start = -raw.ctypes.data % 256
        self.host = raw[start : start + size].view(dtype).reshape(shape)
        self.shape = shape

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        where = (self.host.ctypes.data, False)
        return {"shape": self.shape, "typestr": self.host.dtype.str, "data": where, "version": 3}


class StandInCuda:
    """One GPU, see `dualface.infer.cuda.Cuda`."""

    def __init__(self) -> None:
        self.current = False
        self.memory: weakref.WeakValueDictionary[int, DeviceArray] = weakref.WeakValueDictionary()
        self.pending: dict[int, list[Callable[[], None]]] = {}
        self.captured: list[Callable[[], None]] | None = None
        self.captures = 0

    def use(self) -> None:
        self.current = True

    def target(self) -> Target:
        return Target("stand-in", "12.0", "600.1")

    def empty(self, shape: Shape, dtype: str) -> DeviceArray:
        assert self.captured is None, "memory is asked for within a capture"
        array = DeviceArray(shape, dtype)
        self.memory[array.host.ctypes.data] = array
        return array

    def capture(self, stream: int, work: Callable[[], None]) -> Callable[[], None]:
        assert not self.pending.get(stream), "a capture begins while work is pending"
        self.captured = graph = []
        self.captures += 1
        work()
        self.captured = None
        return lambda: self.pending.setdefault(stream, []).extend(graph)

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        if self.captured is not None:
            self.captured.append(work)
        else:
            self.pending.setdefault(stream, []).append(work)

    def wait(self, stream: int) -> None:
        assert self.captured is None, "the host waits within a capture"
        for work in self.pending.pop(stream, []):
            work()


class Severity(enum.Enum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class ExecutionContextAllocationStrategy(enum.Enum):
    STATIC = 0
    USER_MANAGED = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class DynamicShapesKernelSpecializationStrategy(enum.Enum):
    LAZY = 0
    EAGER = 1


class ILogger:
    Severity = Severity

    def log(self, severity: Severity, msg: str) -> None:
        raise NotImplementedError


class IRuntimeCache:
    def __init__(self) -> None:
        self.content = b""

    def serialize(self) -> bytes:
        return self.content or b"made for this card"

    def deserialize(self, blob: bytes) -> bool:
        self.content = blob
        return True


class IRuntimeConfig:
    cuda_graph_strategy = CudaGraphStrategy.DISABLED
    dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY

    def __init__(self) -> None:
        self.strategy = ExecutionContextAllocationStrategy.STATIC
        self.cache: IRuntimeCache | None = None

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> IRuntimeCache:
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        self.cache = cache
        return True


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, strategy: ExecutionContextAllocationStrategy) -> None:
        assert strategy is ExecutionContextAllocationStrategy.USER_MANAGED, "it would take memory by itself"
        self._engine, self._cuda = engine, engine.cuda
        self._shapes: dict[str, Shape] = {}
        self._at: dict[str, int] = {}
        self._scratch = 0
        self._profile = False
        self._ran = False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        assert profile_index == 0
        assert stream_handle, "the default stream"
        self._profile = True
        return True

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        assert self._profile, "a shape before its profile"
        assert not self._ran, "the shape changes after the first run"
        given = self._engine.inputs[name]
        assert len(shape) == len(given)
        assert all(old in (-1, new) for old, new in zip(given, shape, strict=True))
        if shape[0] > self._engine.most:
            return False  # as the library does: it logs and says no
        self._shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [name for name in self._engine.inputs if name not in self._shapes]

    def update_device_memory_size_for_shapes(self) -> int:
        assert not self.infer_shapes(), "the size is asked for before the shapes are known"
        return SCRATCH

    def set_device_memory(self, memory: int, size: int) -> None:
        assert self._cuda.memory[memory].host.nbytes >= size >= SCRATCH
        assert memory % 256 == 0
        self._scratch = memory

    def get_tensor_shape(self, name: str) -> Shape:
        if name in self._shapes:
            return self._shapes[name]
        return self._engine.answer(self._shapes)[name].shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert not self._ran, "an address changes after the first run"
        shape = self.get_tensor_shape(name)
        assert self._cuda.memory[memory].host.nbytes >= 4 * math.prod(shape), f"too little room for {name}"
        self._at[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert stream_handle, "the default stream"
        assert self._cuda.current, "no GPU is current"
        assert self._scratch, "no device memory"
        assert set(self._at) == set(self._engine.names), "a tensor has no address"
        self._ran = True
        engine, memory, at, shapes = self._engine, self._cuda.memory, dict(self._at), dict(self._shapes)
        alive = weakref.ref(self)

        def run() -> None:
            assert alive() is not None, "the context went before its work was done"
            for name, place in {**at, "scratch": self_scratch}.items():
                assert place in memory, f"the memory of {name} went before the work was done"
            given = {name: memory[at[name]].host.reshape(shapes[name]) for name in engine.inputs}
            for name, array in engine.session.run(given).items():
                memory[at[name]].host.reshape(-1)[: array.size] = array.reshape(-1)

        self_scratch = self._scratch
        self._cuda.enqueue(stream_handle, run)
        return True


class ICudaEngine:
    def __init__(self, plan: bytes, cuda: StandInCuda, most: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (file := Path(folder) / "network.onnx").write_bytes(plan)
            self.session = OnnxSession(file)
        self.cuda, self.most = cuda, most
        self.inputs = inputs(onnx.load_from_string(plan))
        self.names = [*self.inputs, *self.session.outputs]
        self.configured: IRuntimeConfig | None = None

    @property
    def num_io_tensors(self) -> int:
        return len(self.names)

    def answer(self, shapes: dict[str, Shape]) -> Any:
        return self.session.run({name: np.zeros(shape, np.float32) for name, shape in shapes.items()})

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        assert name in self.names
        return DataType.FLOAT

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        assert name in self.names
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def create_runtime_config(self) -> IRuntimeConfig:
        self.configured = IRuntimeConfig()
        return self.configured

    def create_execution_context(self, strategy: Any) -> IExecutionContext:
        if isinstance(strategy, IRuntimeConfig):
            assert strategy is self.configured, "the configuration of another engine"
            assert strategy.cuda_graph_strategy is CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            assert strategy.dynamic_shapes_kernel_specialization_strategy is (
                DynamicShapesKernelSpecializationStrategy.EAGER
            )
            assert strategy.cache is not None
            strategy = strategy.strategy
        return IExecutionContext(self, strategy)


def module(cuda: StandInCuda, most: int = 16) -> Any:
    """What ``import tensorrt`` would give; its engines take up to ``most`` pictures."""

    class Runtime:
        def __init__(self, logger: ILogger) -> None:
            self._log = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            try:
                return ICudaEngine(serialized_engine, cuda, most)
            except ValueError:
                self._log.log(Severity.ERROR, "Magic tag does not match")
                return None

    names = (
        ILogger,
        DataType,
        TensorIOMode,
        ExecutionContextAllocationStrategy,
        CudaGraphStrategy,
        DynamicShapesKernelSpecializationStrategy,
        IRuntimeCache,
        IRuntimeConfig,
        IExecutionContext,
        ICudaEngine,
        Runtime,
    )
    return type("tensorrt", (), {each.__name__: each for each in names})
