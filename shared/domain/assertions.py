"""The ten runtime assertions (R10): each a pure predicate over facts, each result kept, each failure a trip."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.domain.controls import allows
from shared.domain.orders import TERMINAL, OrderState
from shared.domain.signals import SignalState

REPORT_DEADLINE = timedelta(seconds=10)
CONFIRMED_WITHIN = timedelta(minutes=2)
"""How long what is held may go unconfirmed (D19)."""
EVERY_S: Mapping[int, int] = MappingProxyType(
    {1: 10, 2: 5, 3: 10, 4: 10, 5: 30, 6: 10, 7: 10, 8: 10, 9: 5, 10: 5}
)
"""The schedule: each assertion's own period, seconds."""

NAMES: Mapping[int, str] = {
    1: "every signal became exactly one order, one refusal or one expiry",
    2: "every order had a match report or a refusal within 10 s",
    3: "every fill is in its position",
    4: "the Book holds what the venue holds",
    5: "profit at settlement is what the balance gained",
    6: "no order is without its id",
    7: "no position is outside the allowlist",
    8: "no entry was on a future window",
    9: "what is deployed is within the session's loss limit",
    10: "no loop took longer than 5 s",
}


@dataclass(frozen=True, slots=True)
class AssertionResult:
    """One assertion, checked once; ``broken`` names what broke it, for a person."""

    number: int
    broken: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.broken

    @property
    def name(self) -> str:
        return NAMES[self.number]


@dataclass(frozen=True, slots=True)
class SignalFacts:
    """One signal and what became of it."""

    signal_id: str
    state: SignalState
    refusal: str | None
    entry_orders: int
    expires_at: datetime
    decidable_since: datetime | None
    """Since when somebody leads who may decide it; None while nobody does: it waits, and can go nowhere."""


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """One order's report."""

    order_id: str | None
    state: OrderState
    claimed_at: datetime


@dataclass(frozen=True, slots=True)
class FillFacts:
    """What a position's fills add up to, and what its row says; None where there is no row."""

    position_id: str
    folded_shares: Decimal
    recorded_shares: Decimal | None


@dataclass(frozen=True, slots=True)
class HoldingFacts:
    """What the verifications of one account say (R3)."""

    held_since: datetime | None
    """Since when something is held; None while nothing is."""
    agreed_at: datetime | None
    """When a verification last found no difference; where there is no venue, the local one (PAPER, DRY_RUN)."""
    differences: tuple[str, ...]
    """Of the newest one."""
    orphans: tuple[str, ...]
    """Positions flagged for two minutes."""
    blind: bool
    """The venue has shown shares the Book has none of, for longer than a race takes."""


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """One entry: where, when, and under which allowlist it was claimed."""

    position_id: str
    instrument: str
    allowed_instruments: frozenset[str]
    entered_at: datetime
    opens_at: datetime


@dataclass(frozen=True, slots=True)
class SettlementFacts:
    """One window whose positions are all redeemed: the cash its P&L implies and the cash that came, USDC."""

    window_id: str
    expected_usdc: Decimal
    received_usdc: Decimal


def signals_end_once(
    signals: Iterable[SignalFacts], *, now: datetime, grace: timedelta = REPORT_DEADLINE
) -> AssertionResult:
    """Check 1. A NEW signal may wait until its expiry and a grace for the expiry to be written, by who leads then."""
    ends: Mapping[SignalState, Callable[[SignalFacts], bool]] = {
        SignalState.ORDERED: lambda each: each.entry_orders == 1 and each.refusal is None,
        SignalState.REFUSED: lambda each: each.entry_orders == 0 and each.refusal is not None,
        SignalState.EXPIRED: lambda each: each.entry_orders == 0 and each.refusal is None,
        SignalState.NEW: lambda each: each.entry_orders == 0 and not _is_forgotten(each, now - grace),
    }
    return AssertionResult(
        1,
        tuple(
            f"{each.signal_id} is {each.state} with {each.entry_orders} orders and refusal {each.refusal}"
            for each in signals
            if not ends[each.state](each)
        ),
    )


def _is_forgotten(signal: SignalFacts, since: datetime) -> bool:
    """Return whether somebody could have written how it ended, and did not."""
    return signal.decidable_since is not None and max(signal.expires_at, signal.decidable_since) <= since


def orders_reported(orders: Iterable[OrderFacts], *, now: datetime) -> AssertionResult:
    """Check 2. Resting is a report, and only what rested is cancelled; SUBMITTING, DELAYED and UNKNOWN are none."""
    reported = TERMINAL | {OrderState.LIVE, OrderState.CANCELLING}
    return AssertionResult(
        2,
        tuple(
            f"{each.order_id} is {each.state} since {each.claimed_at.isoformat()}"
            for each in orders
            if each.state not in reported and now - each.claimed_at > REPORT_DEADLINE
        ),
    )


def fills_positioned(fills: Iterable[FillFacts]) -> AssertionResult:
    """Check 3. A fill moves its position in its own transaction, so at any moment the row is the fold."""
    return AssertionResult(
        3,
        tuple(
            f"{each.position_id} records {each.recorded_shares} of {each.folded_shares} shares"
            for each in fills
            if each.recorded_shares != each.folded_shares
        ),
    )


def holdings_agree(facts: HoldingFacts, *, now: datetime) -> AssertionResult:
    """Check 4, as the verifier compares: a race is no difference, and what nobody could read is not confirmed (P3)."""
    broken = [f"orphaned: {position}" for position in facts.orphans]
    if facts.blind:
        broken += facts.differences
    if facts.held_since is not None:
        confirmed = max(filter(None, (facts.held_since, facts.agreed_at)))
        if now - confirmed > CONFIRMED_WITHIN:
            broken += [f"not confirmed since {confirmed.isoformat()}", *facts.differences]
    return AssertionResult(4, tuple(dict.fromkeys(broken)))


def settlements_agree(settlements: Iterable[SettlementFacts]) -> AssertionResult:
    """Check 5, to the millionth, of what is redeemed."""
    return AssertionResult(
        5,
        tuple(
            f"{each.window_id}: expected {each.expected_usdc}, received {each.received_usdc}"
            for each in settlements
            if each.expected_usdc != each.received_usdc
        ),
    )


def orders_named(orders: Iterable[OrderFacts]) -> AssertionResult:
    """Check 6."""
    nameless = [each for each in orders if not each.order_id]
    return AssertionResult(6, tuple(f"an order claimed {each.claimed_at.isoformat()}" for each in nameless))


def positions_allowed(entries: Iterable[EntryFacts]) -> AssertionResult:
    """Check 7, against the list in force at the claim: narrowing it later does not outlaw what is held."""
    return AssertionResult(
        7,
        tuple(
            f"{each.position_id} is in {each.instrument}"
            for each in entries
            if not allows(each.allowed_instruments, each.instrument)
        ),
    )


def entries_in_time(entries: Iterable[EntryFacts]) -> AssertionResult:
    """Check 8."""
    return AssertionResult(
        8,
        tuple(
            f"{each.position_id} entered {each.entered_at.isoformat()}, window opens {each.opens_at.isoformat()}"
            for each in entries
            if each.entered_at < each.opens_at
        ),
    )


def deployed_within_limit(
    *, positions_usdc: Decimal, reserved_usdc: Decimal, max_session_loss_usdc: Decimal
) -> AssertionResult:
    """Check 9: cost of open positions and reservations."""
    deployed = positions_usdc + reserved_usdc
    broken = deployed > max_session_loss_usdc
    return AssertionResult(9, (f"{deployed} of {max_session_loss_usdc} USDC",) if broken else ())


def loops_quick(slow: Mapping[str, str]) -> AssertionResult:
    """Check 10: each process says which of its turns took longer, seconds by loop; waiting for the venue is no turn."""
    return AssertionResult(10, tuple(f"{name} took {took_s} s" for name, took_s in sorted(slow.items())))
