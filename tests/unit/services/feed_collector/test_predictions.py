"""A move of the fast feed, and what the oracle then does (C15)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.feed_collector.predictions import KnownLag, Predictions, Quoted
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source
from shared.domain.windows import Side
from tests.unit.services.feed_collector.test_tape import after

BTC = Instrument("BTC")
D = Decimal
LAG = KnownLag(timedelta(seconds=1), D("0.8"))


def played(*told, lag=LAG):
    """(source, price, second) in order; a quiet market for two seconds comes first."""
    watched = Predictions()
    watched.learn(BTC, lag)
    quiet = [("fast", 60_000, -2), ("oracle", 60_010, -1), ("fast", 60_000, -0.5), ("oracle", 60_010, 0)]
    for source, price, second in [*quiet, *told]:
        kind = Source.BINANCE if source == "fast" else Source.CHAINLINK
        watched.take(PriceTick(BTC, kind, D(price), after(second), after(second)))
    return watched


def test_a_move_predicts_and_the_oracle_that_follows_proves_it_right():
    news = played(("fast", 60_030, 0.4), ("oracle", 60_011, 0.9), ("oracle", 60_040, 1.5)).take_news()
    made, ended = news
    assert (made.direction, made.made_at, made.move_pct) == (Side.UP, after(0.4), D("0.050000"))
    assert (made.oracle_price, made.ended_at, made.correct) == (D(60_010), None, None)
    assert (ended.ended_at, ended.oracle_then, ended.outcome, ended.correct) == (
        after(1.5), D(60_040), Side.UP, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ([("oracle", 59_980, 1.0)], Side.DOWN),
        ([("oracle", 60_011, 5.5)], None),
        ([("fast", 60_030, 5.5)], None),
    ],
)
def test_an_oracle_that_goes_the_other_way_or_nowhere_proves_it_wrong(then, outcome):
    ended = played(("fast", 60_030, 0.4), *then).take_news()[1]
    assert (ended.outcome, ended.correct) == (outcome, False)


def test_the_market_is_asked_at_that_moment_and_of_the_predicted_side():
    asked = []
    quoted = Quoted(D("0.6"), D("0.02"), D(12))
    watched = played()
    watched.quote = lambda *what: asked.append(what) or quoted
    watched.take(PriceTick(BTC, Source.BINANCE, D(59_970), after(0.4), after(0.4)))
    watched.take(PriceTick(BTC, Source.CHAINLINK, D(59_970), after(0.9), after(0.9)))
    assert [each.quoted for each in watched.take_news()] == [quoted, quoted]
    assert asked == [(BTC, Side.DOWN, after(0.4))]


def test_one_expectation_at_a_time():
    assert len(played(("fast", 60_030, 0.4), ("fast", 60_060, 0.5), ("fast", 59_000, 0.6)).take_news()) == 1


@pytest.mark.parametrize(
    ("move", "lag"),
    [
        (("fast", 60_017, 0.4), LAG),  # too small
        (("fast", 60_030, 3.1), LAG),  # the oracle is silent: that is no lag
        (("fast", 60_030, 0.4), None),  # nothing was proved
        (
            ("fast", 60_030, 0.4),
            KnownLag(timedelta(seconds=9), D(1)),
        ),  # nobody remembers what its report is of
    ],
)
def test_what_predicts_nothing(move, lag):
    assert played(move, lag=lag).take_news() == []


def test_what_could_not_be_written_comes_again():
    watched = played(("fast", 60_030, 0.4), ("oracle", 60_040, 1.5))
    news = watched.take_news()
    watched.give_back(news)
    assert watched.take_news() == news
