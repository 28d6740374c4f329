"""The command from its first moment: Ctrl-C while modules are still imported ends it as quietly as later.

Nothing here may import anything that takes time.
"""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130


def main() -> int:
    """`dualface.app.main`, with its exit code."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)
    from dualface.app import main as command

    signal.signal(signal.SIGINT, before)
    return command()


def _end(number: int, frame: object) -> None:
    """Nothing has begun that would have to be put away; an exception might get lost in an import."""
    os.write(2, b"Interrupted.\n")
    os._exit(INTERRUPTED)
