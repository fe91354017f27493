"""The LIVE executor: prepare (build, hash, sign) and submit; importable by execution alone.

The order is posted once. Nothing here repeats, re-signs or guesses: what the answer means is ``outcome``'s to say.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from pydantic import SecretStr

from shared.domain.books import Book
from shared.domain.ids import TokenId
from shared.domain.outcomes import Outcome
from shared.domain.prepared import Accepted, OrderIntent, PreparedOrder
from shared.domain.trades import VenueTrade
from shared.runtime.clock import Clock
from shared.venue.account_reading import AccountReading
from shared.venue.accounts import Balances
from shared.venue.credentials import Credentials
from shared.venue.executor import RedemptionReading, RedemptionRequest, RedemptionTicket, TradedMarket
from shared.venue.order_struct import CHAIN_ID, build_order, prepared_order
from shared.venue.outcome import classify_order_answer
from shared.venue.signing import OrderSigner
from shared.venue.urls import VenueUrls
from shared.venue.writes import HttpWrites


class Redeeming(Protocol):
    """What the executor needs of ``redeeming``."""

    async def redeem(self, request: RedemptionRequest) -> Outcome[RedemptionTicket]:
        """Ask once for the payout of a resolved market."""
        ...

    async def redemption_state(self, ticket: RedemptionTicket) -> RedemptionReading:
        """Return how far a redemption has come."""
        ...


def order_signer(
    private_key: SecretStr, *, wallet: str | None = None, signature_type: int = 0, chain_id: int = CHAIN_ID
) -> OrderSigner:
    """Return the signer of one account; ``wallet`` is its deposit wallet (type 3). Raises Malformed."""
    return OrderSigner(private_key, wallet, signature_type, chain_id)


class LiveTrading:
    """One account's way to the venue. Use as ``async with LiveTrading(...) as trading``."""

    def __init__(
        self,
        urls: VenueUrls,
        signer: OrderSigner,
        credentials: Credentials,
        clock: Clock,
        *,
        account: AccountReading,
        redeeming: Redeeming,
    ) -> None:
        self._signer = signer
        self._credentials = credentials
        self._clock = clock
        self._account = account
        self._redeeming = redeeming
        self._writes = HttpWrites(urls.clob, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writes.__aexit__(kind, error, trace)

    async def warm(self) -> bool:
        """Keep one connection open, so that a send is not late for its handshake; call it every few seconds."""
        return await self._writes.warm()

    def prepare(self, intent: OrderIntent) -> PreparedOrder:
        """Return the order hashed and signed; no I/O, well under a millisecond; raises Refusal."""
        signer = self._signer
        order = build_order(
            intent, maker=signer.wallet, signer=signer.wallet, signature_type=signer.signature_type
        )
        owner = self._credentials.api_key.get_secret_value()
        return prepared_order(intent, order, signature=signer.sign_order(order), owner=owner)

    async def submit(
        self,
        prepared: PreparedOrder,
        *,
        before_send: Callable[[], bool],
        book: Book | None = None,  # noqa: ARG002 - the venue has its own
    ) -> Outcome[Accepted]:
        """Post the order's stored bytes once; ``before_send`` runs with no await between it and the write (E3)."""
        headers = self._credentials.headers("POST", "/order", prepared.body, self._clock.now())
        answer = await self._writes.send(
            "POST",
            "/order",
            headers=headers,
            body=prepared.body,
            before_send=before_send,
            act=prepared.intent.purpose.lower(),
        )
        return classify_order_answer(
            answer.status,
            answer.headers,
            answer.body,
            answer.fault,
            began_send=answer.began_send,
            expected=prepared,
        )

    async def trades(
        self,
        prepared: PreparedOrder,
        *,
        market: TradedMarket,
        book: Book | None = None,  # noqa: ARG002 - the venue says what traded
    ) -> tuple[VenueTrade, ...]:
        """Return the order's trades so far, each in its present state; raises ReadFailed, Refusal."""
        found = await self._account.trades(market.condition_id, market.fee)
        return tuple(trade for trade in found if trade.order_id.lower() == prepared.order_id.lower())

    async def redeem(self, request: RedemptionRequest) -> Outcome[RedemptionTicket]:
        """Ask the relayer once for the payout of a resolved market."""
        return await self._redeeming.redeem(request)

    async def redemption_state(self, ticket: RedemptionTicket) -> RedemptionReading:
        """Return how far a redemption has come; raises ReadFailed."""
        return await self._redeeming.redemption_state(ticket)

    async def balances(self, tokens: Sequence[TokenId], *, refresh: bool = False) -> Balances:
        """Return the venue's view of cash and tokens; raises ReadFailed."""
        return await self._account.balances(tokens, refresh=refresh)
