"""An ONNX network as a list of torch calls for inputs of fixed shapes.

With the shapes known, whatever is computed from shapes and constants alone is computed once, on
the host; what is left touches pixels only, asks the host for nothing and can be captured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dualface.infer.filters import RELU
from dualface.infer.operators import HOST, OPERATORS, from_onnx
from dualface.infer.shapes import Shape, load


@dataclass(frozen=True)
class Call:
    """One operator: its arguments are names of earlier values, or constants. ``done`` are the values
    that nobody reads afterwards."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    results: tuple[str, ...]
    done: tuple[str, ...] = ()

    def run(self, values: dict[str, Tensor]) -> None:
        """Add the results to ``values``, remove what is done with."""
        given = [values[x] if isinstance(x, str) else x for x in self.arguments]
        answer = self.function(*given)
        answers = answer if isinstance(answer, tuple) else (answer,)
        values.update(zip(self.results, answers, strict=False))
        for name in self.done:
            values.pop(name, None)


class Program:
    """The network in ``path`` for inputs of ``shapes`` on ``device``.

    ``channels_last`` keeps pictures with their channels innermost. Raises ValueError with one
    sentence for what is no network or has an operator that is not known. Everything is done on
    torch's current stream.
    """

    def __init__(
        self, path: Path, shapes: Mapping[str, Shape], device: str = "cpu", *, channels_last: bool = False
    ) -> None:
        model = load(path)
        self._device, self._shapes = torch.device(device), shapes
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.outputs = tuple(value.name for value in model.graph.output)
        self._calls: list[Call] = []
        with torch.no_grad():
            self._compile(path, model, shapes)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs by name, contiguous."""
        with torch.no_grad():
            values = {name: self._laid_out(x) for name, x in inputs.items()}
            for call in self._calls:
                call.run(values)
            return {name: values[name].contiguous() for name in self.outputs}

    def zeros(self) -> dict[str, Tensor]:
        """Inputs by name, laid out as it keeps them, so that it copies none."""
        return {name: self._laid_out(torch.zeros(s, device=self._device)) for name, s in self._shapes.items()}

    def _laid_out(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=self._format) if x.dim() == 4 else x

    def _compile(self, path: Path, model: Any, shapes: Mapping[str, Shape]) -> None:
        """Run once on zeros: what has to be known before pixels are becomes a constant."""
        constants: dict[str, Tensor] = {t.name: from_onnx(t) for t in model.graph.initializer}
        placed: dict[str, Tensor] = {}  # constants on the device
        values = self.zeros()
        opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=11)

        def argument(name: str, host: bool) -> Any:
            if not name:
                return None
            if name in constants:
                if host:
                    return constants[name]
                if name not in placed:
                    placed[name] = self._laid_out(constants[name].to(self._device))
                return placed[name]
            if host:
                raise ValueError(f"{path}: the shapes of this network depend on what is in the picture")
            return name

        for node, results, relu in _fused(model.graph):
            function = _function(path, node, opset, relu)
            if node.op_type == "Shape":
                of = node.input[0]
                constants[results[0]] = function(values[of] if of in values else constants[of])
                continue
            if all(name in constants for name in node.input if name):
                answer = function(*(constants.get(name) for name in node.input))
                answers = answer if isinstance(answer, tuple) else (answer,)
                constants.update(zip(results, answers, strict=False))
                continue
            host = HOST.get(node.op_type, ())
            arguments = tuple(argument(name, i in host) for i, name in enumerate(node.input))
            call = Call(function, arguments, results)
            try:
                call.run(values)
            except (ValueError, RuntimeError, IndexError, KeyError) as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{path} does not run on torch ({node.op_type}): {reason}") from error
            self._calls.append(call)
        for name in self.outputs:
            if name not in values:
                raise ValueError(f"{path}: its output '{name}' does not depend on its input")
        self._calls = _released(self._calls, keep={*self.outputs})


def _fused(graph: Any) -> Iterator[tuple[Any, tuple[str, ...], bool]]:
    """The nodes in order, what each results in, and whether it takes along the Relu that alone reads it."""
    readers = Counter([name for node in graph.node for name in node.input] + [o.name for o in graph.output])
    convs = {node.output[0] for node in graph.node if node.op_type == "Conv"}
    relus = {
        node.input[0]: tuple(node.output)
        for node in graph.node
        if node.op_type == "Relu" and node.input[0] in convs and readers[node.input[0]] == 1
    }
    for node in graph.node:
        taken = node.op_type == "Relu" and node.input[0] in relus
        if not taken:
            relu = relus.get(node.output[0])
            yield node, relu or tuple(node.output), relu is not None


def _function(path: Path, node: Any, opset: int, relu: bool) -> Callable[..., Any]:
    from onnx import helper

    operator = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if operator is None:
        raise ValueError(
            f"{path} uses the ONNX operator {node.op_type}, which the torch backend does not know; "
            "use the backend tensorrt or onnxruntime, or export the network without it"
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    attributes |= {"opset": opset, "outputs": len(node.output), RELU: relu}
    return lambda *arguments: operator(attributes, *arguments)


def _released(calls: list[Call], keep: set[str]) -> list[Call]:
    """The calls, each with the values that it is the last to read."""
    seen, answer = set(keep), []
    for call in reversed(calls):
        names = {x for x in (*call.arguments, *call.results) if isinstance(x, str)}
        answer.append(replace(call, done=tuple(sorted(names - seen))))
        seen |= names
    return answer[::-1]
