"""Which feeds run with which settings, and what may be expected of them."""

import random

import pytest
from pydantic import SecretStr

from services.feed_collector.config import CollectorSettings
from services.feed_collector.feeds.ground import Ground
from services.feed_collector.feeds.plans import expected, feed_loops
from services.feed_collector.shelf import Shelf
from services.feed_collector.tape import Tape
from services.feed_collector.watch import Watch
from shared.domain.ticks import STALE_AFTER, Source
from shared.runtime.clock import SystemClock
from shared.venue.market_pair import MarketPair

POLYBOLT = {
    "feed_api_key": "k",
    "feed_api_secret": "s",
    "feed_api_passphrase": "p",
    "feed_api_address": "0x",
}


def settings(**values):
    return CollectorSettings(database_url="postgresql://u@127.0.0.1:5432/b", instruments="BTC,BNB", **values)


def loops(**values):
    clock, chance, tape = SystemClock(), random.Random(1), Tape()
    pair = MarketPair("ws://x", clock, chance)
    ground = Ground(settings(**values), clock, chance, None, None, tape, Shelf(tape), Watch(clock), pair)
    return [loop.name for loop in feed_loops(ground)]


ALWAYS = ["binance", "market_1", "market_2", "books", "resync"]


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({}, []),
        (POLYBOLT, ["polybolt"]),
        ({"rtds_url": "ws://y"}, ["rtds_1", "rtds_2"]),
        ({"pyth_api_key": "k"}, ["pyth"]),
        (POLYBOLT | {"rtds_url": "ws://y", "pyth_api_key": "k"}, ["polybolt", "rtds_1", "rtds_2", "pyth"]),
    ],
)
def test_a_feed_runs_where_we_may_listen_to_it(values, more):
    assert sorted(loops(**values)) == sorted(ALWAYS + more)


@pytest.mark.parametrize(
    ("values", "sources"),
    [
        ({}, {Source.BINANCE, Source.POLYMARKET}),
        (POLYBOLT, {Source.BINANCE, Source.POLYMARKET, Source.CHAINLINK, Source.CHAINLINK_TWAP}),
        ({"rtds_url": "ws://y"}, {Source.BINANCE, Source.POLYMARKET, Source.CHAINLINK}),
    ],
)
def test_what_is_listened_to_is_expected_to_speak_of_every_instrument(values, sources):
    found = expected(settings(**values))
    assert set(found) == {(source, instrument) for source in sources for instrument in ("BTC", "BNB")}
    assert len(found) == len(set(found))


def test_pyth_is_expected_for_the_instruments_it_has():
    found = expected(settings(pyth_api_key=SecretStr("k")))
    assert [instrument for source, instrument in found if source is Source.PYTH] == ["BTC"]


def test_every_source_has_a_silence_after_which_it_is_stale():
    assert set(STALE_AFTER) == set(Source)
