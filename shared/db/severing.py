"""A hard end for one exchange with the server.

Cancelling a psycopg call asks the server to stop and waits up to ten seconds for it, which is no use when the server is
what does not answer. Cutting the socket ends the wait at once: the pending call raises psycopg.OperationalError.
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


@contextmanager
def severed_after(connection: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Cut the connection when the block is not done within ``seconds``; afterwards it is good for nothing."""
    timer = asyncio.get_running_loop().call_later(seconds, _sever, connection)
    try:
        yield
    finally:
        timer.cancel()


def _sever(connection: psycopg.AsyncConnection[Any]) -> None:
    if connection.closed:
        return
    # A copy of the descriptor: shutting it down wakes whoever waits on the original, which libpq closes itself.
    with socket.socket(fileno=os.dup(connection.fileno())) as copy:
        try:
            copy.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was faster
            return
