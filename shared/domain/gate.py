"""The gate: every soft check an entry passes, in one fixed order, from one fresh read (E10).

The claim repeats, under its row locks, the checks that only a lock can decide. Here every check runs every time and all
inputs and verdicts are kept, so a refusal can be read like an entry (S4); the first broken check names the refusal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from shared.domain.amounts import AMOUNT_DECIMALS, MARKETABLE_MIN_USDC, EntryProposal, propose_entry
from shared.domain.breaker import BreakerState, KillSwitch
from shared.domain.controls import Controls, allows
from shared.domain.facts import GateFacts, Limits, MarketFacts
from shared.domain.fees import is_supported
from shared.domain.refusals import Refusal
from shared.domain.signals import Signal, SignalState
from shared.domain.windows import WindowState


class Check(NamedTuple):
    """One rule with what it looked at and what it allows."""

    name: str
    refusal: Refusal
    passed: bool
    input: Any
    limit: Any


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether the entry may be prepared, and every check that said so."""

    passed: bool
    refused: Refusal | None
    checks: tuple[Check, ...]

    def evidence(self) -> dict[str, Any]:
        """Return inputs, limits and verdicts as they are; whoever writes them down keeps every digit."""
        return {
            "passed": self.passed,
            "refused": self.refused,
            "checks": [
                {"name": name, "refusal": refusal, "passed": passed, "input": seen, "limit": limit}
                for name, refusal, passed, seen, limit in self.checks
            ],
        }


def position_cap(signal: Signal, controls: Controls | None, stage_cap_usdc: Decimal | None) -> Decimal | None:
    """Return what one position may cost: the lowest of control, strategy and stage (D16); None if one is unread."""
    if controls is None or stage_cap_usdc is None:
        return None
    return min(controls.max_position_usdc, signal.risk.max_position_usdc, stage_cap_usdc)


def propose(
    signal: Signal,
    *,
    market: MarketFacts | None,
    controls: Controls | None,
    stage_cap_usdc: Decimal | None,
    held_usdc: Decimal | None,
) -> EntryProposal | None:
    """Return the order to send for this signal under the caps in force; None where no lawful one exists."""
    cap = position_cap(signal, controls, stage_cap_usdc)
    if market is None or controls is None or cap is None or held_usdc is None or not is_supported(market.fee):
        return None
    return propose_entry(
        signal_price=signal.price,
        wanted_usdc=signal.amount_usdc,
        cap_usdc=cap - held_usdc,
        max_slippage=min(signal.risk.max_slippage, controls.entry_slippage),
        stop_loss=signal.risk.stop_loss,
        exit_slippage=signal.risk.exit_slippage,
        tick=market.tick,
        fee=market.fee,
    )


def gate(facts: GateFacts, limits: Limits) -> GateVerdict:
    """Return the verdict on one entry: all checks run, the first broken one names the refusal."""
    checks = tuple(Check(name, refusal, *judge(facts, limits)) for name, refusal, judge in RULES)
    refused = next((check.refusal for check in checks if not check.passed), None)
    return GateVerdict(refused is None, refused, checks)


_Finding: TypeAlias = tuple[bool, Any, Any]
"""The verdict of one rule: whether it passed, what it looked at, what it allows."""


def _is(value: Any, wanted: Any) -> _Finding:
    """Find that a value was read and is the one wanted."""
    return value is not None and wanted is not None and value == wanted, value, wanted


def _at_most(value: Any, limit: Any) -> _Finding:
    return value is not None and limit is not None and value <= limit, value, limit


def _below(value: Any, limit: Any) -> _Finding:
    return value is not None and limit is not None and value < limit, value, limit


def _at_least(value: Any, limit: Any) -> _Finding:
    return value is not None and limit is not None and value >= limit, value, limit


_MICROSECOND = timedelta(microseconds=1)


def _seconds(span: timedelta) -> Decimal:
    """Return a span in seconds, exactly."""
    return Decimal(span // _MICROSECOND) / 1_000_000


def _left(facts: GateFacts) -> timedelta | None:
    """Return what is left of the window by the venue's clock."""
    if facts.window is None or facts.venue_now is None:
        return None
    return facts.window.closes_at - facts.venue_now


def _of(part: object, name: str) -> Any:
    """Return a field of a part that may not have been read."""
    return None if part is None else getattr(part, name)


def _plus(*values: Decimal | None) -> Decimal | None:
    """Return the sum, None if any of them is unknown."""
    known = [value for value in values if value is not None]
    return sum(known, Decimal(0)) if len(known) == len(values) else None


def _fresh(facts: GateFacts, at: datetime | None, limits: Limits, limit: timedelta) -> _Finding:
    """Find that something is young enough, and not from a future no clock here could have written."""
    age = None if at is None else facts.now - at
    return age is not None and -limits.venue_offset_max <= age <= limit, age, limit


def _long_ago(facts: GateFacts, field: str, seconds: Decimal | None) -> _Finding:
    """Find that something last happened long enough ago, or never."""
    if facts.history is None or seconds is None:
        return False, None, seconds
    at = getattr(facts.history, field)
    age = None if at is None else _seconds(facts.now - at)
    return age is None or age >= seconds, "never" if age is None else age, seconds


def _unexpired(facts: GateFacts, _limits: Limits) -> _Finding:
    """Find that the signal is still meant: by its own expiry, and by the lifetime a person allows."""
    lifetime = _of(facts.controls, "signal_lifetime_s")
    age = _seconds(facts.now - facts.signal.made_at)
    alive = facts.now < facts.signal.expires_at and lifetime is not None and age <= lifetime
    return alive, {"age_s": age, "expires_at": facts.signal.expires_at}, lifetime


def _own_clock(facts: GateFacts, limits: Limits) -> _Finding:
    """Find that our clock is near the venue's and near Postgres's."""
    own, venue = facts.own_offset, facts.venue_offset
    near = (
        own is not None
        and venue is not None
        and abs(own) <= limits.database_offset_max
        and abs(own - venue) <= limits.venue_offset_max
    )
    return (
        near,
        {"own_minus_database": own, "venue_minus_database": venue},
        {"database": limits.database_offset_max, "venue": limits.venue_offset_max},
    )


def _market_matches(facts: GateFacts, _limits: Limits) -> _Finding:
    """Find that the venue's market is the window's, and the signal's token its side's."""
    market, window, signal = facts.market, facts.window, facts.signal
    seen = (_of(market, "up_token"), _of(market, "down_token"), signal.token_id, signal.window_id)
    wanted = (
        (None, None, None, None)
        if window is None
        else (window.up_token, window.down_token, window.token(signal.side), window.window_id)
    )
    return None not in (*seen, *wanted) and seen == wanted, seen, wanted


def _market_supported(facts: GateFacts, limits: Limits) -> _Finding:
    """Find that we know this market's protocol, tick and kind of fee: what we do not know we do not trade."""
    market = facts.market
    known = (
        market is not None
        and market.version in limits.versions
        and market.tick in AMOUNT_DECIMALS
        and is_supported(market.fee)
    )
    fee = _of(market, "fee")
    seen = {
        "version": _of(market, "version"),
        "tick": _of(market, "tick"),
        "fee": None if fee is None else (fee.rate, fee.exponent, fee.taker_only),
    }
    return known, seen, {"versions": sorted(limits.versions), "ticks": tuple(AMOUNT_DECIMALS)}


def _under_cap(facts: GateFacts, _limits: Limits) -> _Finding:
    """Find that the position stays under its dollar cap, counting what it holds and what is live."""
    cost = MARKETABLE_MIN_USDC if facts.proposal is None else facts.proposal.reservation_usdc
    cap = position_cap(facts.signal, facts.controls, facts.stage_cap_usdc)
    return _at_most(_plus(_of(facts.counters, "held_usdc"), cost), cap)


def _with_order(facts: GateFacts, field: str) -> Decimal | None:
    """Return a counter as it would be with this order."""
    return _plus(_of(facts.counters, field), _of(facts.proposal, "reservation_usdc"))


def _loss_below(facts: GateFacts, pnl_field: str, limit: Decimal | None) -> _Finding:
    """Find that a loss, a positive number, has not reached its limit."""
    pnl = _of(facts.losses, pnl_field)
    return _below(None if pnl is None else max(-pnl, Decimal(0)), limit)


def _day_limit(facts: GateFacts) -> Decimal | None:
    """Return the dollars a day may lose."""
    if facts.losses is None or facts.controls is None:
        return None
    return facts.losses.day_start_usdc * facts.controls.daily_drawdown


def _not_stopped(facts: GateFacts, _limits: Limits) -> _Finding:
    """Find that the strategy was not stopped at the limit in force: a higher one lifts the stop (R8)."""
    stop, limit = _of(facts.losses, "strategy_stop_usdc"), _of(facts.controls, "max_strategy_loss_usdc")
    passed = facts.losses is not None and limit is not None and (stop is None or stop < limit)
    return passed, "never" if facts.losses is not None and stop is None else stop, limit


def _balance_fresh(facts: GateFacts, limits: Limits) -> _Finding:
    """Find that the balance is young, and was asked for after our last trade: an older one still shows spent money."""
    read_at, last_trade = _of(facts.balance, "read_at"), _of(facts.history, "last_trade_at")
    young, age, limit = _fresh(facts, read_at, limits, limits.balance_age_max)
    newer = facts.history is not None and (
        last_trade is None or (read_at is not None and read_at > last_trade)
    )
    seen = {"age": age, "read_at": read_at, "last_trade_at": last_trade}
    return young and newer, seen, limit


def _watched(facts: GateFacts, limits: Limits) -> _Finding:
    """Find that every watchdog has beaten lately: who cannot report must not trade (R11)."""
    beats = {
        name: _fresh(facts, facts.heartbeats.get(name), limits, limits.heartbeat_age_max)
        for name in limits.watchdogs
    }
    ages = {name: age for name, (_, age, _) in beats.items()}
    return all(fresh for fresh, _, _ in beats.values()), ages, limits.heartbeat_age_max


def _deadman(facts: GateFacts, limits: Limits) -> _Finding:
    """Find that the venue's dead-man switch is fed, if anything rests that it would cancel."""
    if facts.deadman is not None and not facts.deadman.resting:
        return True, "nothing rests", limits.deadman_age_max
    return _fresh(facts, _of(facts.deadman, "beaten_at"), limits, limits.deadman_age_max)


def _allowed(names: frozenset[str] | None, name: str) -> _Finding:
    """Find that a list admits a name; an empty list admits nobody."""
    admitted = names is not None and allows(names, name)
    return admitted, name, None if names is None else sorted(names)


_Judge = Callable[[GateFacts, Limits], _Finding]
_R = Refusal
RULES: tuple[tuple[str, Refusal, _Judge], ...] = (
    ("leader", _R.NOT_LEADER, lambda f, _: _is(f.guard.leader, True)),
    ("reconciled", _R.RECONCILIATION_PENDING, lambda f, _: _is(f.guard.reconciled, True)),
    ("breaker", _R.BREAKER_OPEN, lambda f, _: _is(f.guard.breaker, BreakerState.CLOSED)),
    ("kill_switch", _R.KILL_SWITCH, lambda f, _: _is(f.guard.kill_switch, KillSwitch.OFF)),
    ("mode", _R.MODE_NOT_ALLOWED, lambda f, _: _is(f.guard.effective_mode, f.signal.mode)),
    ("halted", _R.HALTED, lambda f, _: _is(f.guard.halted, False)),
    ("signal_state", _R.SIGNAL_NOT_NEW, lambda f, _: _is(f.signal_state, SignalState.NEW)),
    ("signal_age", _R.SIGNAL_EXPIRED, _unexpired),
    ("window_begun", _R.FUTURE_WINDOW, lambda f, _: _at_least(f.venue_now, _of(f.window, "opens_at"))),
    ("window_state", _R.WINDOW_NOT_OPEN, lambda f, _: _is(_of(f.window, "state"), WindowState.OPEN)),
    ("window_left", _R.WINDOW_CLOSING, lambda f, ls: _at_least(_left(f), ls.entry_cutoff)),
    (
        "instrument",
        _R.INSTRUMENT_NOT_ALLOWED,
        lambda f, _: _allowed(_of(f.controls, "allowed_instruments"), f.signal.instrument),
    ),
    (
        "strategy",
        _R.STRATEGY_NOT_ALLOWED,
        lambda f, _: _allowed(_of(f.controls, "allowed_strategies"), f.signal.strategy_id),
    ),
    ("strategy_loss", _R.STRATEGY_STOPPED, _not_stopped),
    ("clock", _R.CLOCK_OFF, _own_clock),
    ("primary_feed", _R.FEED_STALE, lambda f, ls: _fresh(f, f.primary_feed_at, ls, ls.primary_feed_age_max)),
    ("book_feed", _R.FEED_STALE, lambda f, ls: _fresh(f, _of(f.book, "received_at"), ls, ls.book_age_max)),
    ("book", _R.BOOK_NOT_CONTINUOUS, lambda f, _: _is(_of(f.book, "continuous"), True)),
    ("market_age", _R.MARKET_STALE, lambda f, ls: _fresh(f, _of(f.market, "read_at"), ls, ls.market_age_max)),
    ("market_tokens", _R.MARKET_MISMATCH, _market_matches),
    ("market_kind", _R.MARKET_UNSUPPORTED, _market_supported),
    ("accepting", _R.NOT_ACCEPTING, lambda f, _: _is(_of(f.market, "accepting"), True)),
    ("cooldown", _R.COOLDOWN, lambda f, _: _long_ago(f, "last_entry_at", _of(f.controls, "cooldown_s"))),
    (
        "anti_flip",
        _R.ANTI_FLIP,
        lambda f, _: _long_ago(f, "last_opposite_entry_at", _of(f.controls, "anti_flip_s")),
    ),
    ("window_unknown", _R.WINDOW_BLOCKED, lambda f, _: _is(_of(f.counters, "window_blocked"), False)),
    ("entered", _R.ALREADY_ENTERED, lambda f, _: _is(_of(f.counters, "entered"), False)),
    (
        "window_orders",
        _R.ORDER_CAP,
        lambda f, ls: _below(_of(f.counters, "window_orders"), ls.window_orders_max),
    ),
    ("position", _R.POSITION_EXISTS, lambda f, _: _is(_of(f.counters, "position_exists"), False)),
    ("position_cap", _R.POSITION_CAP, _under_cap),
    ("order", _R.TOO_SMALL, lambda f, _: _at_least(_of(f.proposal, "amount_usdc"), MARKETABLE_MIN_USDC)),
    (
        "open_positions",
        _R.MAX_OPEN_POSITIONS,
        lambda f, _: _below(_of(f.counters, "open_positions"), _of(f.controls, "max_open_positions")),
    ),
    (
        "exposure",
        _R.MAX_EXPOSURE,
        lambda f, _: _at_most(_with_order(f, "exposure_usdc"), _of(f.controls, "max_exposure_usdc")),
    ),
    (
        "instrument_exposure",
        _R.MAX_INSTRUMENT,
        lambda f, _: _at_most(_with_order(f, "instrument_usdc"), _of(f.controls, "max_instrument_usdc")),
    ),
    (
        "deployed",
        _R.SESSION_DEPLOYED,
        lambda f, _: _at_most(_with_order(f, "deployed_usdc"), _of(f.controls, "max_session_loss_usdc")),
    ),
    (
        "session_loss",
        _R.SESSION_LOSS,
        lambda f, _: _loss_below(f, "session_pnl_usdc", _of(f.controls, "max_session_loss_usdc")),
    ),
    ("daily_loss", _R.DAILY_LOSS, lambda f, _: _loss_below(f, "daily_pnl_usdc", _day_limit(f))),
    (
        "capital",
        _R.INSUFFICIENT_CAPITAL,
        lambda f, _: _at_most(_of(f.proposal, "reservation_usdc"), _of(f.counters, "free_capital_usdc")),
    ),
    ("balance_age", _R.BALANCE_STALE, _balance_fresh),
    (
        "balance",
        _R.INSUFFICIENT_BALANCE,
        lambda f, _: _at_most(_of(f.proposal, "reservation_usdc"), _of(f.balance, "amount_usdc")),
    ),
    ("watchdogs", _R.WATCHDOG_SILENT, _watched),
    ("deadman", _R.DEADMAN_STALE, _deadman),
    ("liquidity", _R.NO_LIQUIDITY, lambda f, _: _at_least(_of(f.book, "best_ask"), Decimal(0))),
    ("price", _R.PRICE_MOVED, lambda f, _: _at_most(_of(f.book, "best_ask"), _of(f.proposal, "limit_price"))),
)
"""The fixed order: what stops all trading, what is out of time, what cannot be trusted, what is used up, the price."""
