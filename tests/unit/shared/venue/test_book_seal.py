"""The venue's hash of a book, made here as its pages and the recordings say, by json and not by us."""

import hashlib
import json
from datetime import timedelta
from decimal import Decimal

import pytest

from shared.venue.book_seal import Seal, head_of, seal_of
from tests.unit.shared.venue.venue_values import CONDITION, NOW, TOKEN

CENT = Decimal("0.01")
BIDS = {Decimal("0.49"): Decimal("120.5"), Decimal("0.5"): Decimal(7)}
ASKS = {Decimal("0.53"): Decimal("9.99"), Decimal("0.52"): Decimal(1000)}
HEAD = head_of(CONDITION, TOKEN, NOW, BIDS, ASKS)


def digest(bids=BIDS, asks=ASKS, *, last_trade="0.500", version="", **changes):
    """Bids ascend, asks descend: the best level is the last of each."""
    book = {
        "market": CONDITION,
        "asset_id": TOKEN,
        "timestamp": str(int(NOW.timestamp() * 1000)),
        "hash": "",
        "bids": [{"price": str(price), "size": str(bids[price])} for price in sorted(bids)],
        "asks": [{"price": str(price), "size": str(asks[price])} for price in sorted(asks, reverse=True)],
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "last_trade_price": last_trade,
    } | changes
    if version:
        book["version"] = version
    return hashlib.sha1(json.dumps(book, separators=(",", ":")).encode()).hexdigest()


@pytest.mark.parametrize("last_trade", ["", "0.500", "0.5", "0.001", "0.990", "0.99"])
def test_a_whole_book_is_known_by_its_hash_whatever_was_traded_last(last_trade):
    assert seal_of(digest(last_trade=last_trade), HEAD, CENT) == Seal("5", "0.01", False, "", last_trade)


def test_the_kind_of_the_market_is_found_with_it():
    found = seal_of(digest(version="v2", neg_risk=True, min_order_size="1"), HEAD, CENT)
    assert found == Seal("1", "0.01", True, "v2", "0.500")


def test_a_book_of_a_kind_we_do_not_know_is_not_sealed():
    assert seal_of(digest(min_order_size="17"), HEAD, CENT) is None
    assert seal_of(digest(last_trade="1/2"), HEAD, CENT) is None


def test_a_later_book_keeps_its_kind_and_shows_the_trades_between():
    seal = seal_of(digest(), HEAD, CENT)
    assert seal.found(digest(), HEAD) is seal
    assert seal.found(digest(last_trade="0.610"), HEAD).last_trade == "0.610"
    assert seal.found(digest(neg_risk=True), HEAD) is None


@pytest.mark.parametrize(
    ("bids", "asks"),
    [
        (BIDS | {Decimal("0.01"): Decimal(1)}, ASKS),
        (BIDS, ASKS | {Decimal("0.53"): Decimal("9.98")}),
        (BIDS, {Decimal("0.52"): Decimal(1000)}),
    ],
)
def test_one_level_more_less_or_other_is_another_book(bids, asks):
    assert seal_of(digest(bids, asks), HEAD, CENT) is None


def test_another_moment_is_another_hash():
    assert (
        seal_of(digest(), head_of(CONDITION, TOKEN, NOW + timedelta(milliseconds=1), BIDS, ASKS), CENT)
        is None
    )
