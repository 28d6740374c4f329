"""Who is to blame for an exception: what came in, what ran out, the device, or a bug."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dualface.graph.errors import DeviceError, InputError

Blame = Literal["input", "resource", "device", "bug", "stall"]

MISTAKES = (TypeError, ValueError, AttributeError, LookupError, NameError, AssertionError, ImportError)

# What may be there again later, or for somebody who asks for less.
SCARCE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
# A disk, a network drive or a bus that does not answer.
AWAY = {errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO}

# As CUDA's runtime and driver say it (cudaGetErrorString, and the names of both APIs), and with them
# PyTorch, CuPy, ONNX Runtime and TensorRT. After one of these nothing works in that context any more.
STICKY = re.compile(
    r"illegal (memory )?a(ccess|ddress)|illegal instruction|misaligned address|unspecified launch failure"
    r"|launch (failed|failure|timed out|timeout)|device-side assert|uncorrectable|\becc\b"
    r"|invalid program counter|hardware stack error|context is destroyed"
    r"|ILLEGAL_(ADDRESS|INSTRUCTION)|MISALIGNED_ADDRESS|LAUNCH_(FAILED|FAILURE|TIMEOUT)|\bcudaErrorAssert\b"
    r"|CUDA_ERROR_(ASSERT|CONTEXT_IS_DESTROYED)|fallen off the bus|GPU is lost|GPU_IS_LOST",
    re.IGNORECASE,
)
SHORT = re.compile(
    r"out of memory|OUT_OF_MEMORY|MemoryAllocation|bad_?alloc|alloc(ation|ate)? fail|failed to allocate"
    r"|refused a session|nvEncOpenEncodeSession|too many (open files|sessions)|no space left",
    re.IGNORECASE,
)
# By word and by class: PyNvVideoCodec's, pynvml's, CuPy's, PyTorch's, TensorRT's.
DEVICE = re.compile(
    r"\bcuda|\bcuvid|\bnv(ml|dec|enc)|\bcu(blas|dnn|fft)|tensorrt|\bgpu\b|NVMLError|PyNvVC|AcceleratorError",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: who is to ``blame``, and one line that says it. After a ``sticky`` one, nothing
    works on the device in this process any more."""

    blame: Blame
    text: str
    sticky: bool = False


def failure_of(error: BaseException) -> Failure:
    """``error`` classed by itself and by what caused it.

    >>> failure_of(MemoryError()).blame, failure_of(ValueError("no")).blame
    ('resource', 'bug')
    >>> failure_of(RuntimeError("CUDA error: an illegal memory access was encountered")).sticky
    True
    """
    text = " ".join(str(error).split()) or type(error).__name__
    chain = list(_chain(error))
    device = any(isinstance(one, DeviceError) or DEVICE.search(_words(one)) for one in chain)
    if device and any(STICKY.search(str(one)) or getattr(one, "sticky", False) for one in chain):
        return Failure("device", text, sticky=True)
    if any(isinstance(one, MemoryError) or getattr(one, "errno", None) in SCARCE for one in chain):
        return Failure("resource", text)
    if device:
        return Failure("resource" if any(SHORT.search(_words(one)) for one in chain) else "device", text)
    if any(isinstance(one, InputError) for one in chain):
        return Failure("input", text)
    if any(isinstance(one, OSError) and one.errno in AWAY for one in chain):
        return Failure("device", text)
    return Failure("bug", text)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and what it was raised from. What merely went on while it was raised says nothing."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _words(error: BaseException) -> str:
    """The class and the text of ``error``, "" where they say nothing about a device: a mistake in Python
    is one whatever it is about, and the sentences of `InputError` name files, called anything."""
    if isinstance(error, MISTAKES) or (isinstance(error, InputError) and not isinstance(error, DeviceError)):
        return ""
    kind = type(error)
    return f"{kind.__module__}.{kind.__name__}: {error}"
