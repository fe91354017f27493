"""The fake CLOB's API keys over REST."""

from typing import Any

from aiohttp import web

from services.simulator.orders_intake import Caller
from services.simulator.venue import Venue, answer, error
from services.simulator.venue_auth import Unauthorized
from services.simulator.venue_guard import Route, guard


def key_routes(venue: Venue) -> list[web.RouteDef]:
    """Return the routes that make, list and delete API keys."""
    private = guard(venue)

    def login(make: str) -> Route:
        async def route(request: web.Request) -> web.Response:
            now_s = venue.now_ms() // 1000
            try:
                keys = venue.keys
                made = (keys.create if make == "create" else keys.derive)(request.headers, now_s)
            except Unauthorized as unauthorized:
                return error(401, str(unauthorized))
            return error(400, f"Could not {make} api key!") if made is None else answer(made.wire())

        return route

    async def list_keys(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        return answer({"apiKeys": venue.keys.keys_of(caller.address)})

    async def delete_key(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        venue.keys.delete(caller.api_key)
        return answer("OK")

    async def ban_status(_request: web.Request, caller: Caller, _body: Any) -> web.Response:
        mine = [wallet for wallet in venue.exchange.wallets.values() if wallet.owner == caller.address]
        return answer({"closed_only": any(wallet.restriction == "closed_only" for wallet in mine)})

    return [
        web.post("/auth/api-key", login("create")),
        web.get("/auth/derive-api-key", login("derive")),
        web.get("/auth/api-keys", private(list_keys)),
        web.delete("/auth/api-key", private(delete_key)),
        web.get("/auth/ban-status/closed-only", private(ban_status)),
    ]
