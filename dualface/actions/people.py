"""Whether the people of a request can be told by their photos, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dualface.graph.dag import Graph, GraphNode
from dualface.graph.errors import InputError, Problem, RequestError

if TYPE_CHECKING:
    from dualface.nodes.reid.portrait import Portrait

RECOGNISER = "reid/conditional"
KEYS = ("left", "right", "sides")


def check_people(people: Mapping[str, Any], graph: Graph) -> None:
    """Raise `RequestError` where a photo shows no one face, both show one person, or nobody would look."""
    from dualface.nodes.reid import portrait
    from dualface.nodes.reid.conditional import ConditionalConfig

    problems = [
        Problem(
            "unknown-key", f"people.{key}", f"there is no key 'people.{key}'.", f"There are {_listed(KEYS)}."
        )
        for key in people
        if key not in KEYS
    ]
    photos = _photos(people)
    problems += without_recogniser(people, graph)
    for node in _recognisers(graph):
        assert isinstance(node.config, ConditionalConfig)
        portraits = {}
        for tile, side in enumerate(("left", "right")):
            if photo := getattr(node.config, side):
                asked = photos.get(f"people.{side}") == photo
                where = f"people.{side}" if asked else f"graph.nodes.{node.name}.{side}"
                if tile >= len(node.config.layout.tiles):
                    message = "the layout has one tile, which is that of people.left."
                    problems.append(Problem("no-tile", where, message, "Say people.left=... instead."))
                    continue
                try:
                    portraits[where] = portrait.read(photo)
                except InputError as error:
                    problems.append(Problem("bad-photo", where, f"{error}."))
        if len(portraits) == 2 and _one_person(node.config.model, *portraits.values()):
            first, second = portraits
            message = f"this photo and that of {first} show one person, or two who look alike."
            hint = "Take photos of two people, or leave one of them out."
            problems.append(Problem("same-person", second, message, hint))
    if problems:
        raise RequestError(problems)


def _one_person(model: str, *portraits: Portrait) -> bool:
    """Whether the network would take these for one person; False where it is not here to be asked."""
    import numpy as np

    from dualface import zoo
    from dualface.nodes.reid.described import described
    from dualface.nodes.reid.embed import Embedder

    embedder = Embedder(model)
    try:
        if zoo.left_out(zoo.find(model)):
            return False
        faces = [embedder.embed(*one)[0] for one in portraits]
        return bool(np.linalg.norm(faces[0] - faces[1]) < described(model).distance)
    except zoo.ModelError:  # the node's own check says so
        return False
    finally:
        embedder.close()


def without_recogniser(people: Mapping[str, Any], graph: Graph) -> list[Problem]:
    """What is wrong where photos are given to a graph that recognises nobody."""
    photos = _photos(people)
    if not photos or _recognisers(graph):
        return []
    passed = [p for node in graph.nodes for p in node.passed if p.kind == RECOGNISER]
    why = f"{RECOGNISER} is passed over: {passed[0].why.rstrip('.')}" if passed else f"no {RECOGNISER}"
    message = f"a photo is of no use in graph '{graph.name}', which recognises nobody ({why})."
    hint = "pip install 'dualface[reid]' brings what it needs." if passed else "Leave the photos out."
    return [Problem("no-recognition", next(iter(photos)), message, hint)]


def _photos(people: Mapping[str, Any]) -> dict[str, str]:
    return {f"people.{side}": str(people[side]) for side in ("left", "right") if people.get(side)}


def _recognisers(graph: Graph) -> list[GraphNode]:
    return [node for node in graph.nodes if node.kind.name == RECOGNISER]


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"people.{word}" for word in words)
