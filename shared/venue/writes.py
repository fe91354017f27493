"""Writes over HTTP/1.1: sent once, on a connection of their own, with the exact moment of sending known.

The usual client hides that moment behind awaits (pool, connect, one write for the head and one for the body). Here the
whole request leaves in a single write, and the caller's last check runs directly before it, with no await between (E3).
Only connections that are young and on which the server has said nothing are used again, so that a write does not meet a
connection closed while idle.
"""

import asyncio
import select
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urlsplit

import h11

from shared.runtime.clock import Clock
from shared.runtime.faultpoints import fault_point
from shared.venue.http import tls_context
from shared.venue.outcome import TransportFault

CONNECT_S = 1.0
ANSWER_S = 2.0
"""From the write to the last byte of the answer; the venue may hold a taker's order a quarter of a second."""
IDLE_S = 30.0
"""The venue's edge keeps idle connections longer than this."""
CONNECTIONS_MAX = 4
_BODY_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """What came back of one write: an answer, or how it failed and whether a byte may have left us."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: TransportFault | None = None
    began_send: bool = False


class _Wire(asyncio.Protocol):
    """One connection: what the server sends is kept until asked for; what it sends unasked makes it unusable."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.used_at = 0.0
        self._received = bytearray()
        self._closed = False
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _BODY_BYTES_MAX and self.transport is not None:
            self.transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended changes nothing
        self._closed = True
        self._changed.set()

    def is_usable(self, now: float) -> bool:
        """Return whether the server has neither closed nor spoken since, and the idle time is short."""
        return not self._closed and not self._received and now - self.used_at < IDLE_S and self._is_quiet()

    def _is_quiet(self) -> bool:
        """Return whether the kernel holds nothing the loop has not read yet: a busy loop learns late of a close."""
        assert self.transport is not None
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def write(self, request: bytes) -> None:
        """Hand everything to the socket at once; what the socket does not take goes as soon as it can."""
        assert self.transport is not None
        self.transport.write(request)

    async def more(self) -> bytes:
        """Return what has arrived, waiting for the first byte; empty when the server has closed."""
        while not self._received and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        chunk = bytes(self._received)
        self._received.clear()
        return chunk

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def _always() -> bool:
    return True


class HttpWrites:
    """Sends requests to one base address, each at most once."""

    def __init__(self, base_url: str, clock: Clock, *, answer_s: float = ANSWER_S) -> None:
        self._url: SplitResult = urlsplit(base_url)
        self._clock = clock
        self._answer_s = answer_s
        self._tls = tls_context() if self._url.scheme == "https" else None
        self._idle: list[_Wire] = []
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    async def warm(self) -> bool:
        """Have one connection open, so that the next send need not wait for a handshake; False when none could be."""
        self._drop_stale()
        if self._idle:
            return True
        try:
            self._idle.append(await self._connect())
        except (OSError, TimeoutError):
            return False
        return True

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: str,
        before_send: Callable[[], bool] = _always,
        act: str = "",
    ) -> WriteAnswer:
        """Send one request and return its answer or fault; never raises for the network, never repeats.

        ``act`` names what is sent, for the crash point after the write.

        Raises:
            CancelledError: passed on; whatever left before it has left.
        """
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._slots.acquire()
        except TimeoutError:
            return WriteAnswer(fault=TransportFault.POOL)
        try:
            return await self._send_in_slot(
                _request_bytes(self._url, method, path, headers, body), method, before_send, act
            )
        finally:
            self._slots.release()

    async def _send_in_slot(
        self, request: bytes, method: str, before_send: Callable[[], bool], act: str
    ) -> WriteAnswer:
        self._drop_stale()
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
        except (OSError, TimeoutError):
            return WriteAnswer(fault=TransportFault.CONNECT)
        keep = False
        try:
            if not before_send():
                keep = True
                return WriteAnswer(fault=TransportFault.NOT_SENT)
            # No await since the check: the send begins here or not at all (E3).
            connection.write(request)
            if act:
                fault_point("post.sent", act)
            async with asyncio.timeout(self._answer_s):
                answer, keep = await _read_answer(connection, method)
        except TimeoutError:
            return WriteAnswer(fault=TransportFault.TIMEOUT, began_send=True)
        except h11.RemoteProtocolError:
            return WriteAnswer(fault=TransportFault.UNREADABLE, began_send=True)
        except OSError:
            return WriteAnswer(fault=TransportFault.LOST, began_send=True)
        else:
            return answer
        finally:
            connection.used_at = self._clock.monotonic()
            if keep:
                self._idle.append(connection)
            else:
                connection.close()

    def _drop_stale(self) -> None:
        now = self._clock.monotonic()
        for connection in [each for each in self._idle if not each.is_usable(now)]:
            self._idle.remove(connection)
            connection.close()

    async def _connect(self) -> _Wire:
        port = self._url.port or (443 if self._tls else 80)
        async with asyncio.timeout(CONNECT_S):
            _, wire = await asyncio.get_running_loop().create_connection(
                _Wire, self._url.hostname or "", port, ssl=self._tls
            )
        wire.used_at = self._clock.monotonic()
        return wire


def _request_bytes(url: SplitResult, method: str, path: str, headers: Mapping[str, str], body: str) -> bytes:
    """Return head and body as one piece; header names go out as given, underscores and capitals included."""
    content = body.encode()
    lines = [f"{method} {url.path}{path} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if content:
        lines.append("Content-Type: application/json")
    head = "\r\n".join([*lines, "User-Agent: onebook", "Accept: application/json", "", ""])
    return head.encode("ascii") + content


async def _read_answer(wire: _Wire, method: str) -> tuple[WriteAnswer, bool]:
    """Return the answer and whether the connection can be used again; ends with the answer's last byte."""
    protocol = h11.Connection(h11.CLIENT)
    # The request left by our own hand in one write; the parser is only told of its shape.
    protocol.send(h11.Request(method=method, target="/", headers=[("Host", "x"), ("Content-Length", "0")]))
    protocol.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            chunk = await wire.more()
            if not chunk and head is None:
                raise ConnectionResetError
            protocol.receive_data(chunk)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _BODY_BYTES_MAX:
                raise h11.RemoteProtocolError("the answer is longer than any answer to a write")
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            break
    names = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in head.headers}
    keep = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE
    return WriteAnswer(head.status_code, names, bytes(body), None, True), keep
