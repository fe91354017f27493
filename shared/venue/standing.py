"""How the venue stands to us before we trade: region, clock, credentials, restriction, allowances, wallet.

Needs no signing key. Nothing here raises for what the venue does: what could not be read is None with its reason, and
counts as failed (P3). Sources: the venue's own pages on geographic restrictions, authentication and allowances, and the
JSON-RPC call eth_getCode (October 2026).
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from shared.domain.ids import AccountId, TokenId
from shared.domain.preflight import AccountStanding, VenueStanding
from shared.runtime.clock import Clock
from shared.venue.account_reading import asset_of
from shared.venue.credentials import Credentials
from shared.venue.http import HttpReads
from shared.venue.reading import PublicReading
from shared.venue.refusals import Malformed, ReadFailed, Refusal
from shared.venue.settings import AccountAccess
from shared.venue.urls import VenueUrls
from shared.venue.writes import HttpWrites

T = TypeVar("T")


async def venue_standing(urls: VenueUrls, clock: Clock) -> VenueStanding:
    """Return whether this machine's address may trade, and how far the venue's clock is ahead of ours."""
    unread: dict[str, str] = {}
    async with PublicReading(urls, clock) as public, HttpReads(urls.site, clock) as site:
        region = await _tried(unread, "geoblock", lambda: _region(site))
        time = await _tried(unread, "clock", public.venue_time)
    blocked, country = region or (None, "")
    return VenueStanding(blocked, country, None if time is None else time.offset_s, unread)


async def _region(site: HttpReads) -> tuple[bool, str]:
    answer = await site.get("/api/geoblock")
    blocked = answer.get("blocked") if isinstance(answer, dict) else None
    if not isinstance(blocked, bool):
        raise Malformed("the answer does not say")
    return blocked, str(answer.get("country") or "")


async def account_standing(
    urls: VenueUrls,
    clock: Clock,
    account: AccountId,
    access: AccountAccess,
    *,
    token: TokenId | None,
    position_cap_usdc: Decimal,
) -> AccountStanding:
    """Return how one account stands; ``token`` is of any market that trades, for the allowance of tokens."""
    unread: dict[str, str] = {}
    login = access.credentials
    async with HttpReads(urls.clob, clock, credentials=login) as clob:
        key_listed = await _tried(unread, "credentials", lambda: _is_listed(clob, login))
        closed_only = await _tried(unread, "restriction", lambda: _is_closed_only(clob))
        allowances = await _tried(
            unread, "allowances", lambda: _allowances(clob, access.signature_type, token)
        )
    has_code = await _tried(unread, "deployment", lambda: _has_code(urls, clock, access.wallet))
    return AccountStanding(
        account_id=account,
        address=login.address,
        wallet=access.wallet,
        signature_type=access.signature_type,
        has_code=has_code,
        key_listed=key_listed,
        closed_only=closed_only,
        allowances=allowances,
        position_cap_usdc=position_cap_usdc,
        unread=unread,
    )


async def _tried(unread: dict[str, str], name: str, ask: Callable[[], Awaitable[T]]) -> T | None:
    try:
        return await ask()
    except (ReadFailed, Refusal) as problem:
        unread[name] = str(problem)
        return None


async def _is_listed(clob: HttpReads, login: Credentials) -> bool:
    answer = await clob.get("/auth/api-keys")
    keys = answer.get("apiKeys") if isinstance(answer, dict) else None
    if not isinstance(keys, list):
        raise Malformed("the list of API keys is no list")
    return login.api_key.get_secret_value() in keys


async def _is_closed_only(clob: HttpReads) -> bool:
    answer = await clob.get("/auth/ban-status/closed-only")
    closed = answer.get("closed_only") if isinstance(answer, dict) else None
    if not isinstance(closed, bool):
        raise Malformed("the answer does not say")
    return closed


async def _allowances(clob: HttpReads, signature_type: int, token: TokenId | None) -> Mapping[str, int]:
    """Return for each exchange the least it may move, of money and, where a token is at hand, of tokens."""
    least: dict[str, int] = {}
    assets: list[Mapping[str, str]] = [{"asset_type": "COLLATERAL"}]
    if token is not None:
        assets.append(asset_of(token))
    for asset in assets:
        answer = await clob.get("/balance-allowance", {**asset, "signature_type": signature_type})
        for exchange, amount in _amounts(answer).items():
            least[exchange] = min(amount, least.get(exchange, amount))
    return least


def _amounts(answer: Any) -> dict[str, int]:
    granted = answer.get("allowances") if isinstance(answer, dict) else None
    if not isinstance(granted, dict) or not all(str(amount).isdigit() for amount in granted.values()):
        raise Malformed("the answer names no allowances")
    return {str(exchange): int(amount) for exchange, amount in granted.items()}


async def _has_code(urls: VenueUrls, clock: Clock, wallet: str) -> bool:
    question = {"jsonrpc": "2.0", "id": 1, "method": "eth_getCode", "params": [wallet, "latest"]}
    async with HttpWrites(urls.rpc, clock) as node:
        answer = await node.send("POST", "/", headers={}, body=json.dumps(question))
    if answer.fault is not None:
        raise ReadFailed("eth_getCode", str(answer.fault))
    try:
        code = json.loads(answer.body).get("result")
    except (ValueError, AttributeError, RecursionError):
        code = None
    if not isinstance(code, str) or not code.startswith("0x"):
        raise ReadFailed("eth_getCode", f"status {answer.status} without a result")
    return code != "0x"
