"""What encode/nvenc relies on in PyNvVideoCodec, as one list for the real module and the stand-in.

`faults` looks at an imported module; `strings_missing` at the files of an installed one, which needs
no driver. Neither opens a session.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Positional arguments of CreateEncoder, in order; the rest are options by name.
CREATE = ("width", "height", "fmt", "usecpuinputbuffer")
# Arguments by name that CreateEncoder takes for itself, and gpu_id, which it hands on.
PLACE = ("cudacontext", "cudastream", "gpu_id")
# Options, all of which are handed on as strings; unknown ones would be passed over in silence.
OPTIONS = (
    "codec", "preset", "tuning_info", "rc", "gop", "bf", "fps", "bitrate", "maxbitrate", "cq", "constqp",
    "use_ivf_container",
)  # fmt: skip
VALUES = {
    "codec": ("h264", "hevc", "av1"),
    "preset": ("P1", "P2", "P3", "P4", "P5", "P6", "P7"),
    "tuning_info": ("high_quality", "low_latency", "ultra_low_latency"),
    "rc": ("cbr", "vbr", "constqp"),
}
ENCODE = ("frame", "picParams")  # the overload of PyNvEncoder.Encode that is called
PACKET = {"data": bytes, "timestamp": int, "picture_type": int}  # what Encode and EndEncode list
IDR = 3  # the picture_type of a key frame
EXCEPTIONS = ("PyNvVCException", "PyNvVCExceptionUnsupported")


def faults(module: Any) -> Iterator[str]:
    """Sentences saying where an imported ``module`` is not as encode/nvenc needs it."""
    for name in ("CreateEncoder", "PyNvEncoder", "NV_ENC_PIC_PARAMS", *EXCEPTIONS):
        if not hasattr(module, name):
            yield f"there is no {name}"
            return
    taken = inspect.signature(module.CreateEncoder).parameters
    if tuple(taken)[: len(CREATE)] != CREATE:
        yield f"CreateEncoder takes {tuple(taken)}"
    if [p.kind for p in taken.values()][len(CREATE) :] != [inspect.Parameter.VAR_KEYWORD]:
        yield "CreateEncoder takes no options by name"
    for name in EXCEPTIONS:
        if not issubclass(getattr(module, name), Exception):
            yield f"{name} is no exception"
    for name in ("Encode", "EndEncode"):
        if not callable(getattr(module.PyNvEncoder, name, None)):
            yield f"PyNvEncoder has no {name}"
    says = " ".join((module.PyNvEncoder.Encode.__doc__ or "").split())
    wanted = r"Encode\(self: \S+, frame: object, picParams: \S*NV_ENC_PIC_PARAMS\) -> list"
    if not re.search(wanted, says):
        yield "Encode has no overload of (frame, picParams)"
    for key in PACKET:
        if f"'{key}'" not in says:
            yield f"Encode does not say that packets have '{key}'"
    yield from _picture_faults(module.NV_ENC_PIC_PARAMS)


def _picture_faults(cls: Any) -> Iterator[str]:
    about = cls()
    about.inputTimeStamp = 2**40 + 1
    if about.inputTimeStamp != 2**40 + 1:
        yield "inputTimeStamp does not keep 64 bits"
    for value in (-1, 1.5):
        try:
            about.inputTimeStamp = value
        except TypeError:
            continue
        yield f"inputTimeStamp takes {value}"


def strings_missing(package: Path) -> Iterator[str]:
    """Names that the compiled modules in the folder of an installed package do not contain.

    The shortest may be compiled into instructions, so only those of 4 bytes and more are looked for.
    """
    names = {
        *OPTIONS,
        "gpu_id",
        *ENCODE,
        *PACKET,
        "inputTimeStamp",
        *(v for vs in VALUES.values() for v in vs),
    }
    modules = sorted(package.glob("PyNvVideoCodec_*"))
    if not modules:
        yield f"there is no PyNvVideoCodec_* in {package}"
    for module in modules:
        data = module.read_bytes()
        yield from (f"{module.name}: {n}" for n in sorted(names) if len(n) > 4 and n.encode() not in data)
