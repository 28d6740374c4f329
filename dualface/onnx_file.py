"""Whether a file is an ONNX network that can be run as it is, looked at before any library runs it.

A descriptor's sha256 says that the bytes are the ones meant, not that they are harmless: a network may
name other files to read (external data, compiled parts) and operators that other libraries bring.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

LARGEST = 1 << 30  # bytes; a protobuf message ends at twice that
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # whose operators ONNX Runtime brings
COMPILED = "EPContext"  # a part compiled elsewhere, often in a file of its own


def parse(data: bytes) -> Any:
    """The model that ``data`` is. Raises ValueError with a clause that says what is wrong."""
    import onnx

    if len(data) > LARGEST:
        raise ValueError(f"it has more than {LARGEST >> 20} MiB")
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf's own class, which moves between its versions
        raise ValueError("it is not an ONNX file") from error
    if not model.graph.node or not model.graph.output:
        raise ValueError("it is not an ONNX file, or one without a network")
    own = {function.domain for function in model.functions}
    for node in _nodes(model):
        if node.op_type == COMPILED:
            raise ValueError("it holds parts that were compiled elsewhere; export it without them")
        if node.domain not in (*DOMAINS, *own):
            raise ValueError(f"its operator {node.op_type} is of '{node.domain}', which nothing here brings")
        for tensor in _tensors(node):
            _check_inside(tensor)
    for graph in _graphs(model):
        sparse = (part for one in graph.sparse_initializer for part in (one.values, one.indices))
        for tensor in chain(graph.initializer, sparse):
            _check_inside(tensor)
    return model


def _check_inside(tensor: Any) -> None:
    """Weights in another file are covered by no sha256, and may be anybody's file."""
    if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
        raise ValueError(
            f"its weights '{tensor.name:.60}' are in another file; save them into it with onnx.save"
        )


def _graphs(model: Any) -> Iterator[Any]:
    """The graphs of ``model``, those within its nodes too."""
    yield model.graph
    for training in model.training_info:
        yield from (training.initialization, training.algorithm)
    for node in _nodes(model):
        for attribute in node.attribute:
            yield from ([attribute.g] if attribute.HasField("g") else [])
            yield from attribute.graphs


def _nodes(model: Any) -> Iterator[Any]:
    """All nodes of ``model``."""
    waiting = [*model.graph.node]
    waiting += [node for function in model.functions for node in function.node]
    waiting += [n for one in model.training_info for n in (*one.initialization.node, *one.algorithm.node)]
    while waiting:
        node = waiting.pop()
        yield node
        for attribute in node.attribute:
            inner = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
            waiting += [node for graph in inner for node in graph.node]


def _tensors(node: Any) -> Iterator[Any]:
    """The tensors that ``node`` holds itself."""
    for attribute in node.attribute:
        yield from ([attribute.t] if attribute.HasField("t") else [])
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for one in (*sparse, *attribute.sparse_tensors):
            yield from (one.values, one.indices)
