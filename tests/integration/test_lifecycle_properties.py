"""The Book's functions against their pure model: the same calls, in any order, leave the same books (D15).

One database, one account an example. After every step all that the functions keep up to date is compared with what the
model computes anew from the facts.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from psycopg.types.json import Jsonb, set_json_loads

from shared.db.lock import EXECUTOR_LOCK_KEY
from shared.domain.breaker import TripReason
from shared.domain.model import book as facts
from shared.domain.model import claims, commands
from shared.domain.model import facts as venue
from shared.domain.modes import Mode
from shared.domain.orders import TERMINAL, OrderEvent, OrderState, Purpose
from shared.domain.positions import ExitReason, PositionState
from shared.domain.redemptions import RedemptionEvent
from shared.domain.settlement import Payouts
from shared.domain.signals import SignalState
from shared.domain.trades import FillState
from shared.domain.windows import Side
from tests.factories import DOWN_TOKEN, UP_TOKEN, WATCHDOGS, order_hash

pytestmark = pytest.mark.integration

SNAPSHOT = """
SELECT jsonb_build_object(
  'gate', (SELECT jsonb_build_array(breaker, breaker_reason, kill_switch, mode_ceiling, halted)
             FROM trading_gate WHERE account_id = a AND mode = m),
  'ever', (SELECT coalesce(jsonb_agg(DISTINCT reason), '[]') FROM breaker_history
            WHERE account_id = a AND mode = m AND state = 'OPEN'),
  'signals', (SELECT coalesce(jsonb_object_agg(signal_id, jsonb_build_array(state, refusal)), '{}')
                FROM signals WHERE account_id = a AND mode = m),
  'orders', (SELECT coalesce(jsonb_object_agg(order_id, jsonb_build_array(state, eff_shares, eff_usdc, eff_fee)), '{}')
               FROM order_effects WHERE account_id = a AND mode = m),
  'fills', (SELECT coalesce(jsonb_object_agg(order_id || trade_id, state), '{}') FROM fills WHERE account_id = a AND mode = m),
  'positions', (SELECT coalesce(jsonb_object_agg(position_id, jsonb_build_array(state, exit_reason, payout, paid_usdc,
                    bought_shares - sold_shares, booked_reserved, booked_positions, booked_receivable, booked_pnl, booked_fees)), '{}')
                  FROM positions WHERE account_id = a AND mode = m),
  'balances', (SELECT jsonb_object_agg(bucket, balance) FROM ledger_balances WHERE account_id = a AND mode = m),
  'open', (SELECT jsonb_build_array(open_count, exposure_usdc) FROM position_counters WHERE account_id = a AND mode = m),
  'intended', (SELECT intended_usdc <= exposure_usdc AND intended_count <= open_count
                 FROM position_counters WHERE account_id = a AND mode = m),
  'instruments', (SELECT coalesce(jsonb_object_agg(instrument, exposure_usdc), '{}')
                    FROM instrument_exposure WHERE account_id = a AND mode = m AND exposure_usdc <> 0),
  'entered', (SELECT coalesce(jsonb_agg(window_id || strategy_id ORDER BY window_id || strategy_id COLLATE "C"), '[]')
                FROM window_entries WHERE account_id = a AND mode = m AND released_at IS NULL),
  'slots', (SELECT coalesce(jsonb_object_agg(window_id, n), '{}')
              FROM (SELECT window_id, count(*) AS n FROM entry_slots WHERE account_id = a AND mode = m GROUP BY 1) s),
  'active', (SELECT coalesce(jsonb_agg(window_id ORDER BY window_id COLLATE "C"), '[]') FROM active_positions WHERE account_id = a AND mode = m),
  'redemptions', (SELECT coalesce(jsonb_object_agg(redemption_id, jsonb_build_array(state, expected_usdc)), '{}')
                    FROM redemptions WHERE account_id = a AND mode = m),
  'realized', (SELECT coalesce(sum(realized_usdc), 0) FROM sessions WHERE account_id = a AND mode = m),
  'unbalanced', (SELECT coalesce(jsonb_agg(what), '[]') FROM verify_ledger(a, m)))
FROM (SELECT %s AS a, %s AS m) x
"""


def snapshot(book: facts.ModelBook) -> dict[str, Any]:
    """The same picture, computed from the model's facts."""
    instruments = {window.instrument for window in book.windows.values()}
    return {
        "gate": [
            book.gate.breaker,
            book.gate.reason,
            book.kill_switch,
            book.in_force.trading_mode,
            book.gate.halted,
        ],
        "ever": sorted(book.gate.ever),
        "signals": {name: [each.state, each.refusal] for name, each in book.signals.items()},
        "orders": {
            name: [order.state, moved.shares, moved.usdc, moved.fee_usdc]
            for name, order in book.orders.items()
            for moved in (facts.effect(book, name),)
        },
        "fills": {order + trade: fill.state for (order, trade, _), fill in book.fills.items()},
        "positions": {
            name: [
                *(each.state, each.exit_reason, each.payout, each.paid_usdc, facts.shares_held(book, name)),
                *(booked.reserved, booked.positions, booked.receivable, booked.pnl, booked.fees),
            ]
            for name, each in book.positions.items()
            for booked in (facts.booking(book, name),)
        },
        "balances": {str(bucket): amount for bucket, amount in facts.balances(book).items()},
        "open": [facts.open_count(book), facts.exposure(book)],
        "intended": True,
        "instruments": {
            name: facts.exposure(book, name) for name in instruments if facts.exposure(book, name)
        },
        "entered": sorted(
            {
                each.window_id + each.strategy_id
                for each in book.positions.values()
                if facts.is_entered(book, each.window_id, each.strategy_id)
            }
        ),
        "slots": {name: used for name in book.windows if (used := facts.slots_used(book, name))},
        "active": sorted(
            {each.window_id for name, each in book.positions.items() if facts.is_active(book, name)}
        ),
        "redemptions": {name: [each.state, each.expected_usdc] for name, each in book.redemptions.items()},
        "realized": facts.realized(book),
        "unbalanced": [],
    }


class RealBook:
    """The functions of one database, on the one session that holds the executor's lock."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)
        set_json_loads(partial(json.loads, parse_float=Decimal, parse_int=Decimal), self.connection)
        self.numbers = itertools.count()
        assert self.do("SELECT pg_try_advisory_lock(%s)", EXECUTOR_LOCK_KEY)
        for service in WATCHDOGS:  # alive for as long as the test runs
            self.do(
                "INSERT INTO heartbeats (service, instance, at, healthy) VALUES (%s, 'one', now() + interval '1 day', true)",
                service,
            )
        self.take_epoch()

    def take_epoch(self) -> int:
        self.epoch = int(self.do("SELECT take_epoch('test')"))
        self.do("SELECT mark_reconciled(%s, '{}')", self.epoch)
        return self.epoch

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


STRATEGIES = ("canary", "other")
DOLLARS = {Decimal(2): Decimal("2.14"), Decimal("3.50"): Decimal("3.745"), Decimal("4.67"): Decimal("4.9969")}
"""What an entry spends, and what it sets aside."""
REPORTS = st.builds(
    facts.Report,
    st.sampled_from([Decimal(4), Decimal("3.333333"), Decimal("9.5")]),
    st.sampled_from([Decimal(2), Decimal("1.666666"), Decimal("5.5")]),
    st.sampled_from([Decimal("0.05"), Decimal("0.07")]),
    st.sampled_from([(), ("t1",), ("t1", "t2")]),
)
TRADES = st.builds(
    facts.ModelFill,
    st.sampled_from([Decimal(4), Decimal("3.333333"), Decimal(1), Decimal("0.005")]),
    st.sampled_from([Decimal(2), Decimal("1.666666"), Decimal("0.5")]),
    st.sampled_from([Decimal("0.05"), Decimal(0)]),
    st.sampled_from(
        [FillState.MATCHED, FillState.MINED, FillState.CONFIRMED, FillState.RETRYING, FillState.FAILED]
    ),
)
CONTROLS = st.sampled_from(
    [
        *(
            ("kill_switch", "OFF"),
            ("kill_switch", "PAUSE"),
            ("kill_switch", "FLATTEN"),
            ("kill_switch", "EMERGENCY"),
        ),
        *(("trading_mode", "PAPER"), ("trading_mode", "LIVE"), ("trading_mode", "BACKTEST")),
        *(
            ("max_position_usd", "5"),
            ("max_position_usd", "3"),
            ("max_position_usd", "1001"),
            ("max_position_usd", "x"),
        ),
        *(("max_open_positions", "5"), ("max_open_positions", "1"), ("max_open_positions", "1.5")),
        *(
            ("max_exposure_usd", "25"),
            ("max_exposure_usd", "4"),
            ("max_instrument_usd", "4"),
            ("max_instrument_usd", "10"),
        ),
        *(
            ("max_session_loss", "20"),
            ("max_session_loss", "3"),
            ("max_session_loss", "0.01"),
            ("nothing", "1"),
        ),
        *(("allowed_instruments", "*"), ("allowed_instruments", "ETH"), ("allowed_instruments", "")),
        *(("allowed_strategies", "*"), ("allowed_strategies", "canary,third")),
        *(("stop_loss", "off"), ("stop_loss", "0.3"), ("stop_loss", "0")),
    ]
)
PAYOUTS = st.sampled_from(
    [
        Payouts(Decimal(1), Decimal(0)),
        Payouts(Decimal(0), Decimal(1)),
        Payouts(Decimal("0.5"), Decimal("0.5")),
    ]
)


class Lifecycle(RuleBasedStateMachine):
    """Every lifecycle function, called in any order with anything a test can think of."""

    real: RealBook

    def __init__(self) -> None:
        super().__init__()
        self.account = f"account-{next(self.real.numbers):06}"
        self.names = (f"{self.account}-{number:03}" for number in itertools.count())
        self.model: facts.ModelBook | None = None
        self.bar: str | None = None

    @property
    def book(self) -> facts.ModelBook:
        assert self.model is not None
        return self.model

    def teardown(self) -> None:
        assert self.real.do("SELECT verify_audit_chain(%s)", self.account) is None

    # -- the world -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model is None)
    @rule(mode=st.sampled_from([Mode.PAPER, Mode.LIVE]))
    def open(self, mode: Mode) -> None:
        do = self.real.do
        self.real.take_epoch()
        do("SELECT open_account(%s, '0x')", self.account)
        do("SELECT book_external(%s, %s, 'DEPOSIT', 15, 'first')", self.account, mode)
        for strategy in STRATEGIES:
            do(
                "INSERT INTO strategy_instances (instance_id, account_id, strategy_id, code_hash, parameters, enabled_by)"
                " VALUES (%s, %s, %s, 'hash', '{}', 'test')",
                f"{self.account}-{strategy}",
                self.account,
                strategy,
            )
        windows = {}
        for name, instrument, begun in (
            ("a", "BTC", True),
            ("b", "ETH", True),
            ("c", "BTC", True),
            ("future", "BTC", False),
        ):
            window_id = f"{self.account}-{name}"
            do(
                "INSERT INTO windows (window_id, instrument, series, interval_s, condition_id, up_token, down_token, opens_at, closes_at,"
                " state, rule, lookback_s, version) VALUES (%s, %s, 's', 900, 'c', %s, %s, now() + %s::interval, now() + interval '1 day',"
                " 'OPEN', 'CHAINLINK_TWAP', 60, 'v1')",
                *(window_id, instrument, UP_TOKEN, DOWN_TOKEN, "-1 minute" if begun else "1 hour"),
            )
            windows[window_id] = facts.ModelWindow(instrument, begun=begun)
        self.model = facts.ModelBook(mode, windows=windows, externals={"first": ("DEPOSIT", Decimal(15))})
        for key in ("allowed_instruments", "allowed_strategies"):
            self.set_control((key, "*"), "tester")

    @precondition(lambda self: self.model is not None)
    @rule(data=st.data())
    def close_window(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([each for each in self.book.windows if not each.endswith("future")]))
        self.real.do(
            "UPDATE windows SET closes_at = least(closes_at, now() - interval '1 second'), opens_at = now() - interval '1 hour'"
            " WHERE window_id = %s",
            name,
        )
        windows = {**self.book.windows, name: replace(self.book.windows[name], over=True)}
        self.model = replace(self.book, windows=windows)

    @precondition(lambda self: self.model is not None)
    @rule()
    def verify_positions(self) -> None:
        self.real.do(
            "INSERT INTO position_verifications (account_id, mode, verified, at) VALUES (%s, %s, true, now() + interval '1 day')",
            self.account,
            self.book.mode,
        )
        self.model = replace(self.book, verified=True)

    @precondition(lambda self: self.model is not None)
    @rule(reconciled=st.booleans())
    def take_epoch(self, *, reconciled: bool) -> None:
        self.model = venue.take_epoch(self.book)
        self.bar = None if reconciled else "RECONCILIATION_PENDING"
        if reconciled:
            self.real.take_epoch()
        else:
            self.real.epoch = int(self.real.do("SELECT take_epoch('test')"))
        self.agree()

    # -- intentions ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model is not None and len(self.model.signals) < 12)
    @rule(
        data=st.data(),
        strategy=st.sampled_from(STRATEGIES),
        side=st.sampled_from(Side),
        expired=st.sampled_from([False] * 9 + [True]),
    )
    def signal(self, data: st.DataObject, strategy: str, side: Side, *, expired: bool) -> None:
        window = data.draw(st.sampled_from([*self.book.windows][:3] * 3 + [*self.book.windows][3:]))
        name = f"sig-{next(self.names)}"
        instrument = self.book.windows[window].instrument
        self.real.do(
            "INSERT INTO signals (signal_id, account_id, mode, strategy_id, instance_id, window_id, instrument, side, token_id, price,"
            " amount_usdc, confidence, risk, evidence, ordinal, made_at, expires_at) VALUES"
            " (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0.5, 2, 0.6, %s, '{}', %s, now(), now() + %s::interval)",
            *(
                name,
                self.account,
                self.book.mode,
                strategy,
                f"{self.account}-{strategy}",
                window,
                instrument,
                side,
            ),
            *(
                UP_TOKEN if side is Side.UP else DOWN_TOKEN,
                Jsonb({"max_position_usdc": "4.9969", "max_slippage": "0.02"}),
            ),
            *(len(self.book.signals), "-1 second" if expired else "1 day"),
        )
        self.model = self.book.with_signal(
            name,
            facts.ModelSignal(
                window, strategy, side, Decimal("0.5"), Decimal("0.02"), Decimal("4.9969"), expired=expired
            ),
        )
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.signals)
    @rule(
        data=st.data(),
        dollars=st.sampled_from(list(DOLLARS)),
        twist=st.sampled_from([None] * 8 + ["price", "shares", "reserve", "cap", "epoch"]),
    )
    def claim_entry(self, data: st.DataObject, dollars: Decimal, twist: str | None) -> None:
        fresh = [name for name, each in self.book.signals.items() if each.state is SignalState.NEW]
        signal = data.draw(st.sampled_from(fresh * 4 + [*self.book.signals]))
        limit = Decimal("0.53") if twist == "price" else Decimal("0.52")
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
        bar = "NOT_LEADER" if twist == "epoch" else self.bar
        token = UP_TOKEN if self.book.signals[signal].side is Side.UP else DOWN_TOKEN
        self.model, refused = claims.claim_entry(self.book, signal, order, bar=bar)
        answer = self.real.do(
            "SELECT refused FROM claim_entry(%s, %s, %s, 'body', '{}')",
            self.real.epoch - (twist == "epoch"),
            signal,
            Jsonb(
                {
                    **{name: str(getattr(order, name)) for name in claims.EntryOrder.__slots__},
                    "token_id": token,
                    "order_type": "FAK",
                    "salt": 1,
                    "timestamp_ms": 1,
                }
            ),
        )
        assert answer == refused
        self.agree()

    def some_order(self, data: st.DataObject, *, lively: bool = True) -> str:
        """An order, more often one that may still be live."""
        live = [name for name, each in self.book.orders.items() if each.state not in TERMINAL]
        return data.draw(st.sampled_from((live * 3 if lively else []) + [*self.book.orders]))

    def some_position(self, data: st.DataObject, *states: PositionState) -> str:
        """A position, more often one in these states."""
        there = [name for name, each in self.book.positions.items() if each.state in states]
        return data.draw(st.sampled_from(there * 4 + [*self.book.positions]))

    @precondition(lambda self: self.model is not None and self.model.positions)
    @rule(data=st.data(), reason=st.sampled_from(ExitReason))
    def request_exit(self, data: st.DataObject, reason: ExitReason) -> None:
        position = self.some_position(data, PositionState.MONITORING)
        self.model, changed = commands.request_exit(self.book, position, reason)
        assert self.real.do("SELECT request_exit(%s, %s, 0.4, 0.39)", position, reason) == changed
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.positions)
    @rule(data=st.data(), lots=st.sampled_from([1, 333, 400]), stale=st.sampled_from([False] * 5 + [True]))
    def claim_exit(self, data: st.DataObject, lots: int, *, stale: bool) -> None:
        position = self.some_position(
            data,
            PositionState.STOP_TRIGGERED,
            PositionState.FLATTEN_TRIGGERED,
            PositionState.TAKE_PROFIT_TRIGGERED,
        )
        shares, order_id = Decimal(lots) / 100, order_hash((position, next(self.names)))
        bar = "NOT_LEADER" if stale else self.bar
        self.model, refused = claims.claim_exit(self.book, position, order_id, shares, bar=bar)
        token = UP_TOKEN if self.book.positions[position].side is Side.UP else DOWN_TOKEN
        order = {
            "order_id": order_id,
            "token_id": token,
            "order_type": "FAK",
            "limit_price": "0.4",
            "maker_amount": str(shares),
            "taker_amount": str(shares * Decimal("0.4")),
            "salt": 1,
            "timestamp_ms": 1,
        }
        answer = self.real.do(
            "SELECT refused FROM claim_exit(%s, %s, %s, 'body', '{}')",
            self.real.epoch - stale,
            position,
            Jsonb(order),
        )
        assert answer == refused
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.orders)
    @rule(data=st.data())
    def claim_cancel(self, data: st.DataObject) -> None:
        order = self.some_order(data)
        self.model, refused = claims.claim_cancel(self.book, order, bar=self.bar)
        assert self.real.do("SELECT claim_cancel(%s, %s, 'test')", self.real.epoch, order) == refused
        self.agree()

    # -- facts ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model is not None and self.model.orders)
    @rule(
        data=st.data(),
        event=st.sampled_from([*OrderEvent, OrderEvent.MATCHED, OrderEvent.MATCHED]),
        report=REPORTS,
        trips=st.sampled_from([False] * 5 + [True]),
    )
    def record_outcome(
        self, data: st.DataObject, event: OrderEvent, report: facts.Report, *, trips: bool
    ) -> None:
        order = self.some_order(data)
        claimed = report if event is OrderEvent.MATCHED else None
        details: dict[str, object] = {"reason": "test", "trips": trips}
        if claimed is not None:
            details |= {
                "shares": str(report.shares),
                "usdc": str(report.usdc),
                "fee_usdc": str(report.fee_usdc),
            }
            details |= {"trade_ids": list(report.trade_ids)}
        expected = self.refusal(
            lambda: venue.record_outcome(self.book, order, event, report=claimed, trips=trips)
        )
        answer = self.real.do("SELECT record_outcome(%s, %s, %s)", order, event, Jsonb(details))
        assert answer == (expected or self.book.orders[order].state)
        self.agree()

    def refusal(self, call: Callable[[], facts.ModelBook]) -> str | None:
        """Take the model's step; returns the SQLSTATE with which it refuses the call."""
        try:
            self.model = call()
        except facts.Refused as error:
            return error.code
        return None

    @precondition(lambda self: self.model is not None and self.model.orders)
    @rule(data=st.data(), trade=st.sampled_from(["t1", "t1", "t2", "t3"]), fill=TRADES)
    def apply_trade(self, data: st.DataObject, trade: str, fill: facts.ModelFill) -> None:
        order = self.some_order(data, lively=False)
        position = self.book.positions[self.book.orders[order].position_id]
        token = UP_TOKEN if position.side is Side.UP else DOWN_TOKEN
        is_entry = self.book.orders[order].purpose is Purpose.ENTRY
        self.model, change = venue.apply_trade(self.book, order, trade, token, fill)
        told = {
            "order_id": order,
            "trade_id": trade,
            "token_id": token,
            "side": "BUY" if is_entry else "SELL",
            "shares": str(fill.shares),
            "price": "0.5",
            "usdc": str(fill.usdc),
            "fee_usdc": str(fill.fee_usdc),
            "state": fill.state,
            "matched_at": "2026-10-05T23:00:00Z",
        }
        assert self.real.do("SELECT apply_trade(%s, 'test')", Jsonb(told)) == change
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.fills)
    @rule(data=st.data(), exists=st.sampled_from([True, True, True, False]))
    def reverse_trade(self, data: st.DataObject, *, exists: bool) -> None:
        order, trade, token = data.draw(st.sampled_from([*self.book.fills]))
        if not exists:
            trade = "no such trade"
        change: list[str] = []

        def step() -> facts.ModelBook:
            book, answer = venue.reverse_trade(self.book, order, trade, token)
            change.append(answer)
            return book

        expected = self.refusal(step) or change[0]
        assert self.real.do("SELECT reverse_trade(%s, %s, %s, 'test')", order, trade, token) == expected
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.orders)
    @rule(
        data=st.data(),
        proves=st.sampled_from(["PLACED", "TERMINAL", "NOTHING"]),
        event=st.sampled_from([None, *OrderEvent]),
    )
    def apply_order_evidence(self, data: st.DataObject, proves: str, event: OrderEvent | None) -> None:
        order = self.some_order(data)
        expected = self.refusal(lambda: venue.apply_order_evidence(self.book, order, proves, event))
        answer = self.real.do("SELECT apply_order_evidence(%s, 'READ', %s, 'test', %s)", order, proves, event)
        assert answer == (expected or self.book.orders[order].state)
        self.agree()

    @precondition(
        lambda self: (
            self.model is not None
            and any(each.state is OrderState.UNKNOWN for each in self.model.orders.values())
        )
    )
    @rule(
        data=st.data(),
        event=st.sampled_from(OrderEvent),
        lacking=st.sampled_from([None, None, "venue_closed", "no_trade", "balance_equal", "order_unknown"]),
    )
    def resolve_unknown(self, data: st.DataObject, event: OrderEvent, lacking: str | None) -> None:
        unknown = [name for name, each in self.book.orders.items() if each.state is OrderState.UNKNOWN]
        order = data.draw(st.sampled_from(unknown * 4 + [*self.book.orders]))
        proofs = {
            name: name != lacking for name in ("venue_closed", "order_unknown", "no_trade", "balance_equal")
        }
        expected = self.refusal(lambda: venue.resolve_unknown(self.book, order, event, proofs=proofs))
        answer = self.real.do("SELECT resolve_unknown(%s, %s, 'test', %s)", order, event, Jsonb(proofs))
        assert answer == (expected or self.book.orders[order].state)
        self.agree()

    @precondition(
        lambda self: self.model is not None and any(each.over for each in self.model.windows.values())
    )
    @rule(data=st.data(), payouts=PAYOUTS)
    def settle(self, data: st.DataObject, payouts: Payouts) -> None:
        over = [name for name, each in self.book.windows.items() if each.over]
        window = data.draw(st.sampled_from(over * 3 + [*self.book.windows]))
        was = self.book.windows[window].payouts
        expected = self.refusal(lambda: venue.settle(self.book, window, payouts)[0])
        answer = self.real.do(
            "SELECT settle(%s, %s, %s, 'test', now(), 'UP')", window, payouts.up, payouts.down
        )
        assert answer == (expected or was is None)
        self.agree()

    @precondition(
        lambda self: self.model is not None and any(each.payouts for each in self.model.windows.values())
    )
    @rule(data=st.data())
    def claim_redeem(self, data: st.DataObject) -> None:
        resolved = [name for name, each in self.book.windows.items() if each.payouts is not None]
        window = data.draw(st.sampled_from(resolved))
        attempt = sum(each.window_id == window for each in self.book.redemptions.values()) + 1
        name = f"red-{window}-{attempt}"
        self.model, refused = claims.claim_redeem(self.book, window, name, bar=self.bar)
        answer = self.real.do(
            "SELECT refused FROM claim_redeem(%s, %s, %s, %s, %s, %s, 10)",
            *(self.real.epoch, self.account, self.book.mode, window, name, attempt),
        )
        assert answer == refused
        self.agree()

    @precondition(lambda self: self.model is not None and self.model.redemptions)
    @rule(
        data=st.data(),
        event=st.sampled_from([*RedemptionEvent, RedemptionEvent.PAID]),
        short=st.sampled_from([0, 0, 1]),
    )
    def record_redemption(self, data: st.DataObject, event: RedemptionEvent, short: int) -> None:
        name = data.draw(st.sampled_from([*self.book.redemptions]))
        paid = max(self.book.redemptions[name].expected_usdc - short, Decimal(0))
        self.model = venue.record_redemption(self.book, name, event, paid_usdc=paid)
        details = (
            {"reason": "test", "paid_usdc": str(paid)}
            if event is RedemptionEvent.PAID
            else {"reason": "test"}
        )
        answer = self.real.do("SELECT record_redemption(%s, %s, %s)", name, event, Jsonb(details))
        assert answer == self.book.redemptions[name].state
        self.agree()

    # -- people --------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model is not None)
    @rule(reason=st.sampled_from(TripReason))
    def trip_breaker(self, reason: TripReason) -> None:
        self.model, changed = commands.trip_breaker(self.book, reason)
        assert (
            self.real.do("SELECT trip_breaker(%s, %s, %s)", self.account, self.book.mode, reason) == changed
        )
        self.agree()

    @precondition(lambda self: self.model is not None)
    @rule(operator=st.sampled_from(["alice", "alice", "alice", ""]))
    def reset_breaker(self, operator: str) -> None:
        expected = self.refusal(
            lambda: commands.reset_breaker(self.book, operator=operator, reason="looked at it")
        )
        answer = self.real.do(
            "SELECT reset_breaker(%s, %s, %s, 'looked at it')", self.account, self.book.mode, operator
        )
        assert answer == (expected or "")
        self.agree()

    @precondition(lambda self: self.model is not None)
    @rule(control=CONTROLS, actor=st.sampled_from(["tester", "tester", "tester", ""]))
    def set_control(self, control: tuple[str, str], actor: str) -> None:
        expected = self.refusal(lambda: commands.set_control(self.book, *control, actor=actor, reason="test"))
        answer = self.real.do("SELECT set_control(%s, %s, %s, %s, 'test')", self.account, *control, actor)
        assert (answer if str(answer).startswith("OB") else None) == expected
        self.agree()

    @precondition(lambda self: self.model is not None)
    @rule(
        kind=st.sampled_from(["DEPOSIT", "WITHDRAWAL", "FEE_ROUNDING", "REBATE"]),
        amount=st.sampled_from(
            [Decimal(5), Decimal("-0.00001"), Decimal("0.00001"), Decimal(-9), Decimal(0)]
        ),
        reference=st.sampled_from(["first", "second", "third", "fourth"]),
    )
    def book_external(self, kind: str, amount: Decimal, reference: str) -> None:
        self.model, booked = commands.book_external(self.book, kind, amount, reference)
        answer = self.real.do(
            "SELECT book_external(%s, %s, %s, %s, %s)", self.account, self.book.mode, kind, amount, reference
        )
        assert answer == booked
        self.agree()

    def agree(self) -> None:
        """The database's books are the model's."""
        stored = self.real.do(SNAPSHOT, self.account, self.book.mode)
        expected = snapshot(self.book)
        assert {key: value for key, value in stored.items() if value != expected[key]} == {
            key: value for key, value in expected.items() if value != stored[key]
        }


@pytest.fixture
def real(database_url: str) -> Iterator[RealBook]:
    book = RealBook(database_url)
    yield book
    book.connection.close()


def test_the_functions_do_what_the_model_says(real: RealBook) -> None:
    machine = type("Machine", (Lifecycle,), {"real": real})
    profile = settings.get_profile(settings._current_profile)
    budget = settings(profile, max_examples=max(50, profile.max_examples // 2), stateful_step_count=40)
    run_state_machine_as_test(machine, settings=budget)
