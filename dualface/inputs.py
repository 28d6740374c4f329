"""``input``, ``input_list`` and ``output`` → one (name, path, output) a job."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
import urllib.parse
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualface.graph.errors import Problem, RequestError
from dualface.nodes.decode.files import not_a_file

OUTPUTS = "outputs"  # the folder that holds what a config file names as output
LIST_MOST = 16 << 20  # bytes in a list of inputs
VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg"}


@dataclass(frozen=True, slots=True)
class Wish:
    """A job as it was asked for; nothing has looked into the file yet."""

    index: int
    name: str
    path: str
    output: Path


def wishes(
    config: Mapping[str, Any], folder: Path | None = None, typed: Collection[str] = ()
) -> tuple[Wish, ...]:
    """What to do, in the order given. ``folder`` holds default outputs in a sweep; ``typed`` are the keys
    given on the command line, whose values may be any paths. Raises `RequestError` for a path that does
    not exist, a folder, a pattern that nothing matches, and an output that a config file puts elsewhere
    than into `OUTPUTS`."""
    paths: list[str] = []
    problems: list[Problem] = []
    for item in _asked(config, "input_list" in typed):
        found, problem = _expand(item)
        paths += found
        problems += [problem] if problem else []
    if not paths and not problems:
        problems.append(_problem("no-input", "no video was named.", "Say input=VIDEO, or input=demo to try."))
    template, source = config.get("output"), "output"
    if template is None:
        template, source = str(config["graph"].get("output") or "outputs/{name}.mp4"), "graph.output"
    elif not str(template).strip():
        problems.append(Problem("bad-output", "output", "it is empty.", "Leave it out for the usual place."))
    jobs: list[Wish] = []
    for index, path in enumerate(paths):
        name = name_of(path)
        output, problem = _fill(str(template), name, index)
        problems += [problem] if problem and problem not in problems else []
        base = folder if folder is not None and config.get("output") is None else Path()
        astray = None if problem or source in typed else _astray(source, str(template), base, output)
        problems += [astray] if astray and astray not in problems else []
        jobs.append(Wish(index, name, path, base / output))
    if problems:
        raise RequestError(problems)
    return tuple(jobs)


def name_of(path: str) -> str:
    """What ``{name}`` stands for: the stem of a file's name, also of one that a URL names. It is always
    the name of a file, never of a folder above, and holds no control characters.

    >>> name_of("clips/a.b.mp4"), name_of("https://example.org/a%20b.mp4?key=1/2"), name_of("http://host/")
    ('a.b', 'a b', 'host')
    >>> name_of("...mp4"), name_of("http://host/..%2f..%2f"), name_of("a\\n.mp4")
    ('video', 'video', 'a_')
    """
    name = Path(path).stem
    if "://" in path and not os.path.lexists(path):
        with contextlib.suppress(ValueError):  # http://[ is none
            url = urllib.parse.urlsplit(path)
            name = Path(urllib.parse.unquote(url.path)).stem or url.hostname or ""
    name = re.sub(r"[\x00-\x1f\x7f]", "_", name)
    return name if name.strip(".") else "video"


def _asked(config: Mapping[str, Any], typed: bool) -> list[str]:
    value, listed = config.get("input"), config.get("input_list")
    items = [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]
    if listed:
        text = _listed(str(listed), typed)
        # A path may start with '#': there are no comments.
        items += [line.strip() for line in text.splitlines() if line.strip()]
    return items


def _listed(path: str, typed: bool) -> str:
    """The text of a list of inputs; where it was ``typed`` it may also be a pipe, as in <(find ...)."""
    try:
        if not typed and not stat.S_ISREG(os.stat(path).st_mode):
            why = "it is no file"
        else:
            with open(path, "rb") as file:
                data = file.read(LIST_MOST + 1)
            if len(data) <= LIST_MOST:
                return data.decode("utf-8-sig")
            why = f"it has more than {LIST_MOST >> 20} MiB"
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
    message = f"{path} cannot be read: {why}."
    raise RequestError([Problem("bad-list", "input_list", message, "It holds one path a line.")])


def _expand(item: str) -> tuple[list[str], Problem | None]:
    if "\0" in item:
        return [], _problem("missing", "a path holds no NUL character.", "Look at what wrote it.")
    if os.path.isdir(item):
        return [], _problem("folder", f"{item} is a folder.", _videos_in(item))
    if os.path.exists(item):
        return [item], _not_a_file(item)
    if "://" in item:
        return [item], None
    if item == "demo":
        from dualface.demo import demo_clip

        return [str(demo_clip())], None
    if glob.has_magic(item):
        found = sorted(p for p in glob.glob(item, recursive=True) if not os.path.isdir(p))
        return found, None if found else _problem("no-match", f"no file matches {item}.", "Look at the path.")
    return [], _problem(
        "missing", f"there is no file {item}.", "Look at the path; it starts from where you are."
    )


def _not_a_file(path: str) -> Problem | None:
    what = not_a_file(path)
    if not what:
        return None
    return _problem("not-a-file", f"{path} is {what}, not a file.", "Save the video to a file and name that.")


def _videos_in(folder: str) -> str:
    """How to name the videos in ``folder``."""
    suffixes = Counter(path.suffix for path in Path(folder).glob("*.*") if path.suffix.lower() in VIDEOS)
    if not suffixes:
        return "It holds no video that is known by its name; name one."
    return f"Say input='{folder.rstrip('/') or '/'}/*{suffixes.most_common(1)[0][0]}'.".replace("//", "/")


def _fill(template: str, name: str, index: int) -> tuple[str, Problem | None]:
    known = {"name": name, "index": str(index)}
    other = [word for word in re.findall(r"\{([^{}]*)\}", template) if word not in known]
    if other:
        message = f"'{{{other[0]}}}' means nothing in {template}."
        return template, Problem("bad-output", "output", message, "Only {name} and {index} are filled in.")
    filled = re.sub(r"\{(name|index)\}", lambda m: known[m[1]], template)
    if "\0" in filled or not Path(filled).name:
        return template, Problem("bad-output", "output", f"{template} names no file.", "Name one.")
    return filled, None


def _astray(source: str, template: str, base: Path, output: str) -> Problem | None:
    """What is wrong with ``output``, made of a ``template`` that nobody typed: it lies in the folder of
    outputs, wherever links lead."""
    first, *rest = Path(output).parts
    real, top = Path(os.path.realpath(base / output)), os.path.realpath(base / OUTPUTS)
    if first == OUTPUTS and rest and ".." not in rest and real.is_relative_to(top):
        return None
    message = f"a config names {template} as output, which is not within the folder {OUTPUTS}."
    return Problem("bad-output", source, message, f"Type output={template} if that is meant.")


def _problem(code: str, message: str, hint: str) -> Problem:
    return Problem(code, "input", message, hint)
