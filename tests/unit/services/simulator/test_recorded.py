from decimal import Decimal

import pytest

from services.simulator.recorded import (
    RecordedBook,
    cents_book,
    clear_winner,
    named_winner,
    uncrossed,
    up_book,
    whole_window,
)

ROW = {
    "up_bid": 0.40, "up_bid_size": 10.0, "up_ask": 0.42, "up_ask_size": 20.0,
    "down_bid": 0.57, "down_bid_size": 30.0, "down_ask": 0.59, "down_ask_size": 40.0,
}  # fmt: skip


def book(at_s: float, bid: str = "0.97", ask: str = "0.98") -> RecordedBook:
    return RecordedBook(at_s, ((Decimal(bid), Decimal(5)),), ((Decimal(ask), Decimal(5)),))


def level(price: str, size: str) -> tuple[tuple[Decimal, Decimal], ...]:
    return ((Decimal(price), Decimal(size)),)


def test_the_fresher_token_tells_the_book() -> None:
    own = up_book(1.0, ROW, down_is_fresher=False)
    mirrored = up_book(1.0, ROW, down_is_fresher=True)
    assert (own.bids, own.asks) == (level("0.40", "10"), level("0.42", "20"))
    assert (mirrored.bids, mirrored.asks) == (level("0.41", "40"), level("0.43", "30"))


@pytest.mark.parametrize("missing", [None, "", float("nan")])
def test_the_other_token_fills_an_empty_side(missing: object) -> None:
    filled = up_book(1.0, {**ROW, "up_bid": missing}, down_is_fresher=False)
    empty = up_book(1.0, {**ROW, "up_bid": missing, "down_ask": missing}, down_is_fresher=False)
    assert filled.bids == level("0.41", "40")
    assert empty.bids == ()
    assert empty.mid == pytest.approx(0.21)


def test_rounding_to_cents_widens_adds_up_and_drops_the_edges() -> None:
    rounded = cents_book(0.0, [(0.995, 1.0), (0.993, 2.0), (0.004, 3.0)], [(0.997, 4.0)])
    assert rounded.bids == level("0.99", "3")
    assert rounded.asks == ()


def test_a_crossed_book_is_told_from_a_one_sided_one() -> None:
    assert not uncrossed(book(0.0, bid="0.50", ask="0.50"))
    assert uncrossed(book(0.0, bid="0.49", ask="0.50"))
    assert uncrossed(RecordedBook(0.0, (), level("0.01", "5")))


@pytest.mark.parametrize(
    ("times", "whole"),
    [
        (range(0, 300, 5), True),
        (range(15, 300, 5), False),  # begins too late
        (range(0, 285, 5), False),  # ends too early
        ([*range(0, 100, 5), *range(120, 300, 5)], False),  # a hole of 25 s
        ([], False),
    ],
)
def test_only_whole_windows_are_replayed(times: list[int], whole: bool) -> None:
    window = whole_window("test", 0, 300, [book(float(at_s)) for at_s in times])
    assert (window is not None) == whole


def test_a_window_whose_end_says_nothing_needs_an_official_winner() -> None:
    books = [book(float(at_s), bid="0.50", ask="0.52") for at_s in range(0, 300, 5)]
    assert whole_window("test", 0, 300, books) is None
    told = whole_window("test", 0, 300, books, winner="DOWN")
    assert told is not None
    assert told.winner == "DOWN"


def test_books_outside_the_window_are_left_out_and_the_last_of_each_slot_stays() -> None:
    books = [book(at_s / 10, bid=f"0.{90 + at_s % 7}") for at_s in range(-50, 3100)]
    window = whole_window("test", 0, 300, books, every_s=1.0)
    assert window is not None
    assert [round(kept.at_s, 1) for kept in window.books[:3]] == [0.9, 1.9, 2.9]
    assert window.books[-1].at_s == 299.9


def test_winners_are_read_from_names_and_from_clear_mids() -> None:
    assert [clear_winner(mid) for mid in (0.95, 0.05, 0.5)] == ["UP", "DOWN", None]
    assert [named_winner(name) for name in (" Up", "down", "truncated")] == ["UP", "DOWN", None]
