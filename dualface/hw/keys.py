"""The keys of a hardware layer: what each means and which values are possible at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from dualface.graph.errors import Problem
from dualface.graph.hardware import Gpu
from dualface.graph.registry import nearest

Whole = Annotated[int, Strict()]
Count = Annotated[Whole, Field(ge=1, le=1_000)]
# The driver has no limit of its own on decode sessions; more than 64 on one card is a slip.
Sessions = Annotated[Whole, Field(ge=0, le=64)]
Words = list[Annotated[str, Strict(), Field(min_length=1)]]
Overflow = Literal["wait", "software"]


class GpuKey(BaseModel):
    """One GPU as a layer writes it; see `dualface.graph.hardware.Gpu`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    index: Annotated[int, Field(ge=0, le=1_000)] = 0
    name: str = "GPU"
    vram_mb: Annotated[int, Field(ge=256)]
    compute_capability: Annotated[str, Field(pattern=r"^(\d+\.\d+)?$")] = ""
    decode_engines: Annotated[int, Field(ge=0, le=32)] = 0
    encode_engines: Annotated[int, Field(ge=0, le=32)] = 0


# In the order in which they are resolved: each may be checked against those before it.
KEYS: Mapping[str, tuple[Any, str]] = {
    "gpus": (list[GpuKey], "the GPUs: index, name, vram_mb, compute_capability, engines on the chip"),
    "features": (Words, "what nodes may ask for: cuda, nvdec, nvenc"),
    "packages": (Words, "import names that nodes can rely on"),
    "cpu_cores": (Count, "cores to share out"),
    "memory_mb": (Annotated[Whole, Field(ge=128)], "memory to share out, MiB"),
    "cpu_slots": (Count, "jobs at a time where no GPU limits them"),
    "vram_limit_gb": (Annotated[float, Field(gt=0, allow_inf_nan=False)], "VRAM to use on each GPU, GiB"),
    "vram_per_stream_mb": (Annotated[Whole, Field(ge=64)], "VRAM budget of one job, MiB"),
    "cuda_streams": (Sessions, "jobs at a time on one GPU"),
    "decode_sessions": (Sessions, "NVDEC sessions on one GPU"),
    "encode_sessions": (Sessions, "NVENC sessions on one GPU"),
    "decode_batch": (Annotated[Whole, Field(ge=1, le=256)], "frames that move through the graph together"),
    "infer_batch": (Annotated[Whole, Field(ge=1, le=256)], "frames in one call of a network, at most"),
    "queue_batches": (Annotated[Whole, Field(ge=1, le=64)], "batches that may wait between two stages"),
    "encode_overflow": (Overflow, "jobs beyond encode_sessions: wait, or encode in software"),
}
# What only matters where there is a GPU.
GPU_KEYS = (
    "vram_limit_gb",
    "vram_per_stream_mb",
    "cuda_streams",
    "decode_sessions",
    "encode_sessions",
)
GPU_FEATURES = frozenset({"cuda", "nvdec", "nvenc"})
_ADAPTERS = {key: TypeAdapter(kind) for key, (kind, _) in KEYS.items()}


def parse(key: str, value: Any) -> tuple[Any, str]:
    """The value of ``key`` in its own type and "", or None and why it is not possible.

    >>> parse("decode_batch", 8)
    (8, '')
    >>> parse("encode_overflow", "sofware")
    (None, "it must be 'wait' or 'software'; did you mean 'software'?")
    >>> parse("decode_batch", 0)
    (None, 'it must be a whole number from 1 to 256')
    """
    try:
        parsed = _ADAPTERS[key].validate_python(value)
    except ValidationError as error:
        return None, _why(key, value, error)
    if key == "gpus":
        gpus = tuple(Gpu(**gpu.model_dump()) for gpu in parsed)
        if len({gpu.index for gpu in gpus}) < len(gpus):
            return None, "two GPUs have the same index"
        return gpus, ""
    return (tuple(dict.fromkeys(parsed)) if isinstance(parsed, list) else parsed), ""


def wrong_values(file: str, values: Any) -> list[Problem]:
    """What cannot be among the ``values`` that ``file``, no layer of its own, has set over a layer's. A
    value that refers to others is left alone."""
    found = []
    for key, value in values.items() if isinstance(values, Mapping) else ():
        if key in KEYS and value is not None and "${" not in str(value) and (why := parse(key, value)[1]):
            end = "" if why.endswith("?") else "."
            found.append(Problem("bad-hardware", file, f"hw.{key} cannot be {value}: {why}{end}"))
    return found


def _why(key: str, value: Any, error: ValidationError) -> str:
    if key == "encode_overflow":
        meant = nearest(str(value), get_args(Overflow))
        return "it must be 'wait' or 'software'" + (f"; did you mean '{meant}'?" if meant else "")
    if key != "gpus":
        return f"it must be {_expected(key)}"
    if isinstance(value, Mapping):
        return "it must be a list; hw.gpus.0.KEY=VALUE changes a GPU that a preset, such as hw=h100, lists"
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "model_type":
        return f"{place}: it must hold KEY: VALUE, such as vram_mb: 8192"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"{place + ': ' if place else ''}{message}"


def _expected(key: str) -> str:
    """What a key's value is, as part of a sentence: ``a whole number from 1 to 256``."""
    schema = _ADAPTERS[key].json_schema()
    if schema["type"] == "array":
        return (
            "a list of words, such as [av, cv2]" if key == "packages" else "a list of words, such as [cuda]"
        )
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}"
    return f"{kind} from {schema['minimum']} " + (f"to {schema['maximum']}" if "maximum" in schema else "up")


def unknown(key: str) -> str:
    """What may have been meant by a key that no layer has.

    >>> unknown("decod_batch")
    "did you mean 'decode_batch'?"
    """
    if key == "name":
        return "a layer is chosen by hw=NAME"
    meant = nearest(key, KEYS)
    return f"did you mean '{meant}'?" if meant else f"the keys are {', '.join(KEYS)}"
