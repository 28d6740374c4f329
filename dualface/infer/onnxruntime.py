"""Networks on the CPU by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dualface.infer.session import Arrays


class OnnxSession:
    """An ONNX file on ``threads`` threads of the CPU.

    The same arrays give the same answers, bit for bit. Raises ValueError with one sentence where
    the file is not a network that this version can run.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        # Threads that spin while they wait for the next batch would take the cores that
        # decoding and encoding need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(
                str(path),
                options,
                providers=[("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})],
            )
        except Exception as error:  # ONNX Runtime raises classes of its C module, without a public base
            raise ValueError(f"{path} does not run on ONNX Runtime {ort.__version__}: {error}") from error
        self.inputs = tuple(i.name for i in self._session.get_inputs())
        self.outputs = tuple(o.name for o in self._session.get_outputs())

    def run(self, arrays: Mapping[str, Any]) -> Arrays:
        """All outputs by name, for float32 arrays by input name."""
        return dict(zip(self.outputs, self._session.run(None, dict(arrays)), strict=True))

    def close(self) -> None:
        self._session = None
