"""A transaction pooler before the Book: every client gets the one backend, each for as long as its transaction lasts."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.integration.cutting import stand_before

ENCRYPTION_REQUESTS = frozenset({80877103, 80877104})
"""What libpq asks before it starts (SSLRequest and GSSENCRequest of the protocol); here the answer is no."""
CANCEL_REQUEST = 80877102


class Pooler:
    """Speaks Postgres's protocol on a port the OS chooses, as far as handing a backend around needs."""

    def __init__(self, url: str) -> None:
        self._listener, self._server, self.url = stand_before(url)
        self._sockets: list[socket.socket] = [self._listener]
        self._backend: socket.socket | None = None
        self._greeting = b""
        self._turn = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in self._sockets:
            with suppress(OSError):  # the other side was faster
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed: the test is over
            while True:
                client, _ = self._listener.accept()
                self._sockets.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError):  # one side is gone
            startup = self._startup(client)
            if startup is None:
                return
            with self._turn:
                backend = self._greet(client, startup)
            while True:
                kind, message = _message(client)
                if kind == b"X":
                    return
                with self._turn:
                    self._transaction(client, backend, kind, message)

    def _startup(self, client: socket.socket) -> bytes | None:
        while True:
            (length,) = struct.unpack("!i", _exactly(client, 4))
            rest = _exactly(client, length - 4)
            (code,) = struct.unpack("!i", rest[:4])
            if code == CANCEL_REQUEST:
                return None
            if code not in ENCRYPTION_REQUESTS:
                return struct.pack("!i", length) + rest
            client.sendall(b"N")

    def _greet(self, client: socket.socket, startup: bytes) -> socket.socket:
        """Start the backend with its first client; tell later ones what the backend said then."""
        if self._backend is not None:
            client.sendall(self._greeting)
            return self._backend
        self._backend = socket.create_connection(self._server)
        self._sockets.append(self._backend)
        self._backend.sendall(startup)
        kind = b""
        while kind != b"Z":
            kind, message = _message(self._backend)
            client.sendall(message)
            asked = kind == b"R" and struct.unpack("!i", message[5:9])[0] != 0
            if asked:  # for a password: only the first client knows how to answer
                self._backend.sendall(_message(client)[1])
            else:
                self._greeting += message
        return self._backend

    def _transaction(
        self, client: socket.socket, backend: socket.socket, kind: bytes, message: bytes
    ) -> None:
        """Carry messages both ways until the backend stands outside any transaction."""
        while True:
            backend.sendall(message)
            if kind in {b"Q", b"S"}:
                answered, message = b"", b""
                while answered != b"Z":
                    answered, message = _message(backend)
                    client.sendall(message)
                if message[5:6] == b"I":
                    return
            kind, message = _message(client)


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    """Return one message's type, and the whole of it."""
    head = _exactly(source, 5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + _exactly(source, length - 4)


def _exactly(source: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = source.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


@contextmanager
def pooler_to(url: str) -> Iterator[Pooler]:
    """A pooler before the server of this address; gone when the block ends."""
    pooler = Pooler(url)
    try:
        yield pooler
    finally:
        pooler.close()
