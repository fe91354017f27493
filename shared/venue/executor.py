"""The protocol both executors keep: LIVE acts on the venue, PAPER on the stored book; nothing else differs (P6)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from shared.domain.books import Book
from shared.domain.ids import ConditionId, RedemptionId, TokenId, WindowId
from shared.domain.outcomes import Outcome
from shared.domain.prepared import Accepted, OrderIntent, PreparedOrder
from shared.domain.trades import VenueTrade
from shared.domain.windows import FeeSchedule
from shared.venue.accounts import Balances

NOT_SENT = "NOT_SENT"
"""Reason of the KnownFailure of an order whose send never began."""


@dataclass(frozen=True, slots=True)
class TradedMarket:
    """What is needed to find an order's trades and to price their fees."""

    condition_id: ConditionId
    fee: FeeSchedule


@dataclass(frozen=True, slots=True)
class RedemptionRequest:
    """The resolved tokens of one window to be turned into cash; shares in whole units."""

    redemption_id: RedemptionId
    window_id: WindowId
    condition_id: ConditionId
    up_token: TokenId
    down_token: TokenId
    version: str
    neg_risk: bool
    up_shares: Decimal
    down_shares: Decimal


@dataclass(frozen=True, slots=True)
class RedemptionTicket:
    """The relayer's receipt: a promise, not cash."""

    transaction_id: str
    transaction_hash: str = ""


class RedemptionStage(StrEnum):
    """How far a redemption has come; CONFIRMED still wants the balance as its proof (E21)."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class RedemptionReading:
    """What the relayer says of a ticket."""

    stage: RedemptionStage
    transaction_hash: str
    detail: str


class Executor(Protocol):
    """Prepare, submit, look, redeem."""

    def prepare(self, intent: OrderIntent) -> PreparedOrder:
        """Return the order hashed and signed, without any I/O.

        Raises:
            Refusal: an unknown version or an amount the venue's grid cannot hold.
        """
        ...

    async def submit(
        self, prepared: PreparedOrder, *, before_send: Callable[[], bool], book: Book | None = None
    ) -> Outcome[Accepted]:
        """Send the order once and say what we learnt; never raises for what the venue does.

        ``before_send`` is asked with no await between it and the write; False gives KnownFailure(NOT_SENT) (E3).
        ``book`` is the stored book the decision was made on; only paper looks at it.
        """
        ...

    async def trades(
        self, prepared: PreparedOrder, *, market: TradedMarket, book: Book | None = None
    ) -> tuple[VenueTrade, ...]:
        """Return the order's trades so far; raises ReadFailed."""
        ...

    async def redeem(self, request: RedemptionRequest) -> Outcome[RedemptionTicket]:
        """Ask once for the payout of a resolved market."""
        ...

    async def redemption_state(self, ticket: RedemptionTicket) -> RedemptionReading:
        """Return how far a redemption has come; raises ReadFailed."""
        ...

    async def balances(self, tokens: Sequence[TokenId], *, refresh: bool = False) -> Balances | None:
        """Return the venue's balances, None where the Book's own cash is the reading (PAPER, DRY_RUN)."""
        ...
