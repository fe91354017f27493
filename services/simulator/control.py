"""/_sim: make accounts, read the truth, arm faults, change modes, stop. For tests and the demo; no venue has it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, get_args

from aiohttp import web
from eth_utils.address import to_checksum_address

from services.simulator.accounts import COLLATERAL, Restriction
from services.simulator.exchange import Mode
from services.simulator.faults import KINDS, Armed, UnknownFault
from services.simulator.matching import MICRO
from services.simulator.orders_intake import AMOUNT_DECIMALS
from services.simulator.relayer_http import DEPOSIT_WALLET, Relayer
from services.simulator.settlement import Reverted
from services.simulator.signatures import deposit_wallet_of
from services.simulator.truth import exact, truth, wallet_truth
from services.simulator.venue import Venue, answer, error
from services.simulator.wire import text

PREFIX: Final = "/_sim"
_ARMING: Final = ("name", "match", "times", "seconds")
Act = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Control:
    """What the control surface may touch."""

    venue: Venue
    relayer: Relayer
    urls: Mapping[str, str]  # filled once all ports are bound
    stop: asyncio.Event
    initial_usdc: Decimal


def control_routes(control: Control) -> list[web.RouteDef]:
    """Return all routes under /_sim, and /livez."""
    venue = control.venue

    async def alive(_request: web.Request) -> web.Response:
        return answer({"alive": True})

    async def read_truth(request: web.Request) -> web.Response:
        wallet = request.query.get("wallet")
        return answer(truth(venue.exchange, venue.arrivals, venue.now_ms(), wallet))

    async def read_windows(_request: web.Request) -> web.Response:
        return answer({"now_ms": venue.now_ms(), "windows": _windows(venue)})

    async def read_urls(_request: web.Request) -> web.Response:
        return answer(dict(control.urls))

    async def read_faults(_request: web.Request) -> web.Response:
        kinds = {
            name: {"stage": kind.stage, "does": kind.does, "options": dict(kind.options)}
            for name, kind in KINDS.items()
        }
        return answer({"kinds": kinds, "armed": [_shown(armed) for armed in venue.faults.armed()]})

    async def disarm(request: web.Request) -> web.Response:
        return answer({"disarmed": venue.faults.disarm(request.query.get("name"))})

    async def end(_request: web.Request) -> web.Response:
        control.stop.set()
        return answer({"stopping": True})

    return [
        web.get("/livez", alive),
        web.get(f"{PREFIX}/truth", read_truth),
        web.get(f"{PREFIX}/windows", read_windows),
        web.get(f"{PREFIX}/urls", read_urls),
        web.get(f"{PREFIX}/faults", read_faults),
        web.delete(f"{PREFIX}/faults", disarm),
        web.post(f"{PREFIX}/faults", _posted(lambda body: _arm(venue, body))),
        web.post(f"{PREFIX}/accounts", _posted(lambda body: _account(control, body))),
        web.post(f"{PREFIX}/redeem", _posted(lambda body: _redeem(venue, body))),
        web.post(f"{PREFIX}/mode", _posted(lambda body: _mode(venue, body))),
        web.post(f"{PREFIX}/restrict", _posted(lambda body: _restrict(venue, body))),
        web.post(f"{PREFIX}/tick", _posted(lambda body: _tick(venue, body))),
        web.post(f"{PREFIX}/stop", end),
    ]


def _posted(act: Act) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a route that answers 400 with the reason for a body it cannot use."""

    async def route(request: web.Request) -> web.Response:
        try:
            return answer(act(json.loads(await request.read())))
        except (KeyError, TypeError, ValueError, InvalidOperation) as wrong:
            return error(400, f"{type(wrong).__name__}: {wrong}")

    return route


def _account(control: Control, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make an account if it is new, and add ``usdc``; the venue sees it at once.

    ``approved`` false: the exchanges may move nothing of it, as before a person's first approvals.
    """
    owner = to_checksum_address(body["address"])
    kind = int(body.get("signature_type", DEPOSIT_WALLET))
    default = {0: owner, DEPOSIT_WALLET: deposit_wallet_of(owner)}.get(kind)
    address = to_checksum_address(body.get("wallet") or default)
    known = address in control.venue.exchange.wallets
    amount = Decimal(str(body.get("usdc", 0 if known else control.initial_usdc)))
    if amount < 0:
        raise ValueError("usdc must not be negative")
    wallet = control.venue.exchange.open_wallet(address, owner, kind)
    wallet.approved = body.get("approved", wallet.approved) is True
    wallet.deposit(int(amount * MICRO))
    wallet.refresh(COLLATERAL)
    wallet.remember(control.venue.now_ms())
    return {
        "address": owner,
        "wallet": address,
        "relayer_api_key": control.relayer.api_key(owner),
        **wallet_truth(wallet),
    }


def _redeem(venue: Venue, body: Mapping[str, Any]) -> dict[str, Any]:
    """Redeem a wallet's market without its owner, as the venue's own redeemer may."""
    wallet = venue.exchange.wallets[to_checksum_address(body["wallet"])]
    market = venue.exchange.listing.by_slug[body["slug"]]
    settlement = venue.exchange.settlement
    try:
        paid = settlement.redeem(wallet, market, venue.now_ms(), settlement.transaction_hash())
    except Reverted as reverted:
        raise ValueError(str(reverted)) from reverted
    return {"paid": exact(paid)}


def _arm(venue: Venue, body: Mapping[str, Any]) -> dict[str, Any]:
    match = body.get("match")
    try:
        armed = venue.faults.arm(
            body["name"],
            match=None if match is None else {str(key): str(value) for key, value in match.items()},
            times=int(body.get("times", 1)),
            seconds=float(body.get("seconds", 30.0)),
            **{key: str(value) for key, value in body.items() if key not in _ARMING},
        )
    except UnknownFault as unknown:
        raise ValueError(f"unknown fault {unknown}; there are {', '.join(KINDS)}") from unknown
    return _shown(armed)


def _mode(venue: Venue, body: Mapping[str, Any]) -> dict[str, Any]:
    """Change the mode at once, and back after ``seconds``; a restart may be followed by ``post_only_seconds``."""
    if body["mode"] not in get_args(Mode):
        raise ValueError(f"unknown mode; there are {', '.join(get_args(Mode))}")
    exchange, seconds = venue.exchange, float(body.get("seconds", 0))
    exchange.mode = body["mode"]
    if seconds > 0:
        after_ms = venue.now_ms() + int(seconds * 1000)
        phase_s = float(body.get("post_only_seconds", 0)) if exchange.mode == "restarting" else 0.0
        exchange.timetable.at(
            after_ms, lambda _when: exchange.change_mode("post_only" if phase_s else "normal")
        )
        if phase_s:
            exchange.timetable.at(
                after_ms + int(phase_s * 1000), lambda _when: exchange.change_mode("normal")
            )
    return {"mode": exchange.mode}


def _restrict(venue: Venue, body: Mapping[str, Any]) -> dict[str, Any]:
    """Ban an account, let it only close, or set it free again."""
    if body["restriction"] not in get_args(Restriction):
        raise ValueError(f"unknown restriction; there are {', '.join(map(repr, get_args(Restriction)))}")
    wallet = venue.exchange.wallets[to_checksum_address(body["wallet"])]
    wallet.restriction = body["restriction"]
    return {"restriction": wallet.restriction}


def _tick(venue: Venue, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make a market's tick another one, as the venue does near the ends of the price range."""
    tick = int(Decimal(str(body["tick"])) * MICRO)
    if tick not in AMOUNT_DECIMALS:
        raise ValueError(f"no such tick; there are {', '.join(text(each) for each in AMOUNT_DECIMALS)}")
    venue.exchange.change_tick(venue.exchange.listing.by_slug[body["slug"]], tick)
    return {"tick": text(tick)}


def _shown(armed: Armed) -> dict[str, Any]:
    return {
        "name": armed.kind.name,
        "match": dict(armed.match),
        "times": armed.times,
        "seconds": armed.seconds,
        **armed.options,
    }


def _windows(venue: Venue) -> list[dict[str, Any]]:
    now_ms = venue.now_ms()
    return [
        {
            "slug": window.slug,
            "market_id": market.market_id,
            "condition_id": window.condition_id,
            "up_token": window.up_token,
            "down_token": window.down_token,
            "listed_at_ms": window.listed_at_ms,
            "opens_at_ms": window.opens_at_ms,
            "closes_at_ms": window.closes_at_ms,
            "resolves_at_ms": window.resolves_at_ms,
            "accepting": market.accepts(now_ms),
            "resolved": market.resolved_ms is not None,
            "strike": str(window.strike),
            "final": str(window.final),
            "winner": window.winner,
            "recorded": window.recorded,
        }
        for market in venue.exchange.listing.markets.values()
        for window in (market.window,)
    ]
