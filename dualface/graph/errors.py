"""Problems that are the request's, not the program's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a request.

    ``code`` is a stable word (``unknown-option``), ``where`` the place in the config
    (``graph.nodes.detect.scroe``), ``message`` what is wrong in one sentence, ``hint`` what to
    do about it.
    """

    code: str
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}{' ' + self.hint if self.hint else ''} [{self.code}]"


class RequestError(Exception):
    """The request cannot be carried out; nothing was started. Exit code 2."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Gathered:
    """Lets independent checks fail one after another and tells their problems together.

    >>> told = Gathered()
    >>> for what in ("one", "two"):
    ...     with told:
    ...         raise RequestError([Problem("bad", what, "it is wrong.")])
    >>> [problem.where for problem in told.problems]
    ['one', 'two']
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, RequestError):
            self.problems += error.problems
        return isinstance(error, RequestError)

    def tell(self) -> None:
        """Raise `RequestError` with all that was gathered, if anything was."""
        if self.problems:
            raise RequestError(dict.fromkeys(self.problems))


class InputError(Exception):
    """One job's input, output or data is at fault; other jobs go on. The text is one sentence."""


class DeviceError(InputError):
    """The machine is at fault, not the job: a session that was refused, a device that gave up, a
    chip that cannot do what comes. The next candidate of an ``auto`` node gets the job."""
