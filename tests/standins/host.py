"""A host on this machine that serves a folder over HTTP or HTTPS, parts of files included."""

from __future__ import annotations

import http.server
import io
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any


@contextmanager
def serving(folder: Path, certificate: Path | None = None, moved: str = "") -> Iterator[str]:
    """The address of ``folder``, as long as the block lasts. ``certificate`` (a PEM file, key and
    all) makes it HTTPS; with ``moved``, every path is to be looked for there."""
    handler: Any = type("Handler", (Handler,), {"moved": moved})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as host:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            host.socket = context.wrap_socket(host.socket, server_side=True)
        thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{host.server_address[1]}"
        finally:
            host.shutdown()
            thread.join()


class Handler(http.server.SimpleHTTPRequestHandler):
    moved = ""

    def log_message(self, *args: Any) -> None: ...

    def send_head(self) -> Any:
        path = Path(self.translate_path(self.path))
        if self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved + self.path)
        elif path.is_file() and (asked := self.headers.get("Range")):
            data = path.read_bytes()
            first, _, last = asked.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1 if last else len(data)]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            return io.BytesIO(part)
        else:
            return super().send_head()
        self.end_headers()
        return None
