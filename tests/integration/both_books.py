"""The real Book and its model, moved by the same calls; after every call their books are compared whole."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb, set_json_loads

from shared.db.lock import EXECUTOR_LOCK_KEY
from shared.domain.breaker import BreakerState, TripReason
from shared.domain.escalation import Stage
from shared.domain.model import book as facts
from shared.domain.model import claims, commands
from shared.domain.model import facts as venue
from shared.domain.modes import Mode
from shared.domain.money import down
from shared.domain.orders import OrderEvent, Purpose
from shared.domain.positions import ExitReason
from shared.domain.redemptions import RedemptionEvent
from shared.domain.refusals import Refusal
from shared.domain.settlement import Payouts
from shared.domain.trades import FillState
from shared.domain.windows import Side
from tests.factories import DOWN_TOKEN, UP_TOKEN, WATCHDOGS, order_hash
from tests.integration.pictures import SNAPSHOT, snapshot

STRATEGIES = ("canary", "other")
PRICE, SLIPPAGE, CAP = Decimal("0.5"), Decimal("0.02"), Decimal("4.9969")
DOLLARS = {Decimal(2): Decimal("2.14"), Decimal("3.50"): Decimal("3.745"), Decimal("4.67"): Decimal("4.9969")}
"""What an entry spends, and what it sets aside."""
WINDOWS = (("a", "BTC", True), ("b", "ETH", True), ("c", "BTC", True), ("future", "BTC", False))
"""Name, instrument, begun."""


class RealBook:
    """The functions of one database, on the one session that holds the executor's lock."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        set_json_loads(partial(json.loads, parse_float=Decimal, parse_int=Decimal), self.connection)
        self.numbers = itertools.count()
        assert self.do("SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY)
        for service in WATCHDOGS:  # alive for as long as the test runs
            self.do(
                "INSERT INTO heartbeats (service, instance, at, healthy)"
                " VALUES (%s, 'one', now() + interval '1 day', true)",
                service,
            )
        self.take_epoch()

    def take_epoch(self, *, reconciled: bool = True) -> None:
        self.epoch = int(self.do("SELECT take_epoch('test')"))
        self.reconciled = reconciled
        if reconciled:
            self.do("SELECT mark_reconciled(%s, '{}')", self.epoch)

    def do(self, statement: str, *parameters: object) -> Any:
        """Run one statement; returns its first value, or the SQLSTATE with which the function refused the call."""
        try:
            cursor = self.connection.execute(statement, parameters)
        except psycopg.errors.DatabaseError as error:
            if error.sqlstate is None or not error.sqlstate.startswith("OB"):
                raise
            return error.sqlstate
        row = cursor.fetchone() if cursor.description else None
        return None if row is None else row[0]


class BothBooks:
    """One account in one mode, twice."""

    def __init__(self, real: RealBook, mode: Mode) -> None:
        self.real = real
        self.account = f"account-{next(real.numbers):06}"
        self.names = (f"{self.account}-{number:03}" for number in itertools.count())
        self.bar: str | None = None
        if not real.reconciled:
            real.take_epoch()
        real.do("SELECT open_account(%s, '0x')", self.account)
        real.do("SELECT book_external(%s, %s, 'DEPOSIT', 15, 'first')", self.account, mode)
        for strategy in STRATEGIES:
            real.do(
                "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
                " VALUES (%s, %s, %s, 'hash', '{}', 'test')",
                *(f"{self.account}-{strategy}", self.account, strategy),
            )
        for name, instrument, begun in WINDOWS:
            real.do(
                "INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token,"
                " opens_at, closes_at, state, rule, lookback_s, version) VALUES (%s, %s, 's', 900, 'c', %s, %s,"
                " now() + %s::interval, now() + interval '1 day', 'OPEN', 'CHAINLINK_TWAP', 60, 'v1')",
                *(
                    f"{self.account}-{name}",
                    instrument,
                    UP_TOKEN,
                    DOWN_TOKEN,
                    "-1 minute" if begun else "1 hour",
                ),
            )
        windows = {
            f"{self.account}-{name}": facts.ModelWindow(kind, begun=begun) for name, kind, begun in WINDOWS
        }
        self.book = facts.ModelBook(mode, windows=windows, externals={"first": ("DEPOSIT", Decimal(15))})
        self.set_control("allowed_instruments", "*")
        self.set_control("allowed_strategies", "*")

    def agree(self, answer: object, expected: object) -> None:
        """Compare an answer with the model's, and every book with the model's."""
        assert answer == expected
        stored, computed = self.real.do(SNAPSHOT, self.account, self.book.mode), snapshot(self.book)
        assert {key: value for key, value in stored.items() if value != computed[key]} == {
            key: value for key, value in computed.items() if value != stored[key]
        }

    def move(self, step: Callable[[], facts.ModelBook]) -> str | None:
        """Take a step of the model; returns the SQLSTATE with which it refuses the call."""
        try:
            self.book = step()
        except facts.Refused as error:
            return error.code
        return None

    def token(self, side: Side) -> str:
        return UP_TOKEN if side is Side.UP else DOWN_TOKEN

    # -- the world ---------------------------------------------------------------------------------------------------

    def close_window(self, window: str) -> None:
        self.real.do(
            "UPDATE windows SET closes_at = least(closes_at, now() - interval '1 second'),"
            " opens_at = now() - interval '1 hour' WHERE window_id = %s",
            window,
        )
        over = replace(self.book.windows[window], begun=True, over=True)
        self.book = replace(self.book, windows={**self.book.windows, window: over})

    def verify_positions(self) -> None:
        self.real.do(
            "INSERT INTO position_verifications (account_id, mode, verified, at)"
            " VALUES (%s, %s, true, now() + interval '1 day')",
            *(self.account, self.book.mode),
        )
        self.book = replace(self.book, verified=True)

    def take_epoch(self, *, reconciled: bool) -> None:
        self.book = venue.take_epoch(self.book)
        self.bar = None if reconciled else "RECONCILIATION_PENDING"
        self.real.take_epoch(reconciled=reconciled)
        self.agree(None, None)

    # -- intentions --------------------------------------------------------------------------------------------------

    def signal(self, window: str, strategy: str, side: Side, *, expired: bool = False) -> str:
        name, mode = f"sig-{next(self.names)}", self.book.mode
        risk = {"max_position_usdc": str(CAP), "max_slippage": str(SLIPPAGE)}
        self.real.do(
            "INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side,"
            " token_id, price, amount_usdc, confidence, risk, evidence, ordinal, made_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 2, 0.6, %s, '{}', %s, now(), now() + %s::interval)",
            *(name, self.account, mode, strategy, f"{self.account}-{strategy}", window),
            *(self.book.windows[window].instrument, side, self.token(side), PRICE, Jsonb(risk)),
            *(len(self.book.signals), "-1 second" if expired else "1 day"),
        )
        wish = facts.ModelSignal(window, strategy, side, PRICE, SLIPPAGE, CAP, expired=expired)
        self.book = self.book.with_signal(name, wish)
        return name

    def claim_entry(self, signal: str, dollars: Decimal, twist: str | None = None) -> str | None:
        """Claim an entry; ``twist`` names what is wrong with the order, if anything is."""
        limit = PRICE + SLIPPAGE + (Decimal("0.01") if twist == "price" else 0)
        shares = (dollars / limit).quantize(Decimal("0.0001"), rounding="ROUND_DOWN")
        order = claims.EntryOrder(
            order_id=order_hash(signal),
            position_id=f"pos-{signal}",
            limit_price=limit,
            maker_amount=dollars,
            taker_amount=shares - 1 if twist == "shares" else shares,
            reserved_usdc=dollars - 1 if twist == "reserve" else DOLLARS[dollars],
            cap_usdc=Decimal(1) if twist == "cap" else Decimal(5),
        )
        told = {name: str(getattr(order, name)) for name in claims.EntryOrder.__slots__}
        told |= {
            "token_id": self.token(self.book.signals[signal].side),
            "order_type": "FAK",
            "salt": "1",
            "timestamp_ms": "1",
        }
        bar = "NOT_LEADER" if twist == "epoch" else self.bar
        self.book, refused = claims.claim_entry(self.book, signal, order, bar=bar)
        answer = self.real.do(
            "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')",
            *(self.real.epoch - (twist == "epoch"), signal, Jsonb(told)),
        )
        if {answer, refused} == {Refusal.ALREADY_ENTERED, Refusal.ORDER_CAP}:
            # Both hold, see snapshot(): which of the two is named depends on who holds the place.
            self.book = self.book.with_signal(signal, replace(self.book.signals[signal], refusal=answer))
            refused = answer
        self.agree(answer, refused)
        return refused

    def request_exit(self, position: str, reason: ExitReason) -> None:
        self.book, changed = commands.request_exit(self.book, position, reason)
        self.agree(self.real.do("SELECT request_exit(%s, %s, 0.4, 0.39)", position, reason), changed)

    def claim_exit(self, position: str, shares: Decimal, *, stale: bool = False) -> str | None:
        order_id, side = order_hash((position, next(self.names))), self.book.positions[position].side
        bar = "NOT_LEADER" if stale else self.bar
        self.book, refused = claims.claim_exit(self.book, position, order_id, shares, bar=bar)
        told = {
            "order_id": order_id,
            "token_id": self.token(side),
            "order_type": "FAK",
            "limit_price": "0.4",
            "maker_amount": str(shares),
            "taker_amount": str(down(shares * 2 / 5)),
            "salt": "1",
            "timestamp_ms": "1",
        }
        answer = self.real.do(
            "SELECT refused FROM claim_exit(%s, %s, %s, 'body', '{}')",
            *(self.real.epoch - stale, position, Jsonb(told)),
        )
        self.agree(answer, refused)
        return order_id if refused is None else None

    def claim_cancel(self, order: str) -> None:
        self.book, refused = claims.claim_cancel(self.book, order, bar=self.bar)
        self.agree(self.real.do("SELECT claim_cancel(%s, %s, 'test')", self.real.epoch, order), refused)

    def claim_redeem(self, window: str) -> None:
        attempt = sum(each.window_id == window for each in self.book.redemptions.values()) + 1
        name = f"red-{window}-{attempt}"
        self.book, refused = claims.claim_redeem(self.book, window, name, bar=self.bar)
        answer = self.real.do(
            "SELECT refused FROM claim_redeem(%s, %s, %s, %s, %s, %s, 10)",
            *(self.real.epoch, self.account, self.book.mode, window, name, attempt),
        )
        self.agree(answer, refused)

    # -- facts -------------------------------------------------------------------------------------------------------

    def record_outcome(
        self, order: str, event: OrderEvent, report: facts.Report | None = None, *, trips: bool = False
    ) -> None:
        told: dict[str, object] = {"reason": "test", "trips": trips}
        if report is not None:
            told |= {"shares": str(report.shares), "usdc": str(report.usdc), "fee_usdc": str(report.fee_usdc)}
            told |= {"trade_ids": list(report.trade_ids)}
        refused = self.move(lambda: venue.record_outcome(self.book, order, event, report=report, trips=trips))
        answer = self.real.do("SELECT record_outcome(%s, %s, %s)", order, event, Jsonb(told))
        self.agree(answer, refused or self.book.orders[order].state)

    def apply_trade(self, order: str, trade: str, fill: facts.ModelFill) -> None:
        side = self.book.positions[self.book.orders[order].position_id].side
        word = "BUY" if self.book.orders[order].purpose is Purpose.ENTRY else "SELL"
        told = {
            "order_id": order,
            "trade_id": trade,
            "token_id": self.token(side),
            "side": word,
            "price": "0.5",
            "shares": str(fill.shares),
            "usdc": str(fill.usdc),
            "fee_usdc": str(fill.fee_usdc),
            "state": fill.state,
            "matched_at": "2026-10-05T23:00:00Z",
        }
        self.book, change = venue.apply_trade(self.book, order, trade, self.token(side), fill)
        self.agree(self.real.do("SELECT apply_trade(%s, 'test')", Jsonb(told)), change)

    def reverse_trade(self, order: str, trade: str, token: str) -> None:
        known = self.book.fills.get((order, trade, token))
        news = known is not None and known.state not in {FillState.CONFIRMED, FillState.FAILED}
        refused = self.move(lambda: venue.reverse_trade(self.book, order, trade, token)[0])
        answer = self.real.do("SELECT reverse_trade(%s, %s, %s, 'test')", order, trade, token)
        self.agree(answer, refused or ("CHANGED" if news else "SAME"))

    def apply_order_evidence(self, order: str, proves: str, event: OrderEvent | None) -> None:
        refused = self.move(lambda: venue.apply_order_evidence(self.book, order, proves, event))
        answer = self.real.do("SELECT apply_order_evidence(%s, 'READ', %s, 'test', %s)", order, proves, event)
        self.agree(answer, refused or self.book.orders[order].state)

    def resolve_unknown(self, order: str, event: OrderEvent, *, lacking: str | None = None) -> None:
        proofs = {
            name: name != lacking for name in ("venue_closed", "order_unknown", "no_trade", "balance_equal")
        }
        refused = self.move(lambda: venue.resolve_unknown(self.book, order, event, proofs=proofs))
        answer = self.real.do("SELECT resolve_unknown(%s, %s, 'test', %s)", order, event, Jsonb(proofs))
        self.agree(answer, refused or self.book.orders[order].state)

    def settle(self, window: str, payouts: Payouts) -> None:
        is_new = self.book.windows[window].payouts is None
        refused = self.move(lambda: venue.settle(self.book, window, payouts)[0])
        answer = self.real.do(
            "SELECT settle(%s, %s, %s, 'test', now(), 'UP')", window, payouts.up, payouts.down
        )
        self.agree(answer, refused or is_new)

    def record_redemption(self, name: str, event: RedemptionEvent, *, short: Decimal = Decimal(0)) -> None:
        paid = max(self.book.redemptions[name].expected_usdc - short, Decimal(0))
        told = {"reason": "test"} | ({"paid_usdc": str(paid)} if event is RedemptionEvent.PAID else {})
        self.book = venue.record_redemption(self.book, name, event, paid_usdc=paid)
        answer = self.real.do("SELECT record_redemption(%s, %s, %s)", name, event, Jsonb(told))
        self.agree(answer, self.book.redemptions[name].state)

    # -- people ------------------------------------------------------------------------------------------------------

    def trip_breaker(self, reason: TripReason) -> None:
        self.book, changed = commands.trip_breaker(self.book, reason)
        self.agree(
            self.real.do("SELECT trip_breaker(%s, %s, %s)", self.account, self.book.mode, reason), changed
        )

    def reset_breaker(self, operator: str = "alice") -> None:
        refused = self.move(lambda: commands.reset_breaker(self.book, operator=operator, reason="looked"))
        answer = self.real.do(
            "SELECT reset_breaker(%s, %s, %s, 'looked')", self.account, self.book.mode, operator
        )
        self.agree(answer, refused or "")

    def set_control(self, key: str, value: str, actor: str = "tester") -> None:
        refused = self.move(lambda: commands.set_control(self.book, key, value, actor=actor, reason="test"))
        answer = self.real.do("SELECT set_control(%s, %s, %s, %s, 'test')", self.account, key, value, actor)
        self.agree(answer if str(answer).startswith("OB") else None, refused)

    def age(self, minutes: int) -> None:
        """Let an open breaker have been open, and flags have stood, for so much longer."""
        span, whose = timedelta(minutes=minutes), (self.account, self.book.mode)
        for change in (
            "trading_gate SET breaker_since = breaker_since - %s",
            "escalations SET tripped_at = tripped_at - %s",
            "positions SET orphaned_since = orphaned_since - %s",
        ):
            self.real.do(f"UPDATE {change} WHERE account_id = %s AND mode = %s", span, *whose)
        if self.book.gate.breaker is BreakerState.OPEN:
            gate = replace(self.book.gate, open_for=self.book.gate.open_for + span)
            self.book = replace(self.book, gate=gate)
        for name, each in self.book.positions.items():
            if each.orphaned_for is not None:
                self.book = self.book.with_position(
                    name, replace(each, orphaned_for=each.orphaned_for + span)
                )

    def escalate(self, stage: Stage) -> None:
        self.book, taken = commands.escalate(self.book, stage)
        self.agree(self.real.do("SELECT escalate(%s, %s, %s)", self.account, self.book.mode, stage), taken)

    def flag_orphans(self, sides: frozenset[Side]) -> None:
        self.book, flagged = commands.flag_orphans(self.book, sides)
        tokens = [self.token(side) for side in sides]
        answer = self.real.do("SELECT flag_orphans(%s, %s, %s)", self.account, self.book.mode, tokens)
        self.agree(answer, flagged)

    def stop_strategy(self, strategy: str, pnl: Decimal) -> None:
        self.book, stopped = commands.stop_strategy(self.book, strategy, pnl)
        answer = self.real.do(
            "SELECT stop_strategy(%s, %s, %s, 'DAY', %s)", self.account, self.book.mode, strategy, pnl
        )
        self.agree(answer, stopped)

    def book_external(self, kind: str, amount: Decimal, reference: str) -> None:
        self.book, booked = commands.book_external(self.book, kind, amount, reference)
        answer = self.real.do(
            "SELECT book_external(%s, %s, %s, %s, %s)", self.account, self.book.mode, kind, amount, reference
        )
        self.agree(answer, booked)
