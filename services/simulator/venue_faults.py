"""What a named fault does to an HTTP request of the fake venue."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from services.simulator.faults import Armed, Faults

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REFUSALS: Final[Mapping[str, tuple[int, str]]] = {
    "http_425": (425, "service not ready"),
    "http_429": (429, "Too Many Requests"),
    "http_500": (500, "could not insert order"),
    "http_503": (503, "Trading is currently disabled"),
}
_CLOUDFLARE: Final = (
    "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>"
    "<body><h1>Sorry, you have been blocked</h1></body></html>"
)


def fault_middleware(faults: Faults, host: str) -> Middleware:
    """Return a middleware that lets armed faults strike requests of one host (``clob``, ``gamma`` …)."""

    @web.middleware
    async def strike(request: web.Request, handler: Handler) -> web.StreamResponse:
        facts = {"host": host, "method": request.method, "path": request.path}
        before = faults.take("request", **facts)
        if before is not None:
            return await _instead(before, request, handler)
        response = await handler(request)
        after = faults.take("answer", **facts)
        return response if after is None else await _spoilt(after, request)

    return strike


async def _instead(armed: Armed, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Return what is answered before anything is processed."""
    name = armed.kind.name
    if name == "html_403":
        return web.Response(status=403, text=_CLOUDFLARE, content_type="text/html")
    if name in _REFUSALS:
        status, text = _REFUSALS[name]
        headers = {"Retry-After": str(max(1, int(armed.seconds)))}
        return web.json_response({"error": text}, status=status, headers=headers)
    if name == "late_arrival":
        await request.read()
    await asyncio.sleep(armed.seconds)
    if name == "late_arrival":
        await handler(request)
    return _cut(request)


async def _spoilt(armed: Armed, request: web.Request) -> web.StreamResponse:
    """Return what is answered although everything was processed."""
    match armed.kind.name:
        case "accept_then_timeout":
            await asyncio.sleep(armed.seconds)
            return _cut(request)
        case "accept_then_reset":
            return _cut(request)
        case "unreadable_answer":
            return web.Response(text="<html>ok</html>", content_type="text/html")
        case _:
            return web.json_response({"error": "could not insert order"}, status=500)


def _cut(request: web.Request) -> web.Response:
    """Close the connection without an answer; what is returned can no longer be written."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
