"""What execution decides, without waiting for anything: entries, exits, answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.domain.amounts import MARKETABLE_MIN_USDC, EntryProposal, exit_price, sellable_shares
from shared.domain.books import Book
from shared.domain.facts import BalanceFacts, GateFacts, Limits
from shared.domain.fees import taker_fee
from shared.domain.fills import walk
from shared.domain.gate import GateVerdict, gate, position_cap, propose
from shared.domain.ids import SignalId, order_salt, position_id
from shared.domain.modes import Mode, effective
from shared.domain.money import up
from shared.domain.orders import OrderEvent, OrderSide, OrderType, Purpose
from shared.domain.outcomes import KnownFailure, Outcome, Success, Unknown
from shared.domain.positions import ExitReason
from shared.domain.prepared import Accepted, OrderIntent
from shared.domain.readings import ExitDue, GateRead
from shared.domain.windows import FeeSchedule

LIMITS = Limits()
LIVE_STAGE_CAP_USDC = Decimal(5)
"""What the deployment's stage allows a LIVE position to cost; it rises by gate, never by hand alone (S9)."""
PRACTICE_CAP_USDC = Decimal(1000)
EXIT_PAUSES = tuple(timedelta(seconds=seconds) for seconds in (0, 0.25, 0.5, 1, 2, 4, 5))
"""Before the next attempt, by attempts made (E19)."""
REDEEM_PAUSE = timedelta(seconds=5)
NOT_SENT = "NOT_SENT"
MET_NOBODY = frozenset({"FAK_NOT_FILLED", "FOK_NOT_FILLED"})
"""Refusals that are the ordinary end of an order nobody met: KILLED, as on paper (P6)."""
_EVENT_OF_REFUSAL = {NOT_SENT: OrderEvent.NOT_SENT} | dict.fromkeys(MET_NOBODY, OrderEvent.KILLED)
_EVENT_OF_STATUS = {
    "matched": OrderEvent.MATCHED,
    "live": OrderEvent.RESTS,
    "delayed": OrderEvent.DELAYED,
    "killed": OrderEvent.KILLED,
}


@dataclass(frozen=True, slots=True)
class EntryDecision:
    """The gate's verdict, and the order it would let out."""

    verdict: GateVerdict
    proposal: EntryProposal | None
    cap_usdc: Decimal | None
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to send now, and why."""

    why: str


def judge_entry(read: GateRead, *, ceiling: Mode, own_now: datetime) -> EntryDecision:
    """Return whether this signal may become an order, and which; ``own_now`` is our clock at the moment of the read."""
    stage_cap = LIVE_STAGE_CAP_USDC if read.signal.mode is Mode.LIVE else PRACTICE_CAP_USDC
    proposal = propose(
        read.signal,
        market=read.market,
        controls=read.controls,
        stage_cap_usdc=stage_cap,
        held_usdc=None if read.counters is None else read.counters.held_usdc,
    )
    mode = None if read.mode_control is None else effective(ceiling, read.mode_control)
    facts = GateFacts(
        now=read.now,
        signal=read.signal,
        signal_state=read.signal_state,
        window=read.window,
        guard=replace(read.guard, effective_mode=mode),
        controls=read.controls,
        venue_offset=read.venue_offset,
        own_offset=own_now - read.now,
        primary_feed_at=read.primary_feed_at,
        book=read.book_facts,
        market=read.market,
        history=read.history,
        counters=read.counters,
        losses=read.losses,
        balance=_balance(read),
        deadman=read.deadman,
        stage_cap_usdc=stage_cap,
        proposal=proposal,
        heartbeats=read.heartbeats,
    )
    verdict = gate(facts, LIMITS)
    evidence = {**verdict.evidence(), **_proposal_evidence(proposal, read.book)}
    return EntryDecision(verdict, proposal, position_cap(read.signal, read.controls, stage_cap), evidence)


def _balance(read: GateRead) -> BalanceFacts | None:
    """Return the cash to check: the venue's word in LIVE, the Book's own in the modes that spend none."""
    if read.signal.mode is Mode.LIVE:
        return read.venue_balance
    return None if read.cash_usdc is None else BalanceFacts(read.cash_usdc, read.now)


def _proposal_evidence(proposal: EntryProposal | None, book: Book | None) -> dict[str, Any]:
    if proposal is None:
        return {"proposal": None}
    evidence: dict[str, Any] = {
        "proposal": {
            "limit_price": str(proposal.limit_price),
            "amount_usdc": str(proposal.amount_usdc),
            "fee_max_usdc": str(proposal.fee_max_usdc),
        }
    }
    if book is not None:
        met = walk(book.asks, OrderSide.BUY, proposal.limit_price, proposal.amount_usdc)
        evidence["depth_share"] = str(met.depth_share)
        evidence["has_impact"] = met.has_impact
    return evidence


def entry_intent(read: GateRead, proposal: EntryProposal) -> OrderIntent:
    """Return the order of a signal; salt and timestamp are the signal's, so the same wish has the same id (D3)."""
    signal, market = read.signal, read.market
    assert market is not None
    return OrderIntent(
        account_id=signal.account_id,
        mode=signal.mode,
        purpose=Purpose.ENTRY,
        signal_id=signal.signal_id,
        position_id=position_id(signal.signal_id),
        window_id=signal.window_id,
        token_id=signal.token_id,
        side=OrderSide.BUY,
        order_type=OrderType.FAK,
        limit_price=proposal.limit_price,
        amount=proposal.amount_usdc,
        tick=market.tick,
        neg_risk=read.window.neg_risk,
        version=market.version,
        salt=order_salt(signal.signal_id),
        timestamp_ms=int(signal.made_at.timestamp() * 1000),
    )


def plan_exit(due: ExitDue) -> OrderIntent | Wait:
    """Return the next sell of a triggered position, or why none goes out now (E19)."""
    pause = EXIT_PAUSES[min(due.attempts, len(EXIT_PAUSES) - 1)]
    if due.last_attempt_at is not None and due.now < due.last_attempt_at + pause:
        return Wait("PAUSE")
    shares = sellable_shares(due.mined_shares, due.selling_shares)
    if shares <= 0:
        return Wait("NOT_MINED")
    if due.book is None or not due.book.continuous:
        return Wait("NO_BOOK")
    bid = due.book.best_bid
    if bid is None:
        return Wait("UNSELLABLE")
    price = exit_price(
        bid,
        due.risk.exit_slippage,
        attempt=due.attempts,
        tick=due.tick,
        emergency=due.reason is ExitReason.EMERGENCY,
    )
    # The venue takes no order worth less than its minimum at the limit, so even an emergency has that floor.
    price = max(price, up(MARKETABLE_MIN_USDC / shares, due.tick))
    if price > bid:
        return Wait("BELOW_VENUE_MINIMUM")
    intent = f"{due.position_id}/exit/{due.attempts + 1}"
    return OrderIntent(
        account_id=due.account_id,
        mode=due.mode,
        purpose=Purpose.EXIT,
        signal_id=None,
        position_id=due.position_id,
        window_id=due.window_id,
        token_id=due.token_id,
        side=OrderSide.SELL,
        order_type=OrderType.FAK,
        limit_price=price,
        amount=shares,
        tick=due.tick,
        neg_risk=due.neg_risk,
        version=due.version,
        salt=order_salt(intent),
        timestamp_ms=int(due.requested_at.timestamp() * 1000) + due.attempts,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A send's outcome in the words of the Book."""

    event: OrderEvent
    details: Mapping[str, Any]


def read_answer(outcome: Outcome[Accepted], *, fee: FeeSchedule) -> Answer:
    """Return what a send taught us. Totals of a match are provisional, and so is the fee made of them (E8, E18)."""
    match outcome:
        case Success(value=accepted):
            event = _EVENT_OF_STATUS.get(accepted.status)
            if event is None:
                return Answer(OrderEvent.LOST, {"reason": "UNKNOWN_STATUS", "status": accepted.status})
            return Answer(event, _totals(accepted, fee))
        case KnownFailure(reason=reason, detail=detail, trips=trips):
            event = _EVENT_OF_REFUSAL.get(reason, OrderEvent.REFUSED)
            return Answer(event, {"reason": reason, "answer": dict(detail), "trips": trips})
        case Unknown(reason=reason, detail=detail):
            # Whoever records LOST trips the breaker in the same transaction (P4).
            return Answer(OrderEvent.LOST, {"reason": reason, "answer": dict(detail)})


def _totals(accepted: Accepted, fee: FeeSchedule) -> dict[str, Any]:
    totals: dict[str, Any] = {
        "status": accepted.status,
        "shares": accepted.shares,
        "usdc": accepted.usdc,
        "trade_ids": list(accepted.trade_ids),
        "transaction_hashes": list(accepted.transaction_hashes),
    }
    if accepted.shares > 0:
        price = min(accepted.usdc / accepted.shares, Decimal(1))
        totals["fee_usdc"] = taker_fee(accepted.shares, price, fee)
    return totals


def may_redeem_again(*, now: datetime, last_finished_at: datetime | None) -> bool:
    """Return whether the next redemption may be tried after one that failed."""
    return last_finished_at is None or now >= last_finished_at + REDEEM_PAUSE


def correlation(signal: SignalId) -> dict[str, str]:
    """Return the log fields that tie one trade's lines together, from its signal to its settlement."""
    return {"correlation_id": signal}
