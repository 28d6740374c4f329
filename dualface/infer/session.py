"""What every inference library is to a node: a loaded network, on the host or on a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[np.float32]]


class Session(Protocol):
    """A loaded network.

    ``run`` takes arrays by input name, with the batch as the first axis, and gives those of all
    outputs by name; they belong to the caller. A session is used by one thread at a time.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, arrays: Mapping[str, Any]) -> Arrays: ...

    def close(self) -> None: ...


class DeviceSession(Protocol):
    """A network at fixed addresses of one GPU, for one batch size, picture size and CUDA stream.

    ``input`` and ``output`` give float32 arrays with ``__cuda_array_interface__``, always the
    same ones and always of the full batch; an input's strides may be in any order, outputs are
    contiguous. What an unfilled rest holds does not matter. Fill the inputs on the stream the
    session was opened for, `launch`, and read the outputs on that stream: order on the stream is
    all that orders them. ``launch`` only enqueues; it neither waits nor touches the host.
    ``vram_bytes`` is what this session took when it opened, as far as its library tells. `close`
    waits for what was launched.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    vram_bytes: int

    def input(self, name: str) -> Any: ...

    def output(self, name: str) -> Any: ...

    def launch(self) -> None: ...

    def close(self) -> None: ...
