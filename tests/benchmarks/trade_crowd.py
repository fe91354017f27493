"""A crowd of traders on Binance's protocol: so many trades a second, evenly, from a process of its own.

The simulator's own market trades as often as the recorded ones did; this is for a day when everybody does.
"""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve

from shared.runtime.clock import SystemClock

PER_S = 5_000
SLICE_S = 0.01
CLOCK = SystemClock()


async def trade(connection: ServerConnection) -> None:
    """Send trades of every stream asked for until the client is gone."""
    assert connection.request is not None
    streams = parse_qs(urlsplit(connection.request.path).query)["streams"][0].split("/")
    stream = next(name for name in streams if name.endswith("@trade"))
    symbol = stream.partition("@")[0].upper()
    begun, serial = CLOCK.monotonic(), 0
    while True:
        wanted = int((CLOCK.monotonic() - begun) * PER_S)
        while serial < wanted:
            serial += 1
            now_ms = int(CLOCK.now().timestamp() * 1000)
            price = f"{60_000 + (serial * 7919 % 1000) / 100:.2f}000000"
            data = {
                "e": "trade", "E": now_ms, "s": symbol, "t": 10**9 + serial, "p": price, "q": "0.00100000",
                "T": now_ms, "m": bool(serial % 2), "M": True,
            }  # fmt: skip
            await connection.send(json.dumps({"stream": stream, "data": data}))
        with suppress(TimeoutError):  # the pace of the crowd
            async with asyncio.timeout(SLICE_S):
                await connection.wait_closed()


async def main(ready: Path) -> None:
    async with serve(trade, "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        draft = ready.with_suffix(".part")
        draft.write_text(f"ws://127.0.0.1:{port}/stream")
        draft.replace(ready)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
