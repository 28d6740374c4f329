"""A node's code run apart, so that one that exits or hangs is told of like any other mistake."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

End = Literal["done", "raised", "hung"]
OURS = Path(__file__).parent
POLL = 0.05  # seconds


def guarded(breaches: Iterable[str], seconds: float) -> tuple[list[str], End]:
    """The ``breaches``, found on a thread of their own, and how that ended.

    Whatever is raised there is a breach too, SystemExit and KeyboardInterrupt included: a person's
    Ctrl-C comes to the main thread, and so to the caller. A thread that hangs is left behind.
    """
    found: list[str] = []
    end: End = "done"

    def work() -> None:
        nonlocal end
        try:
            for breach in breaches:
                found.append(breach)
        except BaseException as error:
            found.append(f"it raises {type(error).__name__}: {error}")
            end = "raised"

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    patience = time.monotonic() + seconds
    while thread.is_alive():
        if time.monotonic() > patience:
            return [*found, f"{_call(thread)} did not come back within {seconds:g} s"], "hung"
        thread.join(POLL)  # a longer wait may not notice Ctrl-C
    return found, end


def _call(thread: threading.Thread) -> str:
    """The call of the node that ``thread`` is in."""
    call = "it"
    for frame, _ in traceback.walk_stack(sys._current_frames().get(thread.ident or 0)):
        if Path(frame.f_code.co_filename).parent == OURS:
            break
        call = f"{frame.f_code.co_name}()"
    return call
