from decimal import Decimal

from services.feed_collector.rates import NOTES_KEPT, Rates

D = Decimal


def test_the_first_reading_tells_no_rate():
    assert Rates().note(D(5), {"binance_spot/BTC": 900}) == {}


def test_a_rate_is_what_came_between_two_readings_by_the_time_between_them():
    rates = Rates()
    rates.note(D(10), {"binance_spot/BTC": 100, "chainlink/BTC": 7})
    assert rates.note(D("12.5"), {"binance_spot/BTC": 150, "chainlink/BTC": 7}) == {
        "binance_spot/BTC": D("20.00"),
        "chainlink/BTC": D("0.00"),
    }


def test_what_was_long_ago_is_forgotten_so_that_a_feed_that_stopped_shows_nothing():
    rates = Rates()
    rates.note(D(0), {"binance_spot/BTC": 0})
    for n in range(1, NOTES_KEPT + 1):
        found = rates.note(D(2 * n), {"binance_spot/BTC": 1_000})
    assert found == {"binance_spot/BTC": D("0.00")}


def test_a_counter_that_began_in_between_counts_from_zero():
    rates = Rates()
    rates.note(D(0), {})
    assert rates.note(D(4), {"order_book_snapshots/BTC": 8}) == {"order_book_snapshots/BTC": D("2.00")}


def test_two_readings_of_one_moment_tell_nothing():
    rates = Rates()
    rates.note(D(1), {"a": 1})
    assert rates.note(D(1), {"a": 2}) == {}
