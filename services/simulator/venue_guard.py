"""Who may make a private call to the fake CLOB: the L2 headers are checked over the exact bytes."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from services.simulator.orders_intake import Caller
from services.simulator.venue import Venue, error
from services.simulator.venue_auth import Unauthorized

Route = Callable[[web.Request], Awaitable[web.Response]]
Private = Callable[[web.Request, Caller, Any], Awaitable[web.Response]]
Guard = Callable[[Private], Route]


def guard(venue: Venue) -> Guard:
    """Return a wrapper that checks the L2 headers over the exact bytes and reads the JSON body."""

    def wrap(route: Private) -> Route:
        async def guarded(request: web.Request) -> web.Response:
            body = await request.read()
            try:
                caller = venue.keys.caller(
                    request.headers, request.method, request.rel_url.raw_path, body, venue.now_ms() // 1000
                )
            except Unauthorized as unauthorized:
                return error(401, str(unauthorized))
            try:
                payload = json.loads(body) if body else None
            except ValueError:
                return error(400, "Invalid order payload")
            return await route(request, caller, payload)

        return guarded

    return wrap
