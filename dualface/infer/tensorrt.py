"""Networks by TensorRT: ``tensorrt`` 10 and 11 and TensorRT for RTX, whichever suits the GPU.

The two have one interface. TensorRT for RTX builds engines for a GPU that is not there and
captures CUDA graphs by itself; ``tensorrt`` builds for the GPU at hand, and we capture. All
networks are strongly typed: precision is what the ONNX file says.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualface.infer import engines
from dualface.infer.cuda import Cuda, address
from dualface.infer.engines import Profile, Target
from dualface.infer.shapes import Shape, filled

NAMES = ("tensorrt_rtx", "tensorrt_rtx_bindings", "tensorrt")  # the best first
_lock = threading.Lock()
_loaded: weakref.WeakValueDictionary[Any, Loaded] = weakref.WeakValueDictionary()


class EngineError(RuntimeError):
    """An engine cannot be built or run. The text is one sentence that says what to do."""


@dataclass(frozen=True)
class Library:
    """One of the libraries: its module, whether it is TensorRT for RTX, and its version."""

    module: Any
    rtx: bool
    version: str

    @property
    def name(self) -> str:
        return "tensorrt_rtx" if self.rtx else "tensorrt"


def libraries() -> tuple[Library, ...]:
    """Those that can be imported, the best first."""
    found: list[Library] = []
    for name in NAMES:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError):  # absent, or its own libraries are
            continue
        rtx = name != "tensorrt"
        if not any(other.rtx == rtx for other in found):
            found.append(Library(module, rtx, str(module.__version__)))
    return tuple(found)


def library(target: Target, *, here: bool = True) -> Library:
    """The library for ``target``, which is ``here`` or elsewhere. Raises `EngineError`."""
    found = libraries()
    for each in found:
        if _capability(each, target) is not None if each.rtx else here:
            return each
    name, capability = target.name, target.compute_capability or "?"
    if not any(each.rtx for each in found):
        raise EngineError(
            f"no engine for {name} (compute capability {capability}): TensorRT for RTX is not installed; "
            "install it with: pip install 'dualface[tensorrt]'"
        )
    raise EngineError(
        f"no engine for {name}: TensorRT for RTX does not know compute capability {capability}; use the "
        "backend torch, or on that machine: pip install tensorrt-cu13"
    )


def _capability(library: Library, target: Target) -> Any:
    known = library.module.ComputeCapability.__members__
    return known.get("SM" + target.compute_capability.replace(".", ""))


def engine_path(onnx: Path, library: Library, target: Target, profile: Profile) -> Path:
    """Where this engine lies in the cache. One of TensorRT for RTX serves every card of a
    compute capability and every driver, since it is finished on the card."""
    tied = replace(target, name="", driver="") if library.rtx else target
    return engines.path(onnx.read_bytes(), library.name, library.version, tied, profile)


@dataclass(frozen=True, slots=True)
class Built:
    """An engine in the cache: its size, how long it took, and whether it was there before."""

    path: Path
    plan: bytes
    seconds: float
    cached: bool


def engine(onnx: Path, target: Target, profile: Profile, *, here: bool = True) -> Built:
    """The engine for the network in ``onnx``, from the cache or built now. Raises `EngineError`."""
    chosen = library(target, here=here)
    path = engine_path(onnx, chosen, target, profile)
    plan = engines.load(path)
    if plan is not None:
        return Built(path, plan, 0.0, True)
    start = time.perf_counter()
    plan = build(onnx, chosen, target, profile)
    seconds = time.perf_counter() - start
    try:
        engines.save(path, plan)
    except OSError as error:
        raise EngineError(f"the engine cannot be kept in {path.parent}: {error.strerror}") from error
    return Built(path, plan, seconds, False)


def build(onnx: Path, library: Library, target: Target, profile: Profile) -> bytes:
    """A plan for ``target``, whose GPU only ``tensorrt`` needs to find here. Raises `EngineError`."""
    trt, log = library.module, _log(library.module)
    builder = trt.Builder(log)
    if not builder:
        raise EngineError(f"TensorRT {library.version} does not start here: {log.said()}")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx.read_bytes()):
        reasons = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise EngineError(f"TensorRT {library.version} cannot read {onnx}: {reasons or log.said()}")
    config = builder.create_builder_config()
    config.max_aux_streams = 0  # all work stays on the stream it is given
    if library.rtx:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(library, target), 0)
    shapes = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        low, usual, high = (
            filled(tuple(tensor.shape), batch, size)
            for batch, size in (
                (1, profile.least),
                (profile.batch, profile.usual),
                (profile.batch, profile.most),
            )
        )
        shapes.set_shape(tensor.name, low, usual, high)
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"TensorRT {library.version} cannot build {onnx} for {target.name}: {log.said()}")
    return bytes(plan)


def _log(module: Any) -> Any:
    """A logger that keeps the last error, for our own sentence."""

    class Log(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self._last = ""

        def log(self, severity: Any, message: str) -> None:
            if severity in (module.ILogger.Severity.ERROR, module.ILogger.Severity.INTERNAL_ERROR):
                self._last = " ".join(message.split())

        def said(self) -> str:
            return self._last or "it does not say why"

    return Log()


class Loaded:
    """An engine on one GPU, shared by all sessions there."""

    def __init__(self, library: Library, built: Built) -> None:
        trt = library.module
        self.library = library
        self.log = _log(trt)
        self._runtime = trt.Runtime(self.log)
        self.engine = self._runtime.deserialize_cuda_engine(built.plan)
        if self.engine is None:
            raise EngineError(f"the engine {built.path} cannot be loaded: {self.log.said()}; remove it")
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._how: Any = strategy
        if library.rtx:
            # The card's own code is made when a context first runs; this cache keeps it.
            self._made = built.path.with_suffix(".runtime")
            self._how = self.engine.create_runtime_config()
            self._how.set_execution_context_allocation_strategy(strategy)
            self._how.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            # Shapes never change: no code is made anew in the middle of a run.
            self._how.dynamic_shapes_kernel_specialization_strategy = (
                trt.DynamicShapesKernelSpecializationStrategy.EAGER
            )
            self._cache = self._how.create_runtime_cache()
            before = engines.load(self._made)
            if before is not None:
                self._cache.deserialize(before)
            self._how.set_runtime_cache(self._cache)

    def context(self) -> Any:
        """A new execution context. Raises `EngineError`."""
        context = self.engine.create_execution_context(self._how)
        if context is None:
            raise EngineError(f"TensorRT cannot open a context: {self.log.said()}")
        return context

    def keep(self) -> None:
        """Write down the code that was made for this card, the first time."""
        if self.library.rtx and not self._made.exists():
            with contextlib.suppress(OSError):  # the next run makes it again
                engines.save(self._made, bytes(self._cache.serialize()))


def load(onnx: Path, target: Target, profile: Profile, gpu: int) -> Loaded:
    """The engine for ``onnx`` on GPU ``gpu`` of this machine, once for all its sessions."""
    with _lock:
        key = (onnx, target, profile, gpu)
        found = _loaded.get(key)
        if found is None:
            found = _loaded[key] = Loaded(library(target), engine(onnx, target, profile))
        return found


class TensorRTNetwork:
    """A `DeviceSession` by TensorRT: a context of ``loaded`` for ``shapes`` on ``stream``."""

    def __init__(self, loaded: Loaded, shapes: Mapping[str, Shape], *, stream: int, cuda: Cuda) -> None:
        if not stream:
            raise ValueError("a network on a GPU needs a stream of its own, not the default stream 0")
        self._loaded, self._stream, self._cuda = loaded, stream, cuda
        cuda.use()
        self._context = context = loaded.context()
        trt, engine = loaded.library.module, loaded.engine
        self._check(context.set_optimization_profile_async(0, stream), "its profile is refused")
        for name, shape in shapes.items():
            self._check(context.set_input_shape(name, shape), f"'{name}' cannot be {shape}")
        missing = context.infer_shapes()
        self._check(not missing, f"shapes of {', '.join(missing)} stay open")
        size = int(context.update_device_memory_size_for_shapes())
        self._scratch = cuda.empty((max(size, 1),), "uint8")
        context.set_device_memory(address(self._scratch), size)
        self._arrays = {}
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        for name in names:
            kind = engine.get_tensor_dtype(name)
            self._check(kind == trt.DataType.FLOAT, f"'{name}' is {kind}, not 32-bit floats")
            array = cuda.empty(tuple(context.get_tensor_shape(name)), "float32")
            self._check(context.set_tensor_address(name, address(array)), f"no place for '{name}'")
            self._arrays[name] = array
        given = {name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        self.inputs = tuple(name for name in names if name in given)
        self.outputs = tuple(name for name in names if name not in given)
        self.vram_bytes = size + sum(4 * math.prod(array.shape) for array in self._arrays.values())
        self._enqueue()  # the first run sets up what a capture may not
        cuda.wait(stream)
        loaded.keep()
        self._go = self._enqueue if loaded.library.rtx else cuda.capture(stream, self._enqueue)

    def _enqueue(self) -> None:
        self._check(self._context.execute_async_v3(self._stream), "a run is refused")

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise EngineError(f"TensorRT {self._loaded.library.version}: {what} ({self._loaded.log.said()})")

    def input(self, name: str) -> Any:
        """The input's array, float32 ``[batch, ...]``."""
        return self._arrays[name]

    def output(self, name: str) -> Any:
        """The output's array, float32 ``[batch, ...]``."""
        return self._arrays[name]

    def launch(self) -> None:
        """Enqueue one run on the session's stream."""
        self._cuda.use()
        self._go()

    def close(self) -> None:
        """Wait for what was launched, then give the memory back."""
        if self._context is None:
            return
        self._cuda.use()
        self._cuda.wait(self._stream)
        self._go = self._context = self._scratch = self._loaded = None  # type: ignore[assignment]
        self._arrays = {}
