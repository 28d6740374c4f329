"""Whether a path is an ordinary file; cheap, so that it can be asked before anything is loaded."""

from __future__ import annotations

import os
import stat

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def not_a_file(path: str) -> str:
    """What is behind a path that exists and is neither file nor folder, ``""`` for those; reading it
    may never end, or do something. Links are followed. Raises OSError.

    >>> not_a_file("/dev/null"), not_a_file(__file__)
    ('a device', '')
    """
    made_up = os.path.realpath(path).startswith(("/proc/", "/sys/"))
    return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "made up by the system" if made_up else "")
