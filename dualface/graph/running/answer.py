"""A node's answer taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualface.graph.ports import PortType


class Unfit(Exception):
    """An answer that is not what the node declares; the text goes behind the node's name."""


def outputs_of(answer: Any, declared: Mapping[str, PortType]) -> dict[str, Any]:
    """An ``answer`` as outputs by name, each of its ``declared`` type; "" is the name of an only one. Raises
    `Unfit`."""
    if "" in declared:
        outputs = {"": answer}
    elif isinstance(answer, tuple) and all(hasattr(answer, name) for name in declared):
        outputs = {name: getattr(answer, name) for name in declared}
    else:
        names = ", ".join(declared)
        raise Unfit(f"answered with {type(answer).__name__}, not with a NamedTuple of {names}")
    for name, value in outputs.items():
        if not isinstance(value, declared[name].value):
            label = f"'{name}'" if name else "its output"
            wanted = declared[name].value.__name__
            raise Unfit(f"answered with {type(value).__name__} where {label} is {wanted}")
    return outputs
