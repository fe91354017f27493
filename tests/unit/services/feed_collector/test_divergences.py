"""When two feeds come apart, and when they meet again (C8)."""

import itertools
from decimal import Decimal

from services.feed_collector.divergences import Divergences
from shared.domain.ids import Instrument
from shared.domain.ticks import PriceTick, Source
from tests.unit.services.feed_collector.test_tape import after

BTC, ETH = Instrument("BTC"), Instrument("ETH")
FAST, SLOW = Source.BINANCE, Source.CHAINLINK
D = Decimal


def tick(source, price, seconds, instrument=BTC):
    return PriceTick(instrument, source, D(price), after(seconds), after(seconds))


def played(*ticks):
    watched = Divergences({(FAST, SLOW): D("0.05")})
    for each in ticks:
        watched.take(tick(*each))
    return watched


def test_feeds_come_apart_past_their_threshold_and_meet_below_half_of_it():
    watched = played((SLOW, "10000", 0), (FAST, "10005", 0.1))
    assert watched.take_news() == [], "at the threshold they still agree"
    watched.take(tick(FAST, "10005.01", 0.2))
    (begun,) = watched.take_news()
    assert (begun.fast, begun.slow, begun.began_at, begun.direction) == (FAST, SLOW, after(0.2), "up")
    assert (begun.pct, begun.ended_at) == (D("0.050100"), None)
    watched.take(tick(FAST, "10020", 0.3))
    watched.take(tick(FAST, "10002.5", 0.4))
    assert watched.take_news() == [], "one event, however far they go, until they are well below"
    watched.take(tick(SLOW, "10003", 1.4))
    (ended,) = watched.take_news()
    assert (ended.began_at, ended.ended_at, ended.converged_to) == (after(0.2), after(1.4), D(10003))
    watched.take(tick(FAST, "9990", 1.5))
    assert watched.take_news()[0].direction == "down"


def test_a_price_of_long_ago_is_compared_with_nothing():
    assert played((SLOW, "10000", 0), (FAST, "11000", 5.1)).take_news() == []
    assert len(played((SLOW, "10000", 0), (FAST, "11000", 5)).take_news()) == 1


def test_every_instrument_and_pair_has_its_own():
    assert played((SLOW, "10000", 0, ETH), (FAST, "11000", 0.1, BTC)).take_news() == []
    both = Divergences()
    for source, price in ((SLOW, "10000"), (Source.CHAINLINK_TWAP, "10000"), (FAST, "11000")):
        both.take(tick(source, price, 0))
    assert {each.slow for each in both.take_news()} == {SLOW, Source.CHAINLINK_TWAP}


def test_every_two_feeds_of_an_instrument_are_compared():
    dollars = [source for source in Source if source is not Source.POLYMARKET]
    for one, other in itertools.combinations(dollars, 2):
        watched = Divergences()
        watched.take(tick(one, "10000", 0))
        watched.take(tick(other, "10100", 0.1))
        assert len(watched.take_news()) == 1, (one, other)


def test_what_could_not_be_written_comes_again_in_order():
    watched = played((SLOW, "10000", 0), (FAST, "10100", 0.1), (FAST, "10000", 0.2))
    news = watched.take_news()
    assert [each.ended_at for each in news] == [None, after(0.2)]
    watched.give_back(news)
    assert watched.take_news() == news
