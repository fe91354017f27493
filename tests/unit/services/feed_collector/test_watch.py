"""What is watched, whose averages are asked for, and who is woken."""

from datetime import timedelta

from services.feed_collector.watch import DEFAULT_LOOKBACK_S, Watch
from shared.domain.ids import Instrument, TokenId, WindowId
from shared.domain.windows import SettlementRule, WindowState
from shared.runtime.clock import SystemClock
from tests.unit.services.feed_collector.test_decide import OPEN_AT, after, window


class StandingClock(SystemClock):
    def now(self):
        return OPEN_AT


def watching(*windows):
    return Watch(StandingClock(), windows)


def test_the_venues_time_is_ours_and_the_offset():
    watch = watching()
    watch.offset = timedelta(milliseconds=-1500)
    assert watch.venue_now() == after(-1.5)


def test_the_average_asked_for_is_the_one_that_settles_the_soonest_window():
    closed = window(state=WindowState.CLOSED, lookback_s=7)
    by_candle = window(rule=SettlementRule.BINANCE_CANDLE, lookback_s=0)
    assert watching().lookback_s is None
    assert watching(closed).lookback_s is None
    assert watching(closed, by_candle).lookback_s == DEFAULT_LOOKBACK_S
    assert watching(closed, by_candle, window(lookback_s=4), window(lookback_s=60)).lookback_s == 4


def test_both_tokens_of_a_window_are_followed_with_it():
    one = window(up_token=TokenId("1"), down_token=None)
    far = window(opens_at=after(600), closes_at=after(630), up_token=TokenId("8"), down_token=TokenId("9"))
    assert watching(one, far).tokens() == {"1": one}


def test_a_price_wakes_those_who_look_at_open_windows_of_its_instrument_once():
    btc = window(state=WindowState.OPEN)
    eth = window(state=WindowState.OPEN, window_id=WindowId("eth"), instrument=Instrument("ETH"))
    watch = watching(btc, eth, window(window_id=WindowId("later")))
    watch.announce_instruments([Instrument("BTC"), Instrument("BTC")])
    assert watch.moved.is_set()
    assert watch.take_moved() == {btc.window_id}
    assert not watch.moved.is_set()
    watch.announce_instruments([Instrument("SOL")])
    assert not watch.moved.is_set()
