"""What a strategy may declare, and what the two of the project decide on."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from shared.domain.books import Book, Level
from shared.domain.windows import FeeSchedule, SettlementRule, Side, Window, WindowState
from shared.strategies.base import PricePoint, StrategyDeclaration, WindowView
from shared.strategies.canary import STRATEGY as CANARY
from shared.strategies.oracle_average import MIN_EDGE
from shared.strategies.oracle_average import STRATEGY as ORACLE

OPENS = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
WINDOW = Window(
    window_id="btc-updown-15m-1791241200",
    instrument="BTC",
    series="btc-up-or-down-15m",
    interval_s=900,
    opens_at=OPENS,
    closes_at=OPENS + timedelta(seconds=900),
    state=WindowState.OPEN,
    rule=SettlementRule.CHAINLINK_TWAP,
    lookback_s=60,
    up_token="1",
    down_token="2",
    fee=FeeSchedule(Decimal("0.07"), 1),
)
NOW = WINDOW.closes_at - timedelta(seconds=120)


def book(token, bid, ask, *, continuous=True):
    bids = () if bid is None else (Level(Decimal(bid), Decimal(100)),)
    asks = () if ask is None else (Level(Decimal(ask), Decimal(100)),)
    return Book(token, bids, asks, NOW, NOW, continuous=continuous)


def view(**changes):
    """Two minutes before the end; the oracle moved a dollar each second and stands at 100,000, the strike."""
    samples = tuple(
        PricePoint(
            Decimal(100000 + second % 2),
            NOW - timedelta(seconds=40 - second),
            NOW - timedelta(seconds=39 - second),
        )
        for second in range(41)
    )
    values = {
        "window": WINDOW,
        "now": NOW,
        "up_book": book("1", "0.49", "0.51"),
        "down_book": book("2", "0.49", "0.51"),
        "strike": Decimal(100000),
        "oracle": PricePoint(Decimal(100000), NOW - timedelta(seconds=1), NOW),
        "oracle_samples": samples,
        **changes,
    }
    return WindowView(**values)


def declaration(**changes):
    values = {
        "strategy_id": "mine",
        "version": "1",
        "hypothesis": "it wins",
        "entry_from": Decimal("0.5"),
        "entry_until": Decimal("0.9"),
        **changes,
    }
    return StrategyDeclaration(**values)


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy_id": ""},
        {"hypothesis": "  "},
        {"instruments": frozenset()},
        {"entry_from": Decimal("0.9")},
        {"entry_from": Decimal("-0.1")},
        {"entry_until": Decimal("1.1")},
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(changes):
    with pytest.raises(ValueError, match=r"declares|fractions"):
        declaration(**changes)


def test_entry_times_are_fractions_of_the_window_whatever_its_length():
    short = replace(WINDOW, closes_at=OPENS + timedelta(seconds=60))
    for window, seconds in ((WINDOW, 15), (short, 1)):
        times = [OPENS + timedelta(seconds=seconds * minute) for minute in (29, 30, 53, 54)]
        assert [declaration().may_enter(window, at) for at in times] == [False, True, True, False]


def test_a_strategy_names_its_instruments_or_takes_all():
    assert declaration().trades("BTC")
    assert declaration(instruments=frozenset({"BTC"})).trades("BTC")
    assert not declaration(instruments=frozenset({"BTC"})).trades("ETH")


def test_the_canary_enters_in_the_last_minute_until_three_seconds_before_the_close():
    def at(seconds_left):
        return CANARY.declaration.may_enter(WINDOW, WINDOW.closes_at - timedelta(seconds=seconds_left))

    assert [at(left) for left in (61, 60, 4, 2, 0)] == [False, True, True, False, False]
    assert CANARY.declaration.trades("XRP")
    risk = CANARY.declaration.risk
    assert (risk.stop_loss, risk.take_profit, risk.trailing) == (None, None, None)


@pytest.mark.parametrize(
    ("up", "down", "side", "price"),
    [
        (("0.69", "0.71"), ("0.29", "0.31"), Side.UP, "0.71"),
        (("0.29", "0.31"), ("0.69", "0.71"), Side.DOWN, "0.71"),
        (("0.49", "0.51"), ("0.49", "0.51"), None, None),  # nobody is the favourite
        ((None, "0.99"), ("0.01", None), None, None),
        (("0.98", None), ("0.01", "0.02"), None, None),  # nobody sells the favourite
    ],
)
def test_the_canary_buys_the_favourite_at_its_ask_for_the_venues_minimum(up, down, side, price):
    wish = CANARY.evaluate(view(up_book=book("1", *up), down_book=book("2", *down)))
    if side is None:
        assert wish is None
    else:
        assert (wish.side, wish.price, wish.amount_usdc) == (side, Decimal(price), 1)


def test_the_canary_trusts_no_book_in_doubt():
    assert CANARY.evaluate(view(up_book=book("1", "0.69", "0.71", continuous=False), down_book=None)) is None


def test_the_oracle_strategy_buys_what_is_offered_below_its_fair_value():
    # at the strike with symmetric noise both sides are worth one half; Up is offered at 0.40
    cheap = view(up_book=book("1", "0.38", "0.40"), down_book=book("2", "0.60", "0.62"))
    wish = ORACLE.evaluate(cheap)
    assert (wish.side, wish.price, wish.confidence) == (Side.UP, Decimal("0.40"), Decimal("0.5"))
    assert Decimal(wish.evidence["edge"]) == Decimal("0.1") - Decimal("0.07") * Decimal("0.24")
    mirrored = view(up_book=book("1", "0.60", "0.62"), down_book=book("2", "0.38", "0.40"))
    assert ORACLE.evaluate(mirrored).side is Side.DOWN


def test_the_oracle_strategy_wants_its_edge_after_the_fee():
    fee = Decimal("0.07") * Decimal("0.46") * Decimal("0.54")
    assert Decimal("0.04") - fee < MIN_EDGE < Decimal("0.04"), "the fee decides"
    assert ORACLE.evaluate(view(up_book=book("1", "0.44", "0.46"))) is None
    free = replace(WINDOW, fee=FeeSchedule(Decimal(0), 1))
    assert ORACLE.evaluate(view(up_book=book("1", "0.44", "0.46"), window=free)).side is Side.UP


def test_the_oracle_strategy_follows_the_average_and_not_the_spot_at_the_end():
    # ten seconds left; fifty seconds were averaged far below the strike, the spot has just jumped above it
    now = WINDOW.closes_at - timedelta(seconds=10)
    samples = [
        PricePoint(Decimal(99900 + second % 2), now - timedelta(seconds=49 - second), now)
        for second in range(50)
    ]
    late = view(
        now=now,
        oracle=PricePoint(Decimal(100100), now, now),
        oracle_samples=[*samples, PricePoint(Decimal(100100), now, now)],
        up_book=book("1", "0.55", "0.57"),
        down_book=book("2", "0.43", "0.45"),
    )
    assert ORACLE.evaluate(late).side is Side.DOWN


@pytest.mark.parametrize(
    "missing",
    [
        {"strike": None},
        {"oracle": None},
        {"oracle": PricePoint(Decimal(100000), NOW - timedelta(seconds=7), NOW - timedelta(seconds=6))},
        {"oracle_samples": ()},
        {"window": replace(WINDOW, fee=None)},
        {"up_book": None},
        {"up_book": book("1", "0.38", "0.40", continuous=False)},
        {"up_book": book("1", "0.38", None)},
        {"up_book": book("1", "0.05", "0.06")},  # out of the range in which a stop can be sold
    ],
)
def test_the_oracle_strategy_does_nothing_without_what_it_needs(missing):
    cheap = {"up_book": book("1", "0.38", "0.40"), "down_book": book("2", "0.60", "0.62")}
    assert ORACLE.evaluate(view(**cheap)) is not None
    assert ORACLE.evaluate(view(**{**cheap, **missing})) is None


@pytest.mark.parametrize("strategy", [CANARY, ORACLE])
def test_the_evidence_is_json_and_the_same_view_gives_the_same_wish(strategy):
    seen = view(up_book=book("1", "0.38", "0.40"), down_book=book("2", "0.60", "0.62"))
    wish = strategy.evaluate(seen)
    assert json.loads(json.dumps(dict(wish.evidence))) == dict(wish.evidence)
    assert strategy.evaluate(seen) == wish
