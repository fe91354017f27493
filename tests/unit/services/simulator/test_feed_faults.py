"""What each named fault makes of a frame."""

import json

import pytest

from services.simulator.fault_kinds import KINDS
from services.simulator.faults import Faults
from services.simulator.feed_faults import ACTS

CHANGE = {
    "asset_id": "1",
    "price": "0.4",
    "size": "7",
    "side": "BUY",
    "hash": "h",
    "best_bid": "0.4",
    "best_ask": "0.6",
}
DELTA = json.dumps(
    {
        "event_type": "price_change",
        "market": "m",
        "timestamp": "9",
        "price_changes": [CHANGE, CHANGE | {"asset_id": "2"}],
    }
)


def made(fault, text=DELTA):
    return [json.loads(frame) for frame in ACTS[fault](text)]


def test_every_act_is_a_fault_that_can_be_armed():
    assert set(ACTS) <= set(KINDS)


def test_a_change_of_2025_is_a_frame_a_token_without_best_prices():
    first, second = made("old_price_change")
    assert (first["asset_id"], second["asset_id"]) == ("1", "2")
    assert first["changes"] == [{"price": "0.4", "side": "BUY", "size": "7"}]
    assert "price_changes" not in first


def test_best_prices_can_be_left_out_books_emptied_words_and_fields_added():
    (frame,) = made("no_best_prices")
    assert {change["best_bid"] for change in frame["price_changes"]} == {""}
    assert made("empty_book", json.dumps([{"bids": [1], "asks": [2], "market": "m"}])) == [
        [{"bids": [], "asks": [], "market": "m"}]
    ]
    word, frame = made("foreign_word")
    assert word["event_type"] != frame["event_type"] == "price_change"
    assert made("extra_fields")[0].items() > json.loads(DELTA).items()
    assert made("array_frame") == [[json.loads(DELTA)]]


@pytest.mark.parametrize(
    ("fault", "sent"), [("held_frames", ["a", "b", "c"]), ("shuffled_frames", ["c", "b", "a"])]
)
def test_frames_are_held_until_the_last_one_struck(fault, sent):
    faults = Faults()
    faults.arm(fault, match={"channel": "market"}, times=3)
    found = [list(faults.sent(text, channel="market")) for text in ("a", "b", "c", "d")]
    assert found == [[], [], sent, ["d"]]


def test_a_fault_of_the_line_strikes_its_feed_once_and_says_how_long():
    faults = Faults()
    faults.arm("server_shutdown", seconds=3)
    assert faults.line("polybolt.price.crypto", "btc") is None
    assert faults.line("binance.trade", "btc") == ("server_shutdown", 3.0)
    assert faults.line("binance.trade", "btc") is None
