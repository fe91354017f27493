"""The Book's functions against their pure model: the same calls, in any order, leave the same books (D15)."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.domain.breaker import TripReason
from shared.domain.escalation import Stage
from shared.domain.model import book as facts
from shared.domain.model.claims import sellable
from shared.domain.modes import Mode
from shared.domain.orders import TERMINAL, OrderEvent, OrderState
from shared.domain.positions import TRIGGERED, ExitReason, PositionState
from shared.domain.redemptions import RedemptionEvent
from shared.domain.settlement import Payouts
from shared.domain.signals import SignalState
from shared.domain.trades import FillState
from shared.domain.windows import Side
from tests.integration.both_books import DOLLARS, STRATEGIES, BothBooks, RealBook
from tests.integration.resting_rules import RestingRules

pytestmark = pytest.mark.integration

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
    st.sampled_from(FillState),
)
HARMLESS = (
    *(
        ("kill_switch", "OFF"),
        ("trading_mode", "LIVE"),
        ("max_position_usd", "5"),
        ("max_open_positions", "5"),
    ),
    *(("max_exposure_usd", "25"), ("max_instrument_usd", "10"), ("max_session_loss", "20")),
    *(("allowed_instruments", "*"), ("allowed_strategies", "*"), ("max_strategy_loss", "1000")),
)
"""The controls under which everything may trade."""
CONTROLS = st.sampled_from(
    [
        *HARMLESS,
        *(
            ("kill_switch", "PAUSE"),
            ("kill_switch", "FLATTEN"),
            ("kill_switch", "EMERGENCY"),
            ("nothing", "1"),
        ),
        *(
            ("trading_mode", "PAPER"),
            ("trading_mode", "BACKTEST"),
            ("max_position_usd", "3"),
            ("max_position_usd", "x"),
        ),
        *(("max_position_usd", "1001"), ("max_open_positions", "1"), ("max_open_positions", "1.5")),
        *(
            ("max_exposure_usd", "4"),
            ("max_instrument_usd", "4"),
            ("max_session_loss", "3"),
            ("max_session_loss", "0.01"),
        ),
        *(
            ("allowed_instruments", "ETH"),
            ("allowed_instruments", ""),
            ("allowed_strategies", "canary,third"),
        ),
        *(("max_strategy_loss", "9"), ("max_strategy_loss", "11")),
        *(("stop_loss", "off"), ("stop_loss", "0.3"), ("stop_loss", "0")),
    ]
)
PAYOUTS = st.sampled_from([Payouts(Decimal(up), 1 - Decimal(up)) for up in ("1", "0", "0.5")])
PEOPLE = st.one_of(
    st.tuples(st.just("trip_breaker"), st.tuples(st.sampled_from(TripReason))),
    st.tuples(st.just("reset_breaker"), st.tuples(st.sampled_from(["alice", "alice", "alice", ""]))),
    st.tuples(
        st.just("set_control"),
        st.tuples(CONTROLS, st.sampled_from(["tester"] * 5 + [""])).map(lambda each: (*each[0], each[1])),
    ),
    st.tuples(
        st.just("book_external"),
        st.tuples(
            st.sampled_from(["DEPOSIT", "WITHDRAWAL", "FEE_ROUNDING", "REBATE"]),
            st.sampled_from([Decimal(5), Decimal("-0.00001"), Decimal("0.00001"), Decimal(-9), Decimal(0)]),
            st.sampled_from(["first", "second", "third", "fourth"]),
        ),
    ),
)
WATCHERS = st.one_of(
    st.tuples(st.just("age"), st.tuples(st.sampled_from([2, 5, 30]))),
    st.tuples(st.just("escalate"), st.tuples(st.sampled_from(Stage))),
    st.tuples(st.just("flag_orphans"), st.tuples(st.frozensets(st.sampled_from(Side)))),
    st.tuples(
        st.just("stop_strategy"),
        st.tuples(st.sampled_from(STRATEGIES), st.sampled_from([Decimal(-10), Decimal("-9.99"), Decimal(3)])),
    ),
)
SELDOM = st.sampled_from([False] * 9 + [True])


class Lifecycle(RestingRules):
    """Every lifecycle function, called in any order with anything a test can think of.

    Single calls find what nobody expects; the longer rules are a trade's usual way, so that the single calls meet
    positions of every age.
    """

    real: RealBook
    both: BothBooks

    @initialize(mode=st.sampled_from([Mode.PAPER, Mode.LIVE]))
    def open(self, mode: Mode) -> None:
        self.both = BothBooks(self.real, mode)

    def teardown(self) -> None:
        if hasattr(self, "both"):
            assert self.real.do("SELECT verify_audit_chain(%s)", self.both.account) is None

    @property
    def book(self) -> facts.ModelBook:
        return self.both.book

    def windows(self, *, over: bool | None = None) -> list[str]:
        return [name for name, each in self.book.windows.items() if over in {None, each.over}]

    def some_order(self, data: st.DataObject, *, lively: bool = True) -> str:
        """An order, more often one that may still be live."""
        live = [name for name, each in self.book.orders.items() if each.state not in TERMINAL]
        return data.draw(st.sampled_from((live * 3 if lively else []) + [*self.book.orders]))

    def some_position(self, data: st.DataObject, *states: PositionState) -> str:
        """A position, more often one in these states."""
        there = [name for name, each in self.book.positions.items() if each.state in states]
        return data.draw(st.sampled_from(there * 4 + [*self.book.positions]))

    # -- the usual way -----------------------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        strategy=st.sampled_from(STRATEGIES),
        side=st.sampled_from(Side),
        dollars=st.sampled_from([*DOLLARS]),
    )
    def enter(self, data: st.DataObject, strategy: str, side: Side, dollars: Decimal) -> None:
        window = data.draw(st.sampled_from(self.windows()[:3]))
        self.both.claim_entry(self.both.signal(window, strategy, side), dollars)

    @precondition(lambda self: any(each.state is OrderState.SUBMITTING for each in self.book.orders.values()))
    @rule(data=st.data(), fill=TRADES, mined=st.booleans())
    def fill(self, data: st.DataObject, fill: facts.ModelFill, *, mined: bool) -> None:
        sent = [name for name, each in self.book.orders.items() if each.state is OrderState.SUBMITTING]
        order = data.draw(st.sampled_from(sent))
        report = facts.Report(fill.shares, fill.usdc, fill.fee_usdc, ("t1",))
        self.both.record_outcome(order, OrderEvent.MATCHED, report)
        state = FillState.MINED if mined else FillState.MATCHED
        self.both.apply_trade(order, "t1", facts.ModelFill(fill.shares, fill.usdc, fill.fee_usdc, state))

    @precondition(
        lambda self: any(each.state is PositionState.MONITORING for each in self.book.positions.values())
    )
    @rule(data=st.data(), reason=st.sampled_from(ExitReason), more=st.sampled_from([0, 0, 1]))
    def leave(self, data: st.DataObject, reason: ExitReason, more: int) -> None:
        held = [name for name, each in self.book.positions.items() if each.state is PositionState.MONITORING]
        position = data.draw(st.sampled_from(held))
        self.both.request_exit(position, reason)
        shares = sellable(self.book, position)
        if shares > 0:
            self.both.claim_exit(position, shares + more)

    @rule(data=st.data(), payouts=PAYOUTS)
    def resolve(self, data: st.DataObject, payouts: Payouts) -> None:
        window = data.draw(st.sampled_from(self.windows()[:3]))
        self.both.close_window(window)
        if self.book.windows[window].payouts is None:
            self.both.settle(window, payouts)

    @precondition(
        lambda self: any(each.state is PositionState.SETTLEMENT for each in self.book.positions.values())
    )
    @rule(data=st.data(), paid=st.booleans())
    def redeem(self, data: st.DataObject, *, paid: bool) -> None:
        due = [
            each.window_id for each in self.book.positions.values() if each.state is PositionState.SETTLEMENT
        ]
        before = set(self.book.redemptions)
        self.both.claim_redeem(data.draw(st.sampled_from(due)))
        for name in set(self.book.redemptions) - before if paid else ():
            self.both.record_redemption(name, RedemptionEvent.PAID)

    @rule()
    def recover(self) -> None:
        """A person finds out what every order did, lifts every limit, and resets the breaker."""
        for key, value in HARMLESS:
            if self.book.controls.get(key, value) != value:
                self.both.set_control(key, value)
        for name, order in self.book.orders.items():
            if order.state not in TERMINAL:
                self.both.apply_order_evidence(name, "TERMINAL", OrderEvent.KILLED)
        if self.both.bar is not None:
            self.both.take_epoch(reconciled=True)
        self.both.reset_breaker()

    # -- the world ---------------------------------------------------------------------------------------------------

    @rule(data=st.data())
    def close_window(self, data: st.DataObject) -> None:
        self.both.close_window(data.draw(st.sampled_from(self.windows()[:3])))

    @rule()
    def verify_positions(self) -> None:
        self.both.verify_positions()

    @precondition(
        lambda self: (
            self.both.bar or any(each.state is OrderState.SUBMITTING for each in self.book.orders.values())
        )
    )
    @rule(reconciled=st.sampled_from([True, True, False]))
    def take_epoch(self, *, reconciled: bool) -> None:
        self.both.take_epoch(reconciled=reconciled)

    # -- intentions --------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.book.signals) < 12)
    @rule(data=st.data(), strategy=st.sampled_from(STRATEGIES), side=st.sampled_from(Side), expired=SELDOM)
    def signal(self, data: st.DataObject, strategy: str, side: Side, *, expired: bool) -> None:
        self.both.signal(data.draw(st.sampled_from(self.windows())), strategy, side, expired=expired)

    @precondition(lambda self: self.book.signals)
    @rule(
        data=st.data(),
        dollars=st.sampled_from([*DOLLARS]),
        twist=st.sampled_from([None] * 8 + ["price", "shares", "reserve", "cap", "epoch"]),
    )
    def claim_entry(self, data: st.DataObject, dollars: Decimal, twist: str | None) -> None:
        fresh = [name for name, each in self.book.signals.items() if each.state is SignalState.NEW]
        self.both.claim_entry(data.draw(st.sampled_from(fresh * 4 + [*self.book.signals])), dollars, twist)

    @precondition(lambda self: self.book.positions)
    @rule(data=st.data(), reason=st.sampled_from(ExitReason))
    def request_exit(self, data: st.DataObject, reason: ExitReason) -> None:
        self.both.request_exit(self.some_position(data, PositionState.MONITORING), reason)

    @precondition(lambda self: self.book.positions)
    @rule(data=st.data(), lots=st.sampled_from([1, 333, 400]), stale=SELDOM)
    def claim_exit(self, data: st.DataObject, lots: int, *, stale: bool) -> None:
        self.both.claim_exit(self.some_position(data, *TRIGGERED), Decimal(lots) / 100, stale=stale)

    @precondition(lambda self: self.book.orders)
    @rule(data=st.data())
    def claim_cancel(self, data: st.DataObject) -> None:
        self.both.claim_cancel(self.some_order(data))

    @precondition(lambda self: any(each.payouts for each in self.book.windows.values()))
    @rule(data=st.data())
    def claim_redeem(self, data: st.DataObject) -> None:
        self.both.claim_redeem(data.draw(st.sampled_from(self.windows(over=True))))

    # -- facts -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.book.orders)
    @rule(
        data=st.data(),
        event=st.sampled_from([*OrderEvent, OrderEvent.MATCHED, OrderEvent.LOST]),
        report=REPORTS,
        trips=SELDOM,
    )
    def record_outcome(
        self, data: st.DataObject, event: OrderEvent, report: facts.Report, *, trips: bool
    ) -> None:
        claimed = report if event is OrderEvent.MATCHED else None
        self.both.record_outcome(self.some_order(data), event, claimed, trips=trips)

    @precondition(lambda self: self.book.orders)
    @rule(data=st.data(), trade=st.sampled_from(["t1", "t1", "t2", "t3"]), fill=TRADES)
    def apply_trade(self, data: st.DataObject, trade: str, fill: facts.ModelFill) -> None:
        self.both.apply_trade(self.some_order(data, lively=False), trade, fill)

    @precondition(lambda self: self.book.fills)
    @rule(data=st.data(), lost=SELDOM)
    def reverse_trade(self, data: st.DataObject, *, lost: bool) -> None:
        order, trade, token = data.draw(st.sampled_from([*self.book.fills]))
        self.both.reverse_trade(order, "no such trade" if lost else trade, token)

    @precondition(lambda self: self.book.orders)
    @rule(
        data=st.data(),
        proves=st.sampled_from(["PLACED", "TERMINAL", "NOTHING"]),
        event=st.sampled_from([None, *OrderEvent]),
    )
    def apply_order_evidence(self, data: st.DataObject, proves: str, event: OrderEvent | None) -> None:
        self.both.apply_order_evidence(self.some_order(data), proves, event)

    @precondition(lambda self: any(each.state is OrderState.UNKNOWN for each in self.book.orders.values()))
    @rule(
        data=st.data(),
        event=st.sampled_from(OrderEvent),
        lacking=st.sampled_from([None, None, "venue_closed", "no_trade", "balance_equal", "order_unknown"]),
    )
    def resolve_unknown(self, data: st.DataObject, event: OrderEvent, lacking: str | None) -> None:
        unknown = [name for name, each in self.book.orders.items() if each.state is OrderState.UNKNOWN]
        order = data.draw(st.sampled_from(unknown * 4 + [*self.book.orders]))
        self.both.resolve_unknown(order, event, lacking=lacking)

    @precondition(lambda self: self.windows(over=True))
    @rule(data=st.data(), payouts=PAYOUTS)
    def settle(self, data: st.DataObject, payouts: Payouts) -> None:
        self.both.settle(data.draw(st.sampled_from(self.windows(over=True) * 3 + self.windows())), payouts)

    @precondition(lambda self: self.book.redemptions)
    @rule(data=st.data(), event=st.sampled_from([*RedemptionEvent, RedemptionEvent.PAID]), short=SELDOM)
    def record_redemption(self, data: st.DataObject, event: RedemptionEvent, *, short: bool) -> None:
        name = data.draw(st.sampled_from([*self.book.redemptions]))
        self.both.record_redemption(name, event, short=Decimal(short))

    # -- people ------------------------------------------------------------------------------------------------------

    @rule(act=WATCHERS)
    def watched(self, act: tuple[str, tuple[object, ...]]) -> None:
        """What the watchdogs do, one rule for all of it."""
        name, arguments = act
        getattr(self.both, name)(*arguments)

    @rule(act=PEOPLE)
    def somebody(self, act: tuple[str, tuple[object, ...]]) -> None:
        """One rule for all that people do, or the world would be stopped more often than it trades."""
        name, arguments = act
        getattr(self.both, name)(*arguments)


@pytest.fixture
def real(database_url: str) -> Iterator[RealBook]:
    book = RealBook(database_url)
    yield book
    book.connection.close()


@pytest.mark.timeout(600)  # a failure is shrunk to its shortest sequence
def test_the_functions_do_what_the_model_says(real: RealBook) -> None:
    machine = type("Machine", (Lifecycle,), {"real": real})
    profile = settings.get_profile(settings.get_current_profile_name())
    budget = settings(profile, max_examples=max(100, profile.max_examples), stateful_step_count=40)
    run_state_machine_as_test(machine, settings=budget)
