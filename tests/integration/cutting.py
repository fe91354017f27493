"""A wire between a process and the Book that a test can cut: afterwards bytes are swallowed and nobody is told."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK = 65_536


def stand_before(url: str) -> tuple[socket.socket, tuple[str, int], str]:
    """Return a listener on a port the OS chooses, the server of ``url``, and the address that leads to the listener."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    listener = socket.create_server(("127.0.0.1", 0))
    user = parts.netloc.rpartition("@")[0]
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    return listener, (parts.hostname, parts.port), urlunsplit(parts._replace(netloc=f"{user}@{place}"))


class Wire:
    """A TCP proxy on a port the OS chooses; each connection is carried both ways until it is cut."""

    def __init__(self, url: str) -> None:
        self._listener, self._server, self.url = stand_before(url)
        self._requests_cut = threading.Event()
        self._answers_cut = threading.Event()
        self._closed = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, answers_only: bool = False) -> None:
        """Swallow what is said from now on, both ways, on old and new connections; they stay open."""
        self._answers_cut.set()
        if not answers_only:
            self._requests_cut.set()

    def mend(self) -> None:
        """Let new connections through again; on the old ones too much is missing, so they end."""
        self._end_all()
        self._requests_cut.clear()
        self._answers_cut.clear()

    def close(self) -> None:
        """End everything."""
        self._closed.set()
        self._listener.close()
        self._end_all()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed: the test is over
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                server = socket.create_connection(self._server)
                self._sockets.append(server)
                if self._closed.is_set():  # while we were connecting: nobody else will end these
                    self._end_all()
                    return
                for source, sink, cut in (
                    (client, server, self._requests_cut),
                    (server, client, self._answers_cut),
                ):
                    threading.Thread(target=_carry, args=(source, sink, cut), daemon=True).start()

    def _end_all(self) -> None:
        while self._sockets:
            ending = self._sockets.pop()
            with suppress(OSError):  # the other side was faster
                ending.shutdown(socket.SHUT_RDWR)
            ending.close()


def _carry(source: socket.socket, sink: socket.socket, cut: threading.Event) -> None:
    with suppress(OSError):  # one side is gone
        while data := source.recv(CHUNK):
            if not cut.is_set():
                sink.sendall(data)
        if not cut.is_set():
            sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(url: str) -> Iterator[Wire]:
    """A wire to the server of this address; gone when the block ends."""
    wire = Wire(url)
    try:
        yield wire
    finally:
        wire.close()
