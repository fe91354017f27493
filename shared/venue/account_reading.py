"""Reads of one account by its credentials: orders, trades, balances. No signing key (E17)."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from shared.domain.ids import ConditionId, OrderId, TokenId
from shared.domain.trades import VenueTrade
from shared.domain.windows import FeeSchedule
from shared.runtime.clock import Clock
from shared.venue.accounts import Balances, OrderReading
from shared.venue.credentials import Credentials
from shared.venue.http import HttpReads, Params
from shared.venue.order_struct import is_v2_position_id
from shared.venue.parse import parse_balance, parse_order, parse_trade, read
from shared.venue.refusals import Malformed, ReadFailed
from shared.venue.urls import VenueUrls
from shared.venue.wire import WirePage

PAGES_MAX = 100
_LAST_CURSOR = "LTE="


class AccountReading:
    """Use as ``async with AccountReading(urls, credentials, clock, signature_type=3) as account``."""

    def __init__(
        self,
        urls: VenueUrls,
        credentials: Credentials,
        clock: Clock,
        *,
        signature_type: int,
        patient: bool = True,
    ) -> None:
        """``signature_type`` is the wallet's kind: another one reads zero balances. ``patient`` as of HttpReads."""
        self._clock = clock
        self._api_key = credentials.api_key.get_secret_value()
        self._signature_type = signature_type
        self._clob = HttpReads(urls.clob, clock, credentials=credentials, patient=patient)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._clob.__aexit__(kind, error, trace)

    async def order(self, order_id: OrderId) -> OrderReading | None:
        """Return the order; None on a 404, which proves nothing (D3); raises ReadFailed, Refusal."""
        answer = await self._clob.find(f"/data/order/{order_id}")
        if not answer:  # a null body has been seen for an order that is not there
            return None
        order = parse_order(answer)
        if order.order_id.lower() != order_id.lower():
            raise Malformed(f"asked for order {order_id}, got {order.order_id}")
        return order

    async def open_orders(self, condition_id: ConditionId | None = None) -> tuple[OrderReading, ...]:
        """Return the resting orders, all pages; an order's absence is not its cancellation."""
        params = {} if condition_id is None else {"market": condition_id}
        return tuple(parse_order(row) for row in await self._rows("/data/orders", params))

    async def trades(
        self, condition_id: ConditionId, fee: FeeSchedule, *, since: datetime | None = None
    ) -> tuple[VenueTrade, ...]:
        """Return our side of every trade in a market, all pages, oldest first; raises ReadFailed, Refusal.

        Each trade comes in its present state, FAILED ones too. ``since`` is cut to the second before it.
        """
        params: dict[str, str | int] = {"market": condition_id}
        if since is not None:
            params["after"] = int(since.timestamp()) - 1
        rows = await self._rows("/data/trades", params)
        found = [
            trade for row in rows for trade in parse_trade(row, api_key=self._api_key, fee_of=lambda _: fee)
        ]
        return tuple(sorted(found, key=lambda trade: (trade.matched_at, trade.trade_id, trade.order_id)))

    async def balances(self, tokens: Sequence[TokenId], *, refresh: bool = False) -> Balances:
        """Return cash and token balances; ``refresh`` has the venue renew its cached view first.

        The view is stale after wrapping, redeeming and before the first sale of a token. Raises ReadFailed, Refusal.
        """
        assets: list[Mapping[str, str]] = [
            {"asset_type": "COLLATERAL"},
            *(asset_of(token) for token in tokens),
        ]
        found = []
        for asset in assets:
            params: Params = {**asset, "signature_type": self._signature_type}
            if refresh:
                await self._clob.get("/balance-allowance/update", params)
            found.append(parse_balance(await self._clob.get("/balance-allowance", params)))
        return Balances(found[0], dict(zip(tokens, found[1:], strict=True)), self._clock.now())

    async def _rows(self, path: str, params: Params) -> Sequence[Any]:
        rows: list[Any] = []
        asked = dict(params)
        for _ in range(PAGES_MAX):
            page = read(WirePage, await self._clob.get(path, asked))
            rows.extend(page.data)
            if page.next_cursor in {_LAST_CURSOR, ""}:
                return rows
            asked["next_cursor"] = page.next_cursor
        raise ReadFailed(path, f"more than {PAGES_MAX} pages")


def asset_of(token_id: TokenId) -> Mapping[str, str]:
    """Return how a balance question names a token."""
    kind = "CONDITIONAL-V2" if is_v2_position_id(token_id) else "CONDITIONAL"
    return {"asset_type": kind, "token_id": token_id}
