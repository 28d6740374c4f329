"""Configs as somebody would write them who means harm, or who slipped: real ones, changed at random.

`texts` changes the trees of real YAML and then their text; `overrides` changes what people type.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
SECRET = "DUALFACE_FUZZ_SECRET"  # a variable of the environment that no file may read
ENV = f"${{oc.env:{SECRET}}}"
HOOK = {"_target_": "evil.Hook"}
LOGGING = {"version": 1, "root": {"handlers": ["x"]}, "handlers": {"x": {"()": "evil.Hook"}}}

SURFACES = {  # what is put where, and what is typed to use it
    "graph": ("conf/graph/mine.yaml", ("graph=mine",)),
    "hw": ("conf/hw/mine.yaml", ("hw=mine",)),
    "layout": ("conf/layout/mine.yaml", ("layout=mine",)),
    "node": ("conf/node/detect/mine.yaml", ("node/detect@graph.nodes.detect=mine",)),
    "experiment": ("conf/experiment/mine.yaml", ("+experiment=mine",)),
    "main": ("conf/mine.yaml", ("--config-name", "mine")),
    "plugin": ("plugin/hostile_conf/graph/theirs.yaml", ("graph=theirs",)),
    "manual": ("home/config/hw/manual.yaml", ("hw=manual",)),
    "model": ("home/config/models/mine.yaml", ("action=models", "model=mine")),
    "target": ("conf/hw/mine.yaml", ("action=models", "model=yunet", "target=mine")),
}
TYPED = (  # command lines of honest people
    ("graph.nodes.detect.score=0.7",), ("layout=stacked", "graph=solo"), ("hw.cpu_slots=2", "hw=cpu"),
    ("node/detect@graph.nodes.detect=yunet",), ("+experiment=quick",), ("output={name}_{index}.mp4",),
    ("people.left=a.jpg", "people.sides=position"), ("~graph.nodes.record",), ("record=true", "quiet=true"),
    ("input=[a.mp4,a.mp4]", "output=outputs/{index}.mp4"),
    ("graph.nodes.encode={kind: encode/x264, crf: 20}",), ("layout.tiles.0.width=100",),
    ("strict_zero_copy=true",), ("graph.output=x.mp4", "overwrite=true"),
    ("protocols=[file,http]", "input=http://"), ("input_list=list.txt",), ("kind=detect", "action=nodes"),
)  # fmt: skip
HEADERS = ("", "# @package _global_\n", "# @package graph\n", "# @package hydra.callbacks.x\n",
           f"# @package {ENV}\n", "# @package _global_.hydra.callbacks.x\n", "# @package protocols\n",
           "# @package ''\n", "# @package a b\n", "# @package :\n")  # fmt: skip
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 2, 10**19, 10**40, math.nan, math.inf, 1e-320, "", " ", "가 나", "a\u202eb",
    "\0", "\x1b[31m", "\ud800", "null", "true", "1e3", "\n", "a" * 300, "x:y", "a=b", "detect/yunet", "auto",
    "decode.frames", "detect", "mine", "evil", "evil.Hook", "run", "plan", "../../x", "/etc/passwd",
    "/dev/zero", "..", ".", "/", "-", "~/x", "file:///etc/passwd", "link/x.mp4", "outputs/../../{name}.mp4",
    "fifo", "a.mp4", "outputs/link/x.mp4", "{name}", "{x}", "{0.__class__}", "%s", "%03d.jpg", "640x480",
    "1x1", "0x0", "a" * 64, ENV, f"${{oc.decode:{ENV}}}", f"${{oc.decode:'\\{ENV}'}}", "${oc.${name}:HOME}",
    "${hydra:runtime.cwd}", "${now:%Y}", "${evil:}", "${python_version:}",
    "${oc.create:{_target_: evil.Hook}}", f"\\{ENV}", f"${{oc.select:x,{ENV}}}", "${graph}", "${.}",
    "${..name}", "${nodes}", "${layout}", "${hydra.run.dir}", "${", "${a", "${}", "${${name}}", "${input}",
    b"hi",
)  # fmt: skip
TREES: tuple[Any, ...] = (
    HOOK, LOGGING, {}, [], [[]], [None], {"a": HOOK}, [HOOK], {"callbacks": {"x": HOOK}},
    {"run": {"dir": "out"}}, {1: 2}, {True: 1}, {"a": {"a": {"a": {}}}}, ["http"], [{"vram_mb": 10**30}],
    {"left": "/dev/zero"}, {"left": "fifo"}, [1] * 50, {"kind": "decode/pyav"},
    {"package": "evil", "file": "../evil.py"}, {"path": "/dev/zero"}, {"path": "fifo"}, {"path": "list.txt"},
    {"package": "evil.sub", "file": "x"},
)  # fmt: skip
KEYS: tuple[Any, ...] = (
    "defaults", "hydra", "_target_", "_args_", "output", "input", "input_list", "overwrite", "protocols",
    "record", "people", "graph", "hw", "layout", "action", "kind", "auto", "candidates", "inputs", "enabled",
    "nodes", "name", "model", "target", "bench", "tiles", "gpus", "source", "sha256", "conversions", "sizes",
    "debug", "refused", "searchpath", "objective", "format", "packages", "", "a.b", "a/b", "x y", ENV, "가",
    "__class__", 7, "size", "score", "left", "features",
)  # fmt: skip
DEFAULTS: tuple[Any, ...] = (
    "_self_", "mine", "dualface", "/config", "../../evil", "/hydra/config",
    {"/hydra/launcher@nodes": "basic"}, {"override /hydra/job_logging": "default"},
    {"/layout@_global_": "solo"}, {"/layout@hydra.callbacks.x": "solo"}, {"/layout": ENV},
    {"/layout@_here_": "stacked"}, {f"/{ENV}": "x"}, {"/graph": ["solo", "blur"]}, {"/x": None},
    {"optional /x": "y"}, {"/node/detect@nodes.detect": "${name}"}, {"/node/detect@nodes.detect": "yunet"},
    ENV, {"override /layout@_global_.layout": "solo"}, 5, None, [], {"a": "b", "c": "d"},
    "dualface@_global_.graph", {"/layout@protocols": "solo"}, {"/layout@overwrite": "solo"},
    {"/graph": {"x": "y"}}, "pkg://evil", "",
)  # fmt: skip
SPLICES = (
    "a: &a [*a]", "x: !!python/object/apply:evil.Hook []", "x: !!timestamp 2026-13-45", "x: !!int ''",
    "x: !!binary x", "x: " + "9" * 5000, "x: " + "[" * 80 + "]" * 80, "<<: 1", "x: !<tag:evil> 1", "\tx: 1",
    "---\nx: 1", "x: |\n", "? [1, 2]\n: 3", "x: !!set {a}", "- 1", "}", "x: 'a", "%YAML 9.9",
    "x: &x {y: 1}\nz: *x", "x: *nobody", "x: !!bool maybe", "x: 2026-01-01", "null: 1", "\ufeff",
    "x: 1\nx: 2", "~: ~", "...", "&b b: *b",
)  # fmt: skip


def bases(surface: str) -> list[Any]:
    """The real trees that are changed for ``surface``."""
    folder = {"plugin": "graph", "manual": "hw", "target": "hw", "node": "node/detect"}.get(surface, surface)
    files = sorted((ROOT / "conf" / folder).glob("*.yaml"))
    if surface == "model":
        files = sorted((ROOT / "models").glob("*.yaml"))
    trees = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    if surface == "main":
        trees = [{"defaults": ["config", "_self_"], "quiet": True, "objective": "totals.fps"}]
        trees += [
            {
                "defaults": [
                    "dualface_settings",
                    {"layout": "stacked"},
                    {"graph": "dualface"},
                    {"hw": "cpu"},
                ],
                "record": True,
            }
        ]
    if surface == "model":
        trees = [{**tree, "name": "mine"} for tree in trees]
    if surface == "experiment":
        trees += [{"graph": {"output": "outputs/{name}.mp4"}, "people": {"sides": "position"}}]
    return trees


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each map or list in ``tree`` with each of its keys."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, inner in list(items):
        yield tree, key
        yield from places(inner)


def _nested(depth: int) -> Any:
    tree: Any = "x"
    for i in range(depth):
        tree = [tree] if i % 2 else {"a": tree}
    return tree


nested = st.integers(2, 70).map(_nested)
values = st.one_of(
    st.sampled_from(SCALARS), st.sampled_from(TREES), nested, st.text(max_size=5), st.integers()
)


@st.composite
def changed(draw: Callable[..., Any], tree: Any) -> Any:
    """``tree`` with one thing changed."""
    found = list(places(tree))
    value = copy.deepcopy(draw(values))
    if not found:
        return value if draw(st.booleans()) else {"a": value}
    holder, key = draw(st.sampled_from(found))
    ways = ["put", "put", "add", "add", "top", "drop", "wrap", "rename", "swap", "defaults", "defaults"]
    way = draw(st.sampled_from(ways))
    if way == "put":
        holder[key] = value
    elif way == "wrap":
        holder[key] = draw(st.sampled_from([[holder[key]], {"a": holder[key]}, [holder[key]] * 3]))
    elif way == "drop":
        del holder[key]
    elif way == "swap":
        other, name = draw(st.sampled_from(found))
        holder[key] = copy.deepcopy(other[name])
    elif way == "rename" and isinstance(holder, dict):
        holder[draw(st.sampled_from(KEYS))] = holder.pop(key)
    elif way == "add" and isinstance(holder, dict):
        holder[draw(st.sampled_from(KEYS))] = value
    elif way == "add":
        holder.append(value)
    elif isinstance(tree, dict) and way == "top":
        tree[draw(st.sampled_from(KEYS))] = value
    elif isinstance(tree, dict):
        old = tree.get("defaults")
        more = draw(st.lists(st.sampled_from(DEFAULTS), min_size=1, max_size=2))
        tree["defaults"] = [*(old if isinstance(old, list) else []), *copy.deepcopy(more)]
    return tree


@st.composite
def texts(draw: Callable[..., Any], surface: str) -> str:
    """The text of a config for ``surface``."""
    tree = copy.deepcopy(draw(st.sampled_from(bases(surface))))
    for _ in range(draw(st.integers(0, 3))):
        tree = draw(changed(tree))
    text = yaml.safe_dump(tree, allow_unicode=draw(st.booleans()), sort_keys=False)
    if draw(st.integers(0, 4)) == 0:
        lines = text.splitlines()
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(SPLICES)))
        text = "\n".join(lines)
    if draw(st.integers(0, 19)) == 0:
        text = text[: draw(st.integers(0, len(text)))]
    usual = "# @package _global_\n" if surface in ("experiment", "main") else ""
    return (draw(st.sampled_from(HEADERS)) if draw(st.integers(0, 4)) == 0 else usual) + text


@st.composite
def overrides(draw: Callable[..., Any]) -> list[str]:
    """A command line."""
    args = list(draw(st.sampled_from(TYPED)))
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.one_of(st.sampled_from(KEYS), st.sampled_from([a.split("=")[0] for a in args])))
        value = draw(st.one_of(values, st.sampled_from(SPLICES)))
        # (What is typed may take no NUL and no half character: the system would not hand them on.)
        written = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).strip()
        sign = draw(st.sampled_from(["", "", "", "+", "++", "~", "graph.", "hydra.", "graph.nodes.detect."]))
        args.append(f"{sign}{key}={written}".replace("\0", "").encode("utf-8", "ignore").decode())
    return args
