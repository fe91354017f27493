"""A stream of server-sent events as a line: whole frames, whatever the pieces they come in and whoever stops waiting."""

import asyncio
from datetime import UTC, datetime

import pytest

from shared.venue.lines import FRAME_BYTES_MAX, LineLost, NotText, dial_events

NOW = datetime(2026, 11, 20, tzinfo=UTC)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


async def against(pieces, check, *, head=HEAD, headers=None):
    """Serve these pieces, each once it is asked for, to one client."""
    more, asked = asyncio.Semaphore(0), []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(head)
        for piece in pieces:
            await more.acquire()
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with asyncio.timeout(10), server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/stream?ids[]=a&ids[]=b"
        line = await dial_events(headers or {})(url, NOW)
        try:
            await check(line, more)
        finally:
            await line.close()
    return asked


async def test_events_are_frames_and_comments_are_signs_of_life():
    async def check(line, more):
        for _ in range(2):
            more.release()
        assert [await line.hear() for _ in range(3)] == ["", '{"a":1}', "one\ntwo"]

    pieces = [b':hello\n\nid: 7\r\ndata:{"a":1}\r\n\r\n', b"event: x\ndata: one\ndata: two\n\n"]
    asked = await against(pieces, check, headers={"Authorization": "Bearer k"})
    assert "Authorization: Bearer k" in asked[0]
    assert "Accept: text/event-stream" in asked[0]


async def test_whoever_stops_waiting_in_the_middle_of_an_event_loses_nothing():
    async def check(line, more):
        for _ in range(2):
            more.release()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await line.hear()
        more.release()
        assert await line.hear() == "whole\nevent"

    await against([b"data: who", b"le\ndata: event\n", b"\n"], check)


@pytest.mark.parametrize("last", [b"data: half", b"data: whole line of half an event\n", b""])
async def test_a_stream_that_ends_is_lost_and_half_an_event_is_none(last):
    async def check(line, more):
        more.release()
        with pytest.raises(LineLost):
            await line.hear()

    await against([last], check)


async def test_a_line_without_end_is_not_kept():
    async def check(line, more):
        more.release()
        with pytest.raises(LineLost):
            await line.hear()

    await against([b"data: " + b"x" * (3 * FRAME_BYTES_MAX), b"never asked for"], check)


async def test_what_is_no_text_is_said_to_be_none_and_the_stream_goes_on():
    async def check(line, more):
        more.release()
        with pytest.raises(NotText):
            await line.hear()
        assert await line.hear() == "text"

    await against([b"data: \xff\xfe\n\ndata: text\n\n"], check)


async def test_a_refusal_says_its_status_and_how_long_to_wait():
    async def check(_line, _more):
        raise AssertionError

    with pytest.raises(LineLost) as lost:
        await against([], check, head=b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    assert (lost.value.code, lost.value.retry_after_s) == (429, 7.0)


async def test_nobody_there_is_lost_too():
    with pytest.raises((LineLost, OSError)):
        await dial_events({})("http://127.0.0.1:1/", NOW)


async def test_a_stream_of_events_takes_no_frames():
    async def check(line, _more):
        with pytest.raises(LineLost):
            await line.send("hello")

    await against([], check)
