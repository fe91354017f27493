"""A TCP relay in a process of its own: it notes when the first byte of a POSTed order reaches it, and can be cut.

``python -m tests.benchmarks.relay HOST PORT`` says its own port first, then a line for each order; the line ``"cut"``
makes packets vanish both ways until ``"mend"``: nothing is closed, nobody is told. A connection that lost some is reset
then: TCP, which we acknowledged for, would have given it up by itself.
"""

import asyncio
import json
import re
import sys
from typing import Any

from tests.factories import CLOCK

SALT = re.compile(rb'"salt":\s*(\d+)')
ORDER = b"POST /order "


def say(words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


class Passage:
    """Whether packets pass."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.robbed: set[Incoming] = set()

    def mend(self) -> None:
        self.opened.set()
        while self.robbed:
            self.robbed.pop().reset()


class Incoming(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, host: str, port: int, passage: Passage, tasks: asyncio.TaskGroup) -> None:
        self._target = host, port
        self._passage = passage
        self._tasks = tasks
        self._waiting = b""
        self._server: asyncio.StreamWriter | None = None
        self._order: dict[str, Any] | None = None
        self._order_bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = transport
        self._tasks.create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if data.startswith(ORDER):
            self._order = {"at": CLOCK.now().isoformat()}
            self._order_bytes = b""
        if self._order is not None:
            self._order_bytes += data
            salt = SALT.search(self._order_bytes)
            if salt is not None:
                say(self._order | {"salt": int(salt[1])})
                self._order = None
        if not self._passage.opened.is_set():
            self._passage.robbed.add(self)
            return  # the packet vanishes
        if self._server is None:
            self._waiting += data
        else:
            self._server.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended changes nothing
        if self._server is not None:
            self._server.close()

    def reset(self) -> None:
        self._client.abort()
        if self._server is not None:
            self._server.close()

    async def _connect(self) -> None:
        try:
            reader, self._server = await asyncio.open_connection(*self._target)
        except OSError:
            self._client.abort()
            return
        self._server.write(self._waiting)
        try:
            while chunk := await reader.read(65_536):
                if self._passage.opened.is_set():
                    self._client.write(chunk)
                else:
                    self._passage.robbed.add(self)
        except OSError:
            pass
        if self._passage.opened.is_set():
            self._client.close()
        else:
            self._passage.robbed.add(self)  # its end is news, too
        self._server.close()


async def main(host: str, port: int) -> None:
    passage = Passage()
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with asyncio.TaskGroup() as tasks:
        server = await loop.create_server(lambda: Incoming(host, port, passage, tasks), "127.0.0.1", 0)
        say(server.sockets[0].getsockname()[1])
        while line := await commands.readline():
            if json.loads(line) == "cut":
                passage.opened.clear()
            else:
                passage.mend()
            say("done")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
