"""The small HTTP server of a service: /livez, /health, /metrics.

It runs in threads of its own, so that it can say that the event loop is stuck; a server inside the loop could only be
silent. It reads, and nothing else: no path changes anything.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from shared.observability.logs import get_logger

_REQUEST_TIMEOUT_S = 5
_STOP_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a door."""

    status: HTTPStatus
    content_type: str
    body: bytes


class Doors:
    """Serves pages by path until closed."""

    def __init__(self, *, host: str, port: int, pages: Mapping[str, Callable[[], Page]]) -> None:
        """Bind at once (``port`` 0 lets the OS choose); raises OSError when the address is taken."""
        self._server = _Server((host, port), type("Handler", (_Handler,), {"pages": dict(pages)}))
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _STOP_POLL_S},
            name="doors",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port that is really bound."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=_REQUEST_TIMEOUT_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a slow reader must not hold up the end of the process


class _Handler(BaseHTTPRequestHandler):
    pages: ClassVar[Mapping[str, Callable[[], Page]]] = {}
    timeout = _REQUEST_TIMEOUT_S
    server_version = "onebook"
    sys_version = ""

    def do_GET(self) -> None:
        make_page = self.pages.get(self.path.partition("?")[0])
        page = make_page() if make_page else Page(HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
        with suppress(ConnectionError):  # the reader hung up: nobody is left to be told
            self.send_response(page.status)
            self.send_header("Content-Type", page.content_type)
            self.send_header("Content-Length", str(len(page.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(page.body)

    do_HEAD = do_GET  # noqa: N815 the name http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the signature of the base class
        get_logger().debug("door_answered", line=format % args)
