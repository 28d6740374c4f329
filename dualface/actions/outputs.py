"""Whether the files that a run will write can be written; asked before anything starts."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dualface.actions.prepare import graphs
from dualface.graph.dag import Graph
from dualface.graph.errors import Problem, RequestError
from dualface.graph.job import Job
from dualface.graph.plan import Plan
from dualface.graph.running import unfinished
from dualface.graph.running.names import NAME_MAX
from dualface.graph.running.outputs import recover, writer_of

PATH_MAX = 4000  # bytes in a path; systems take 4095, and a temporary name is longer than its final one


def check(plan: Plan, jobs: Sequence[Job], *, overwrite: bool, make: bool = True) -> list[Path]:
    """Raise `RequestError` with everything that would go wrong with files and jobs; make the outputs'
    folders when nothing would, and answer with those that were not there. What a killed run left half
    replaced is put right, and told on stderr. Without ``make`` nothing is touched."""
    problems: list[Problem] = []
    owners: dict[str, Job] = {}
    inputs = {os.path.realpath(job.input): job for job in jobs}
    outputs: dict[Path, None] = {}
    for job in jobs:
        # One of the graphs runs the job: what each of them writes is written once.
        possible = [plan.instead[job.index]] if job.index in plan.instead else graphs(plan)
        for graph in possible:
            problems += _written_twice(graph, job)
        for path in dict.fromkeys(path for graph in possible for _, path in _writes(graph, job)):
            outputs[path] = None
            too_long = _too_long(path)
            if make and not too_long and (told := recover(path)):
                print(told, file=sys.stderr)
            real = os.path.realpath(path)
            if real in owners:
                other = owners[real]
                message = f"{other.input} and {job.input} would both write {path}."
                problems.append(
                    Problem("same-output", "output", message, "Use {name} or {index} in output=.")
                )
            owners[real] = job
            if too_long:
                problems.append(too_long)
            elif real in inputs or any(_same(path, other.input) for other in jobs):
                message = f"{path} is one of the inputs, and inputs are never overwritten."
                problems.append(Problem("output-is-input", "output", message, "Choose another output=."))
            elif path.is_dir():
                problems.append(Problem("output-folder", "output", f"{path} is a folder.", "Name a file."))
            elif path.exists() and not overwrite:
                message = f"{path} exists already."
                problems.append(Problem("exists", "output", message, "Say overwrite=true to replace it."))
            elif (process := writer_of(path) or unfinished.writer_of(path)) is not None:
                who = f", process {process}" if process else ""
                message = f"{path} is being written by another run{who}."
                problems.append(
                    Problem("being-written", "output", message, "Wait for it, or choose another output=.")
                )
    made: list[Path] = []
    if not problems:
        folders = dict.fromkeys(path.parent for path in outputs)
        problems += _make_folders(folders, made) if make else _look_at(folders)
    if problems:
        raise RequestError(dict.fromkeys(problems))
    return made


def _too_long(path: Path) -> Problem | None:
    """The problem with a name that no file system here takes, counted because whoever asks about
    such a file gets an error in place of "no"."""
    hint = "Choose a shorter output=."
    for part in path.parts:
        if (size := len(os.fsencode(part))) > NAME_MAX:
            most = f"a name has at most {NAME_MAX} (a Hangul letter takes 3)"
            return Problem("long-name", "output", f"the name {part} has {size} bytes; {most}.", hint)
    if (size := len(os.fsencode(path.absolute()))) > PATH_MAX:
        message = f"the path {path} has {size} bytes; {PATH_MAX} are the most."
        return Problem("long-name", "output", message, hint)
    return None


@contextlib.contextmanager
def tidied(folders: Iterable[Path]) -> Iterator[None]:
    """However what is within ends, those of ``folders`` in which nothing is go again."""
    try:
        yield
    finally:
        _remove_empty(folders)


def _remove_empty(folders: Iterable[Path]) -> None:
    """Take away those of ``folders`` in which nothing is."""
    for path in sorted(folders, reverse=True):
        with contextlib.suppress(OSError):
            path.rmdir()


def _look_at(folders: Iterable[Path]) -> list[Problem]:
    """What the system says without being asked to write."""
    problems: list[Problem] = []
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        doing = "written to" if there == folder else "made"
        if not there.is_dir():
            problems.append(_no_folder(folder, doing, f"{there} is a file"))
        elif not os.access(there, os.W_OK | os.X_OK):
            problems.append(_no_folder(folder, doing, "Permission denied"))
    return problems


def _no_folder(folder: Path, doing: str, why: str | None) -> Problem:
    message = f"the folder {folder} cannot be {doing}: {why}."
    return Problem("output-folder", "output", message, "Choose another output=.")


def _make_folders(folders: Iterable[Path], made: list[Path]) -> list[Problem]:
    """Make them and try to write there, noting what was ``made``; with a problem, that goes again."""
    problems: list[Problem] = []
    for folder in folders:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        doing = "made"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            made += missing
            doing = "written to"
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            problems.append(_no_folder(folder, doing, error.strerror))
    if problems:
        _remove_empty(made)
    return problems


def _same(path: Path, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False


def _writes(graph: Graph, job: Job) -> list[tuple[str, Path]]:
    """The files that ``graph`` writes for ``job``, each with its node's name."""
    return [(node.name, path) for node in graph.nodes for path in node.kind.cls.writes(node.config, job)]


def _written_twice(graph: Graph, job: Job) -> Iterator[Problem]:
    owners: dict[str, str] = {}
    for name, path in _writes(graph, job):
        owner = owners.setdefault(os.path.realpath(path), name)
        if owner != name:
            message = f"the nodes '{owner}' and '{name}' would both write {path}."
            hint = f"Set graph.nodes.{name}.enabled=false, or take one of them out of the graph."
            yield Problem("same-output", f"graph.nodes.{name}", message, hint)
