"""Everything that is wrong with a request, told in one go.

Hydra stops at the first value that it cannot take. Here such a value is put aside and the rest looked
at on its own: the other values, the inputs, the graph, as far as they do not hang on what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dualface.actions import Request
from dualface.graph.errors import Problem, RequestError
from dualface.sentences import problems_of

# With these the graph that was meant is not known.
ASTRAY = {"unknown-choice", "unknown-place", "bad-config", "bad-yaml", "closed-setting", "not-installed"}


def composed(ready: Sequence[str], problems: Sequence[Problem], compose: Callable[[list[str]], Any]) -> Any:
    """``compose(ready)``. ``problems`` are those of arguments that were left out of ``ready``. Raises
    `RequestError` with them and all others that can be told."""
    told, left = list(problems), list(ready)
    while True:
        try:
            config = compose(left)
            break
        except Exception as error:
            found = problems_of(error)
            if found is None:
                raise
            told += found
            wrong = _culprit(error, left)
            if wrong is None:
                raise RequestError(told) from None
            left.remove(wrong)
    if told:
        raise RequestError(dict.fromkeys([*told, *_further(config, left, told)]))
    return config


def _culprit(error: Exception, ready: Sequence[str]) -> str | None:
    """The override that ``error`` is about."""
    text = f"{getattr(error, 'override', '')}\n{error}"
    return max((arg for arg in ready if arg in text), key=len, default=None)


def _further(config: Any, ready: Sequence[str], told: Sequence[Problem]) -> list[Problem]:
    """What is wrong with inputs and graph."""
    from omegaconf import OmegaConf

    from dualface.actions.prepare import prepare

    if config.action not in ("run", "plan"):
        return []
    astray = any(problem.code in ASTRAY for problem in told)
    ours = OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])
    plain: Any = OmegaConf.to_container(ours, resolve=True)
    try:
        prepare(plain, Request(command=tuple(ready)), trust=True, nominal=config.action == "plan")
    except RequestError as error:
        # The input may have been meant by what was left out.
        found = [problem for problem in error.problems if problem.code != "no-input"]
        return [problem for problem in found if not astray or problem.where in ("input", "input_list")]
    return []
