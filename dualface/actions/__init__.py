"""What ``action=`` names: one module each, with ``main(config, request) -> exit code``."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACTIONS = {
    "run": "the main job: videos in, split screens out",
    "plan": "the plan for the chosen hardware, without running; format=text|json|mermaid|svg",
    "nodes": "the installed kinds of node; kind=detect lists a role's, kind=detect/yunet shows one in full",
    "hw": "the resolved hardware, each value with the layer it came from; refresh=true probes again",
    "doctor": "what is installed, found and usable here, and what to do about what is not",
    "models": "the models: verified and converted; model=NAME for one, target=rtx5090 for engines",
    "bench": "the benchmarks of a checkout's experiments/ folder; bench=NAME",
}

FOLDERS = ("run", "bench")  # those that have a run folder

FORMATS = {  # of the actions that answer on stdout
    "plan": ("text", "json", "mermaid", "svg"),
    **dict.fromkeys(("nodes", "hw", "doctor"), ("text", "json")),
}


def ends() -> list[signal.Signals]:
    """The signals that end the program as Ctrl-C does: being terminated, and losing the terminal
    unless that is to be ignored (``nohup``)."""
    wanted = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


@dataclass
class Request:
    """What an action is told beside the composed config: the run's ``folder`` (None: it has
    none), the overrides as typed, whether it is one of a sweep. ``outcome`` is what it leaves
    for the sweep's table."""

    folder: Path | None = None
    command: tuple[str, ...] = ()
    sweep: bool = False
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def typed(self) -> frozenset[str]:
        """The keys given on the command line."""
        return frozenset(text.lstrip("+").partition("=")[0] for text in self.command)

    def overrides(self, section: str) -> Mapping[str, Any]:
        """The values given as ``section.key=value``, as YAML reads them."""
        import yaml  # type: ignore[import-untyped]

        found = {}
        for text in self.command:
            key, _, value = text.lstrip("+").partition("=")
            if key.startswith(section + "."):
                found[key.removeprefix(section + ".")] = yaml.safe_load(value)
        return found
