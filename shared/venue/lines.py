"""The connections below the feeds: a websocket, and a stream of server-sent events, by one small interface.

Whoever waits in ``hear`` may be cancelled at any moment: nothing that arrived is lost by it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from shared.venue.http import retry_after_s, tls_context

CLOSE_S = 2.0
FRAMES_MAX = 256
FRAME_BYTES_MAX = 4 * 1024 * 1024
_OK = 200
_COMMENT = ":"
_FIELD = "data:"


class LineLost(Exception):
    """The connection ended or was not made; ``code`` is the close code or the HTTP status, where there is one."""

    def __init__(self, reason: str, *, code: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retry_after_s = retry_after_s
        """What the other side asked for, seconds; None when it asked for nothing."""


class NotText(Exception):
    """A frame that is no text; the connection goes on."""


class Line(Protocol):
    """An open connection."""

    async def hear(self) -> str:
        """Return the next frame; raises NotText, and LineLost when there will be no more."""
        ...

    async def send(self, frame: str) -> None:
        """Send a frame; raises LineLost."""
        ...

    async def close(self) -> None:
        """Close the connection; a second time does nothing."""
        ...


Dial: TypeAlias = Callable[[str, datetime], Coroutine[Any, Any, Line]]
"""(address, now) -> an open connection; raises LineLost, or OSError and TimeoutError from below."""


async def dial_websocket(url: str, now: datetime) -> Line:
    """Open a websocket; the other side's pings are answered by the library."""
    try:
        return _WebSocket(
            await connect(
                url, ping_interval=None, close_timeout=CLOSE_S, max_queue=FRAMES_MAX, max_size=FRAME_BYTES_MAX
            )
        )
    except InvalidStatus as refused:
        raise _refused(
            refused.response.status_code, refused.response.headers.get("Retry-After"), now
        ) from None
    except WebSocketException as error:
        raise LineLost(f"{type(error).__name__}: {error}") from error


class _WebSocket:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def hear(self) -> str:
        try:
            return await self._socket.recv(decode=True)
        except ConnectionClosed as closed:
            raise LineLost(f"closed: {closed}", code=closed.rcvd.code if closed.rcvd else None) from None
        except UnicodeDecodeError as error:
            raise NotText(str(error)) from None

    async def send(self, frame: str) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed as closed:
            raise LineLost(f"closed: {closed}", code=closed.rcvd.code if closed.rcvd else None) from None

    async def close(self) -> None:
        await self._socket.close()


def dial_events(headers: Mapping[str, str]) -> Dial:
    """Return how to open a stream of server-sent events with these headers (html.spec.whatwg.org, section 9.2)."""

    async def dial(url: str, now: datetime) -> Line:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls_context()),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        try:
            asked = {"Accept": "text/event-stream", **headers}
            answer = await session.get(url, headers=asked, allow_redirects=False)
        except aiohttp.ClientError as error:
            await session.close()
            raise LineLost(f"{type(error).__name__}: {error}") from error
        except BaseException:
            await session.close()
            raise
        if answer.status != _OK:
            await session.close()
            raise _refused(answer.status, answer.headers.get("Retry-After"), now)
        return _EventStream(session, answer)

    return dial


class _EventStream:
    """The data of each event is a frame; a comment is an empty one: a sign of life."""

    def __init__(self, session: aiohttp.ClientSession, answer: aiohttp.ClientResponse) -> None:
        self._session = session
        self._answer = answer
        self._buffer = bytearray()
        self._data: list[str] = []

    async def hear(self) -> str:
        while True:
            line = await self._line()
            if line.startswith(_COMMENT):
                return ""
            if line.startswith(_FIELD):
                self._data.append(line.removeprefix(_FIELD).removeprefix(" "))
            elif not line and self._data:
                text, self._data = "\n".join(self._data), []
                return text

    async def _line(self) -> str:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > FRAME_BYTES_MAX:
                raise LineLost(f"a line is longer than {FRAME_BYTES_MAX} bytes")
            try:
                # Whatever there is: a wait for a whole line would lose its first half when it is cancelled.
                piece = await self._answer.content.readany()
            except aiohttp.ClientError as error:
                raise LineLost(f"{type(error).__name__}: {error}") from error
            if not piece:  # half a line is what is left of a stream that was cut
                raise LineLost("the stream ended")
            self._buffer += piece
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            return raw.decode().rstrip("\r")
        except UnicodeDecodeError as error:
            raise NotText(str(error)) from None

    async def send(self, frame: str) -> None:
        raise LineLost(f"a stream of events takes no frames: {len(frame)} characters")

    async def close(self) -> None:
        self._answer.close()
        async with asyncio.timeout(CLOSE_S):
            await self._session.close()


def _refused(status: int, retry_after: str | None, now: datetime) -> LineLost:
    return LineLost(
        f"refused with status {status}", code=status, retry_after_s=retry_after_s(retry_after, now)
    )
