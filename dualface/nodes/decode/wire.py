"""Messages between decode/pyav and the process it decodes in.

Each is a length in four bytes and that many bytes of JSON; one that goes out may have a file's handle with
it. What comes back from a process that a hostile file may have taken over is read as plain values, with a
bound on time and size, and never unpickled.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

MOST = 1 << 24  # bytes of a message; one of a hundred events and a batch's times has a few thousand
TICK = 0.1  # seconds between two looks at whether it is still wanted


class Late(Exception):
    """No answer within the time that was set."""


class Unwanted(Exception):
    """The answer is no longer waited for."""


def send(line: socket.socket, message: Any, handle: int | None = None) -> None:
    """Write a message; raises OSError where nobody listens."""
    data = json.dumps(message).encode()
    head = struct.pack(">I", len(data))
    if handle is None:
        line.sendall(head)
    else:
        socket.send_fds(line, [head], [handle])
    line.sendall(data)


def receive(
    line: socket.socket, *, within: float | None = None, wanted: Callable[[], bool] = lambda: True
) -> tuple[Any, int | None]:
    """Read a message, and the handle that came with it. Raises EOFError where the other end is gone,
    `Late` after ``within`` seconds, `Unwanted` soon after ``wanted`` turned false."""
    until = None if within is None else time.monotonic() + within
    handles: list[int] = []

    def some(count: int, take_handles: bool) -> bytes:
        data = b""
        while len(data) < count:
            if not wanted():
                raise Unwanted
            if until is not None and time.monotonic() > until:
                raise Late
            line.settimeout(None if until is None else TICK)
            try:
                if take_handles and not data:
                    part, found, _, _ = socket.recv_fds(line, count, 1)
                    handles.extend(found)
                else:
                    part = line.recv(min(count - len(data), 1 << 20))
            except TimeoutError:
                continue
            except ConnectionResetError:
                part = b""
            if not part:
                raise EOFError
            data += part
        return data

    (length,) = struct.unpack(">I", some(4, take_handles=True))
    if length > MOST:
        raise EOFError("a message that is too long")
    message = json.loads(some(length, take_handles=False))
    return message, handles[0] if handles else None
