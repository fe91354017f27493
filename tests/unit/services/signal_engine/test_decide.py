"""Who is asked, what they see, and what becomes a signal."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.signal_engine.decide import (
    PASSING,
    SAMPLES_MAX,
    FeedNow,
    Instance,
    Market,
    PastSignal,
    Question,
    Situation,
    build_view,
    is_primary_fresh,
    make_signal,
    next_ordinal,
    prices_wanted,
    questions,
)
from shared.domain.books import Book, Level
from shared.domain.controls import Controls
from shared.domain.ids import (
    AccountId,
    ConditionId,
    InstanceId,
    Instrument,
    StrategyId,
    TokenId,
    WindowId,
    signal_id,
)
from shared.domain.modes import Mode
from shared.domain.refusals import Refusal
from shared.domain.signals import SignalState
from shared.domain.ticks import Source
from shared.domain.windows import SettlementRule, Side, Window, WindowState
from shared.strategies.base import PricePoint, StrategyDeclaration, Wish

OPEN_AT = datetime(2026, 10, 5, 23, 0, tzinfo=UTC)
NOW = OPEN_AT + timedelta(seconds=15)
BTC = Instrument("BTC")
ACCOUNT = AccountId("canary")
UP, DOWN = TokenId("1"), TokenId("2")
D = Decimal

WINDOW = Window(
    window_id=WindowId("btc-updown-15m-1"),
    instrument=BTC,
    series="s",
    interval_s=30,
    opens_at=OPEN_AT,
    closes_at=OPEN_AT + timedelta(seconds=30),
    state=WindowState.OPEN,
    rule=SettlementRule.CHAINLINK_TWAP,
    lookback_s=2,
    condition_id=ConditionId("0xc"),
    up_token=UP,
    down_token=DOWN,
    strike=D(100),
)
DECLARATION = StrategyDeclaration(
    strategy_id=StrategyId("late"), version="1", hypothesis="none", entry_from=D("0.4"), entry_until=D("0.9")
)
INSTANCE = Instance(ACCOUNT, InstanceId("ins-1"), DECLARATION)


def situation(**fields):
    standard = Situation(
        now=NOW,
        venue_offset=timedelta(0),
        windows=(WINDOW,),
        feeds=(FeedNow(Source.BINANCE, BTC, NOW - timedelta(seconds=1)),),
        controls={ACCOUNT: Controls()},
        enabled=frozenset({INSTANCE.instance_id}),
    )
    return replace(standard, **fields)


def past(state, refusal=None, *, ordinal=0, ago_s=10.0):
    return PastSignal(
        ordinal, state, refusal, None if state is SignalState.NEW else NOW - timedelta(seconds=ago_s)
    )


NEW, ORDERED, REFUSED, EXPIRED = SignalState


@pytest.mark.parametrize(
    ("made", "ordinal"),
    [
        ([], 0),
        ([past(NEW)], None),
        ([past(ORDERED)], None),
        ([past(REFUSED, Refusal.PRICE_MOVED)], 1),
        ([past(REFUSED, Refusal.PRICE_MOVED, ago_s=1.999)], None),
        ([past(REFUSED, Refusal.PRICE_MOVED, ago_s=2)], 1),
        ([past(REFUSED, Refusal.STRATEGY_NOT_ALLOWED)], None),
        ([past(REFUSED, "A_LATER_RELEASES_REFUSAL")], None),
        ([past(EXPIRED)], 1),
        ([past(EXPIRED, ago_s=1)], None),
        ([past(REFUSED, Refusal.FEED_STALE), past(REFUSED, Refusal.FEED_STALE, ordinal=1)], None),
    ],
)
def test_one_undecided_signal_two_in_all_and_the_second_only_after_a_passing_refusal(made, ordinal):
    assert next_ordinal(made, NOW) == ordinal


def test_a_persons_no_and_a_spent_window_do_not_pass():
    lasting = {
        "BREAKER_OPEN",
        "KILL_SWITCH",
        "MODE_NOT_ALLOWED",
        "HALTED",
        "SIGNAL_NOT_NEW",
        "FUTURE_WINDOW",
        "WINDOW_NOT_OPEN",
        "WINDOW_CLOSING",
        "INSTRUMENT_NOT_ALLOWED",
        "STRATEGY_NOT_ALLOWED",
        "MARKET_MISMATCH",
        "MARKET_UNSUPPORTED",
        "ANTI_FLIP",
        "WINDOW_BLOCKED",
        "ALREADY_ENTERED",
        "ORDER_CAP",
        "POSITION_EXISTS",
        "SESSION_LOSS",
        "DAILY_LOSS",
        "STRATEGY_STOPPED",
        "POSITION_CAP",
        "TOO_SMALL",
        "FACTS_UNREADABLE",
    }
    assert set(Refusal) - PASSING == lasting


def asked(standing):
    return [(question.mode, question.ordinal) for question in questions(standing, [INSTANCE], Mode.LIVE)]


def test_an_open_window_in_the_strategys_time_is_asked_about():
    (question,) = questions(situation(), [INSTANCE], Mode.PAPER)
    assert question == Question(INSTANCE, WINDOW, Mode.PAPER, 0, timedelta(seconds=5))


@pytest.mark.parametrize(
    "standing",
    [
        pytest.param({"windows": (replace(WINDOW, state=WindowState.DISCOVERED),)}, id="not open"),
        pytest.param({"now": OPEN_AT + timedelta(seconds=11.9)}, id="too early"),
        pytest.param({"now": OPEN_AT + timedelta(seconds=27), "feeds": ()}, id="no primary feed"),
        pytest.param({"venue_offset": timedelta(seconds=12)}, id="too late by the venue's clock"),
        pytest.param({"feeds": (FeedNow(Source.BINANCE, BTC, NOW - timedelta(seconds=5.001)),)}, id="stale"),
        pytest.param({"feeds": (FeedNow(Source.CHAINLINK, BTC, NOW),)}, id="another feed is fresh"),
        pytest.param(
            {"feeds": (FeedNow(Source.BINANCE, Instrument("ETH"), NOW),)}, id="another's feed is fresh"
        ),
        pytest.param({"feeds": (FeedNow(Source.BINANCE, BTC, None),)}, id="never heard"),
        pytest.param({"enabled": frozenset()}, id="switched off"),
        pytest.param({"controls": {}}, id="controls unreadable"),
        pytest.param(
            {"past": {(ACCOUNT, Mode.LIVE, DECLARATION.strategy_id, WINDOW.window_id): (past(NEW),)}},
            id="undecided",
        ),
    ],
)
def test_nobody_is_asked_when(standing):
    assert asked(situation()) == [(Mode.LIVE, 0)]
    assert asked(situation(**standing)) == []


def test_a_stale_feed_resumes_by_itself():
    stale = situation(feeds=(FeedNow(Source.BINANCE, BTC, NOW - timedelta(seconds=6)),))
    assert not is_primary_fresh(stale, BTC)
    assert is_primary_fresh(situation(), BTC)


def test_the_control_lowers_the_mode_and_never_raises_it():
    lowered = situation(controls={ACCOUNT: Controls(trading_mode=Mode.PAPER)})
    assert asked(lowered) == [(Mode.PAPER, 0)]
    assert [question.mode for question in questions(situation(), [INSTANCE], Mode.DRY_RUN)] == [Mode.DRY_RUN]


def test_what_was_said_in_another_mode_is_another_matter():
    other = {(ACCOUNT, Mode.PAPER, DECLARATION.strategy_id, WINDOW.window_id): (past(NEW),)}
    assert asked(situation(past=other)) == [(Mode.LIVE, 0)]


def test_a_strategy_is_asked_about_its_own_instruments():
    for_eth = replace(INSTANCE, declaration=replace(DECLARATION, instruments=frozenset({"ETH"})))
    assert questions(situation(), [for_eth], Mode.PAPER) == []


def test_the_deciding_feed_is_shown_at_length():
    assert prices_wanted(SettlementRule.CHAINLINK_TWAP) == {
        Source.CHAINLINK_TWAP: 1,
        Source.BINANCE: 1,
        Source.CHAINLINK: SAMPLES_MAX,
    }
    assert prices_wanted(SettlementRule.BINANCE_CANDLE)[Source.BINANCE] == SAMPLES_MAX


def point(price, seconds):
    at = OPEN_AT + timedelta(seconds=seconds)
    return PricePoint(D(price), at, at + timedelta(milliseconds=5))


def level(price):
    return (Level(D(price), D(10)),)


MARKET = Market(
    books={
        UP: Book(UP, level("0.40"), level("0.42"), NOW, NOW),
        DOWN: Book(DOWN, level("0.58"), level("0.60"), NOW, NOW),
    },
    prices={
        (Source.CHAINLINK, BTC): (point("99", 1), point("101", 2)),
        (Source.CHAINLINK_TWAP, BTC): (point("100.5", 2),),
        (Source.BINANCE, BTC): (point("102", 3),),
    },
)


def test_a_view_shows_the_newest_prices_both_books_and_ages_by_the_venues_clock():
    view = build_view(situation(venue_offset=timedelta(seconds=1)), MARKET, WINDOW)
    assert view.now == NOW + timedelta(seconds=1)
    assert view.strike == D(100)
    assert view.book(Side.UP) is MARKET.books[UP]
    assert view.book(Side.DOWN) is MARKET.books[DOWN]
    assert (view.oracle, view.oracle_average, view.fast) == (
        point("101", 2),
        point("100.5", 2),
        point("102", 3),
    )
    assert view.oracle_samples == (point("99", 1), point("101", 2))
    assert view.feed_ages == {"binance_spot": timedelta(seconds=1)}


def test_an_hourly_window_is_seen_by_its_candle():
    view = build_view(situation(), MARKET, replace(WINDOW, rule=SettlementRule.BINANCE_CANDLE))
    assert view.oracle == point("102", 3)


def test_a_signal_names_itself_by_its_ordinal_and_ages_from_the_read():
    (question,) = questions(situation(), [INSTANCE], Mode.PAPER)
    view = build_view(situation(), MARKET, WINDOW)
    wish = Wish(Side.DOWN, D("0.60"), D(1), D("0.59"), {"why": "because"})
    signal = make_signal(question, wish, view, NOW)
    assert signal.signal_id == signal_id(
        ACCOUNT, "PAPER", DECLARATION.strategy_id, WINDOW.window_id, ordinal=0
    )
    assert (signal.token_id, signal.price, signal.amount_usdc) == (DOWN, D("0.60"), D(1))
    assert (signal.made_at, signal.expires_at) == (NOW, NOW + timedelta(seconds=5))
    assert signal.evidence["decision"] == {"why": "because"}


def test_the_lifetime_is_the_controls():
    short = situation(controls={ACCOUNT: Controls(signal_lifetime_s=D("0.5"))})
    (question,) = questions(short, [INSTANCE], Mode.PAPER)
    assert question.lifetime == timedelta(milliseconds=500)


def test_a_wish_for_a_token_that_is_not_known_is_no_signal():
    question = Question(INSTANCE, replace(WINDOW, down_token=None), Mode.PAPER, 0, timedelta(seconds=5))
    wish = Wish(Side.DOWN, D("0.60"), D(1), D("0.59"))
    assert make_signal(question, wish, build_view(situation(), MARKET, WINDOW), NOW) is None


def test_the_evidence_holds_every_input_without_losing_a_digit():
    (question,) = questions(situation(), [INSTANCE], Mode.PAPER)
    signal = make_signal(
        question, Wish(Side.UP, D("0.42"), D(1), D("0.5")), build_view(situation(), MARKET, WINDOW), NOW
    )
    seen = json.loads(json.dumps(signal.evidence["view"]))
    assert seen["up_book"]["asks"] == [["0.42", "10"]]
    assert [price for price, _, _ in seen["oracle_samples"]] == ["99", "101"]
    assert (seen["strike"], seen["fast"][0], seen["oracle_average"][0]) == ("100", "102", "100.5")
    assert seen["feed_ages_ms"] == {"binance_spot": 1000}
    assert seen["now"] == NOW.isoformat()
