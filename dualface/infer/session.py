"""What every inference library is to a node: a loaded network that turns arrays into arrays."""

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
