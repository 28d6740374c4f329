"""Nothing that dualface reads from a file can run code: no pickle in any of its forms."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import dualface

PACKAGE = Path(dualface.__file__).parent
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# `torch.load`, `numpy.load`, `yaml.load` and the like, by the module's usual names; numpy's may say that it
# takes no pickles.
LOADS = {(module, name) for module in ("torch", "np", "numpy", "cupy") for name in ("load", "fromfile")}
LOADS |= {("yaml", name) for name in ("load", "full_load", "unsafe_load", "load_all", "unsafe_load_all")}
CALLS = {"eval", "exec", "__import__"}
# What one process of ours hands to another over a pipe that only they have.
PRIVATE = {(f"graph/running/{name}.py", "pickle") for name in ("worker", "apart", "ways")}


def risky(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called, given = node.func, {k.arg: getattr(k.value, "value", None) for k in node.keywords}
            if isinstance(called, ast.Name) and called.id in CALLS:
                yield called.id
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                where = called.value.id, called.attr
                if where in LOADS and given.get("allow_pickle") is not False:
                    yield ".".join(where)
            if given.get("allow_pickle", False) is not False:
                yield "allow_pickle"


def test_no_file_is_read_by_what_may_run_it() -> None:
    found = {
        (file.relative_to(PACKAGE).as_posix(), what)
        for file in PACKAGE.rglob("*.py")
        for what in risky(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == PRIVATE


def test_it_is_noticed() -> None:
    assert not list(risky(ast.parse("np.load(x, allow_pickle=False)")))
    text = "import pickle\nfrom joblib import x\nnp.load('x', allow_pickle=True)\nyaml.load('x')\neval('x')"
    assert sorted(risky(ast.parse(text))) == [
        "allow_pickle",
        "eval",
        "joblib",
        "np.load",
        "pickle",
        "yaml.load",
    ]
