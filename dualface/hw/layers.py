"""Which value holds for each key of the hardware, and the layer it came from.

Layers are asked in order, best first, and each key takes the first value that is possible, fits
the values chosen before it and, unless the layer is trusted, fits this machine. What is dropped is
said in a sentence. Two things are errors: a key for which the fallback fails too, and a value of the
command line that cannot be, since it was typed for this one run.

======================  =======================================================
``hw=``                 layers, best first (``command line`` is always above)
======================  =======================================================
``auto``                manual, probed, fallback
``manual``, ``probed``  that one, fallback
``fallback``            fallback
a preset (``rtx5090``)  that one, probed, fallback
======================  =======================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dualface.graph.errors import Problem, RequestError
from dualface.graph.hardware import Hardware
from dualface.hw.keys import GPU_KEYS, KEYS, parse, unknown
from dualface.hw.packages import PACKAGES
from dualface.hw.relations import depends, misfit, too_much

COMMAND_LINE = "command line"
# Safe everywhere. The GPU's values count only where another layer has found one.
FALLBACK: Mapping[str, Any] = {
    "gpus": [],
    "features": [],
    "packages": ["av", "cv2", "onnx", "onnxruntime"],  # what the base install brings
    "cpu_cores": 1,
    "memory_mb": 2048,
    "cpu_slots": 1,
    "vram_limit_gb": 2.0,
    "vram_per_stream_mb": 1024,
    "cuda_streams": 1,
    "decode_sessions": 1,
    "encode_sessions": 1,
    "decode_batch": 2,  # a CPU gains nothing from more, and each frame in flight costs memory
    "infer_batch": 8,
    "queue_batches": 1,
    "encode_overflow": "wait",
}


@dataclass(frozen=True)
class Layer:
    """Values by key, as somebody gave or measured them; ``notes`` say how it went."""

    name: str
    values: Mapping[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """A key, its value in the layer's own words, and the layer it came from."""

    key: str
    value: Any
    layer: str


@dataclass(frozen=True)
class Resolved:
    """The hardware to plan for, where each value came from, and what was dropped on the way."""

    hardware: Hardware
    values: tuple[Value, ...]
    warnings: tuple[str, ...] = ()


def resolve(
    config: Mapping[str, Any],
    *,
    machine: Layer | None = None,
    manual: Layer | Mapping[str, Any] | None = None,
    typed: Iterable[str] = (),
    trust: bool = False,
) -> Resolved:
    """The hardware that ``config`` (the composed ``hw`` section) names.

    ``config["name"]`` selects the layers; its other keys are the preset's values, or those
    that were given beside ``auto``; a key that is ``None`` counts as not given. ``typed`` names
    those of its keys (what follows ``hw.``) whose values come from the command line. ``machine``
    is what `probe` found, ``manual`` what `read_manual` read (its notes become warnings). With
    ``trust`` (action=plan) the layer that ``name`` names is believed, whatever this machine is.
    Raises `RequestError` with every value of the command line that cannot be, and every key for
    which no layer has a valid value.
    """
    typed = {key.split(".")[0] for key in typed}  # gpus.0.vram_mb is a place within gpus
    name = str(config.get("name") or "auto")
    notes = manual.notes if isinstance(manual, Layer) else ()
    manual = manual.values if isinstance(manual, Layer) else manual
    layers = _layers(name, config, machine, manual, typed)
    work = _Resolution(machine, {name, COMMAND_LINE} if trust else set())
    if name in ("auto", "manual"):
        work.warnings.extend(notes)
    for layer in layers:
        for key in layer.values:
            if key not in KEYS:
                work.unknown(layer.name, key, layer.values[key])
    if name == "manual" and not manual:
        work.warnings.append("hw=manual: there is no manual layer, so the fallback is used.")
    for key in KEYS:
        work.settle(key, layers)
    if work.problems:
        raise RequestError(work.problems)
    values = tuple(Value(key, *work.chosen[key]) for key in KEYS)
    plain = {v.key: v.value for v in values}
    if work.chosen["packages"][1] != COMMAND_LINE:
        plain["packages"] = [*plain["packages"], *_extras(machine)]
    return Resolved(_hardware(name, plain), values, tuple(work.warnings))


def _extras(machine: Layer | None) -> set[str]:
    """Packages of this machine that are no matter of hardware, such as a network's weights or what a
    plugin needs: no layer could list them all."""
    found = set(machine.values.get("packages", ())) if machine else set()
    return found - set(PACKAGES)


def _layers(
    name: str,
    config: Mapping[str, Any],
    machine: Layer | None,
    manual: Mapping[str, Any] | None,
    typed: set[str],
) -> list[Layer]:
    given = {k: v for k, v in config.items() if v is not None or k not in KEYS}
    given = {k: v for k, v in given.items() if k != "name" or k in typed}
    own = {k: v for k, v in given.items() if k not in typed}
    above = {k: v for k, v in given.items() if k in typed}
    by_hand = Layer("manual", {k: v for k, v in (manual or {}).items() if v is not None or k not in KEYS})
    probed = Layer("probed", machine.values if machine else {})
    fallback = Layer("fallback", FALLBACK)
    if name in ("auto", "manual", "probed", "fallback"):
        above = given  # these files hold no values of their own
        chain = {"auto": [by_hand, probed], "manual": [by_hand], "probed": [probed], "fallback": []}[name]
    else:
        chain = [Layer(name, own), probed]
    return [Layer(COMMAND_LINE, above), *chain, fallback]


@dataclass
class _Resolution:
    """What has been settled so far."""

    machine: Layer | None
    trusted: set[str]
    chosen: dict[str, tuple[Any, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    without_gpu: set[str] = field(default_factory=set)  # layers whose GPUs were refused
    refused: set[str] = field(default_factory=set)  # keys whose value on the command line cannot be

    def settle(self, key: str, layers: list[Layer]) -> None:
        """Choose the value of ``key``."""
        if key in GPU_KEYS and not self.chosen.get("gpus", ((), ""))[0]:
            if key in layers[0].values:
                self._without_effect(key, layers[0].values[key])
            self.chosen[key] = (0, self.chosen["gpus"][1] if "gpus" in self.chosen else "fallback")
            return
        refused: list[tuple[str, Any, str]] = []
        for layer in layers:
            if key not in layer.values or self._goes_with_gpus(key, layer.name):
                continue
            raw = layer.values[key]
            if layer.name == "fallback" and self._engine_missing(key):
                raw = 0
            value, why = parse(key, raw)
            if layer.name != COMMAND_LINE or not self.refused & depends(key):
                why = why or misfit(key, value, layer.name, self.chosen)
            if not why and layer.name not in self.trusted and layer.name != "probed":
                why = too_much(key, value, self.machine)
            if why and layer.name == COMMAND_LINE:
                self._refuse(key, raw, why)
                continue
            if not why:
                self.chosen[key] = (value, layer.name)
                for name, bad, reason in refused:
                    self.warn(name, key, bad, reason, f"using {_show(value)} from {layer.name}")
                return
            refused.append((layer.name, raw, why))
            if key == "gpus":
                self.without_gpu.add(layer.name)
        name, bad, reason = refused[-1] if refused else ("fallback", None, "no layer gives a value")
        self.problems.append(
            Problem(
                "bad-hardware",
                f"hw.{key}",
                f"no layer has a usable value; {_show(bad)} ({name}) is not, because {reason}.",
                f"Set hw.{key} on the command line or in the manual layer.",
            )
        )

    def _goes_with_gpus(self, key: str, layer: str) -> bool:
        """A layer whose GPUs are not here has nothing to say about GPUs; that was one sentence."""
        return layer in self.without_gpu and (key in GPU_KEYS or key == "features")

    def _refuse(self, key: str, value: Any, why: str) -> None:
        """What was typed for this run is not replaced by something else."""
        self.refused.add(key)
        end = "" if why.endswith("?") else "."
        self.problems.append(Problem("bad-hardware", f"hw.{key}", f"it cannot be {_show(value)}: {why}{end}"))

    def _without_effect(self, key: str, value: Any) -> None:
        """A GPU's value on the command line where there is no GPU: possible, or not even that."""
        if why := parse(key, value)[1]:
            self._refuse(key, value, why)
        elif "gpus" not in self.refused:
            self.warnings.append(f"hw.{key} (command line) has no effect: there is no GPU to use.")

    def _engine_missing(self, key: str) -> bool:
        feature = {"decode_sessions": "nvdec", "encode_sessions": "nvenc"}.get(key)
        return feature is not None and feature not in self.chosen.get("features", ((), ""))[0]

    def unknown(self, layer: str, key: str, value: Any) -> None:
        """A key that no layer has."""
        why, hint = "no layer has this key", unknown(key)
        if layer != COMMAND_LINE:
            self.warn(layer, key, value, f"{why}; {hint}", "it is ignored")
            return
        hint = hint[0].upper() + hint[1:] + ("" if hint.endswith("?") else ".")
        self.problems.append(Problem("unknown-key", f"hw.{key}", f"{why}.", hint))

    def warn(self, layer: str, key: str, value: Any, why: str, instead: str) -> None:
        more = ""
        if key == "gpus" and layer in self.without_gpu:
            more = "; the other GPU settings of this layer are left out too"
        self.warnings.append(f"hw.{key}={_show(value)} ({layer}) is dropped: {why}; {instead}{more}.")


def _hardware(name: str, values: Mapping[str, Any]) -> Hardware:
    plain = {key: value for key, value in values.items() if key != "vram_limit_gb"}
    plain["features"] = frozenset(values["features"])
    plain["packages"] = frozenset(values["packages"])
    return Hardware(name=name, vram_limit_mb=int(values["vram_limit_gb"] * 1024), **plain)


def _show(value: Any) -> str:
    """A value in a sentence; GPUs by their names.

    >>> _show([{"index": 0, "name": "NVIDIA GeForce RTX 5090", "vram_mb": 32607}]), _show(())
    ('[NVIDIA GeForce RTX 5090]', '[]')
    """
    if isinstance(value, list | tuple):
        names = [x.get("name", "GPU") if isinstance(x, Mapping) else getattr(x, "name", x) for x in value]
        return f"[{', '.join(map(str, names))}]"
    return str(value)
