"""``input``, ``input_list`` and ``output`` → one (name, path, output) a job."""

from __future__ import annotations

import glob
import os
import re
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualface.graph.errors import Problem, RequestError
from dualface.nodes.decode.files import not_a_file

VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mts", ".mpg"}


@dataclass(frozen=True, slots=True)
class Wish:
    """A job as it was asked for; nothing has looked into the file yet."""

    index: int
    name: str
    path: str
    output: Path


def wishes(config: Mapping[str, Any], folder: Path | None = None) -> tuple[Wish, ...]:
    """What to do, in the order given. ``folder`` holds default outputs in a sweep. Raises
    `RequestError` for a path that does not exist, a folder, or a pattern that nothing matches."""
    paths: list[str] = []
    problems: list[Problem] = []
    for item in _asked(config):
        found, problem = _expand(item)
        paths += found
        problems += [problem] if problem else []
    if not paths and not problems:
        problems.append(_problem("no-input", "no video was named.", "Say input=VIDEO, or input=demo to try."))
    template = config.get("output")
    if template is None:
        template = str(config["graph"].get("output") or "outputs/{name}.mp4")
    elif not str(template).strip():
        problems.append(Problem("bad-output", "output", "it is empty.", "Leave it out for the usual place."))
    jobs: list[Wish] = []
    for index, path in enumerate(paths):
        name = name_of(path)
        output, problem = _fill(str(template), name, index)
        problems += [problem] if problem and problem not in problems else []
        base = folder if folder is not None and config.get("output") is None else Path()
        jobs.append(Wish(index, name, path, base / output))
    if problems:
        raise RequestError(problems)
    return tuple(jobs)


def name_of(path: str) -> str:
    """What ``{name}`` stands for: the stem of a file's name, also of one that a URL names.

    >>> name_of("clips/a.b.mp4"), name_of("https://example.org/a%20b.mp4?key=1/2"), name_of("http://host/")
    ('a.b', 'a b', 'host')
    """
    if "://" not in path or os.path.lexists(path):
        return Path(path).stem
    url = urllib.parse.urlsplit(path)
    return Path(urllib.parse.unquote(url.path)).stem or url.hostname or "video"


def _asked(config: Mapping[str, Any]) -> list[str]:
    value, listed = config.get("input"), config.get("input_list")
    items = [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]
    if listed:
        try:
            text = Path(listed).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise RequestError(
                [
                    Problem(
                        "bad-list",
                        "input_list",
                        f"{listed} cannot be read: {why}.",
                        "It holds one path a line.",
                    )
                ]
            ) from None
        # A path may start with '#': there are no comments.
        items += [line.strip() for line in text.splitlines() if line.strip()]
    return items


def _expand(item: str) -> tuple[list[str], Problem | None]:
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
    return re.sub(r"\{(name|index)\}", lambda m: known[m[1]], template), None


def _problem(code: str, message: str, hint: str) -> Problem:
    return Problem(code, "input", message, hint)
