"""The sender of writes against a real server on loopback: what was sent, when, and what is known of it."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from shared.venue.outcome import TransportFault
from shared.venue.writes import CONNECTIONS_MAX, IDLE_S, HttpWrites
from tests.unit.shared.venue.venue_values import SetClock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Counts connections and keeps the requests; answers as told, request by request."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0)
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.closed.set()


async def with_server(server: Server, use: Callable[[HttpWrites], Awaitable[None]], **options) -> None:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, HttpWrites(url, options.pop("clock", SetClock()), **options) as writes:
        await use(writes)


async def send(writes: HttpWrites, **options):
    return await writes.send("POST", "/order", headers={"POLY_API_KEY": "key"}, body='{"a":1}', **options)


async def test_a_request_leaves_once_whole_and_as_it_was_signed():
    server = Server(OK)

    async def use(writes):
        answer = await send(writes)
        assert (answer.status, answer.body, answer.fault, answer.began_send) == (200, b"{}", None, True)

    await with_server(server, use)
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /order HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nPOLY_API_KEY: key\r\n" in head
    assert body == b'{"a":1}'


async def test_nothing_is_sent_when_the_last_check_says_no():
    server = Server(OK)

    async def use(writes):
        answer = await send(writes, before_send=lambda: False)
        assert (answer.fault, answer.began_send) == (TransportFault.NOT_SENT, False)
        assert (await send(writes)).status == 200  # the connection is still good

    await with_server(server, use)
    assert (len(server.requests), server.connections) == (1, 1)


async def test_the_event_loop_does_not_turn_between_the_last_check_and_the_write():
    server, turns = Server(OK), []

    async def use(writes):
        await writes.warm()
        wire = writes._idle[0]
        written = wire.write
        wire.write = lambda request: (turns.append("write"), written(request))

        def check():
            asyncio.get_running_loop().call_soon(turns.append, "turn")
            turns.append("check")
            return True

        await send(writes, before_send=check)

    await with_server(server, use)
    assert turns == ["check", "write", "turn"]


async def test_a_server_that_never_answers_leaves_us_not_knowing():
    server = Server(b"")

    async def use(writes):
        answer = await send(writes)
        assert (answer.fault, answer.began_send) == (TransportFault.TIMEOUT, True)

    await with_server(server, use, answer_s=0.05)
    assert len(server.requests) == 1


async def test_a_server_that_hangs_up_leaves_us_not_knowing_and_nothing_is_repeated():
    server = Server(None, OK)

    async def use(writes):
        answer = await send(writes)
        assert (answer.fault, answer.began_send) == (TransportFault.LOST, True)

    await with_server(server, use)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_leaves_us_not_knowing(answer):
    server = Server(answer)

    async def use(writes):
        answer = await send(writes)
        assert (answer.fault, answer.began_send) == (TransportFault.UNREADABLE, True)

    await with_server(server, use)


async def test_an_answer_cut_short_leaves_us_not_knowing():
    class Cutting(Server):
        async def serve(self, reader, writer):
            await reader.readuntil(b'{"a":1}')
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
            writer.close()
            self.closed.set()

    async def use(writes):
        answer = await send(writes)
        assert (answer.fault, answer.began_send) == (TransportFault.UNREADABLE, True)

    await with_server(Cutting(), use)


async def test_a_server_that_is_not_there_proves_that_nothing_was_sent():
    listening = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    async with HttpWrites(f"http://127.0.0.1:{port}", SetClock()) as writes:
        assert not await writes.warm()
        answer = await send(writes)
    assert (answer.fault, answer.began_send) == (TransportFault.CONNECT, False)


async def test_a_chunked_answer_after_an_early_hint_is_read():
    server = Server(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n"
        b"Retry-After: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK,
    )

    async def use(writes):
        answer = await send(writes)
        assert (answer.status, answer.body, answer.headers["retry-after"]) == (400, b"hello", "3")
        assert (await send(writes)).status == 200

    await with_server(server, use)
    assert server.connections == 1


async def test_a_warm_connection_is_used_and_one_too_long_idle_is_not():
    server, clock = Server(OK, OK), SetClock()

    async def use(writes):
        assert await writes.warm()
        assert await writes.warm()
        await send(writes)
        assert server.connections == 1
        clock.advance(IDLE_S)
        await send(writes)
        assert server.connections == 2

    await with_server(server, use, clock=clock)


async def test_a_connection_in_use_is_kept_however_long_it_is_open():
    server, clock = Server(OK, OK, OK), SetClock()

    async def use(writes):
        for _ in range(3):
            assert (await send(writes)).status == 200
            clock.advance(IDLE_S - 1)

    await with_server(server, use, clock=clock)
    assert server.connections == 1


async def test_a_close_the_loop_has_not_seen_yet_is_seen_before_the_write():
    def answer_one(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(OK)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(2)
        async with HttpWrites(f"http://127.0.0.1:{listening.getsockname()[1]}", SetClock()) as writes:
            assert await writes.warm()
            listening.accept()[0].close()  # and the loop does not turn before the next send begins
            async with asyncio.TaskGroup() as group:
                task = group.create_task(asyncio.to_thread(answer_one, listening))
                answer = await send(writes)
            assert task.done()
    assert (answer.status, answer.fault) == (200, None)


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_connection_the_server_closed_while_idle_is_not_written_to(parting):
    class Closing(Server):
        async def serve(self, reader, writer):
            if self.connections:
                await super().serve(reader, writer)
                return
            self.connections += 1
            writer.write(parting)
            writer.close()
            self.closed.set()

    server = Closing(OK)

    async def use(writes):
        await writes.warm()
        await writes._idle[0]._changed.wait()  # the server's parting has arrived
        assert (await send(writes)).status == 200

    await with_server(server, use)
    assert server.connections == 2


async def test_when_all_connections_are_busy_nothing_is_sent(monkeypatch):
    monkeypatch.setattr("shared.venue.writes.CONNECT_S", 0.05)
    release, busy = asyncio.Event(), asyncio.Semaphore(0)

    class Holding(Server):
        async def serve(self, reader, writer):
            await reader.readuntil(b'{"a":1}')
            busy.release()
            await release.wait()
            writer.write(OK)
            writer.close()

    async def use(writes):
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS_MAX):
                group.create_task(send(writes))
            for _ in range(CONNECTIONS_MAX):
                await busy.acquire()
            answer = await send(writes)
            assert (answer.fault, answer.began_send) == (TransportFault.POOL, False)
            release.set()

    await with_server(Holding(), use)
