"""Our parsers against what the venue really sent, recorded between 2025 and October 2026.

The recordings carry no licence to publish, so they are not in this repository: ONEBOOK_RECORDINGS names their folder.
"""

import gzip
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from shared.domain.orders import OrderEvent, OrderSide
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.domain.trades import FillState
from shared.domain.windows import FeeSchedule, SettlementRule
from shared.venue.accounts import order_event
from shared.venue.book_keeping import CHANGE_LOST, BookState, fold
from shared.venue.events import (
    BookDelta,
    BookSnapshot,
    LastTrade,
    MarketResolved,
    OrderUpdate,
    TickSizeChange,
    TopOfBook,
    TradeSeen,
    UnknownEvent,
)
from shared.venue.order_struct import build_order, prepared_order
from shared.venue.outcome import classify_cancel_answer, classify_order_answer
from shared.venue.parse import (
    parse_balance,
    parse_book,
    parse_json,
    parse_order,
    parse_position,
    parse_trade,
    read,
)
from shared.venue.parse_markets import parse_event, parse_market
from shared.venue.parse_prices import parse_binance_frame
from shared.venue.parse_streams import parse_market_frame, parse_user_frame
from shared.venue.refusals import Malformed, UnknownFeeType, UnknownWord
from shared.venue.wire import WireDataPage, WireEventMetadata
from tests.recordings import recorded_sets
from tests.unit.shared.venue.venue_values import OWNER, intent

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FEE = FeeSchedule(Decimal("0.07"), 1)
JSON = {"content-type": "application/json"}
OUR_KEY = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module", name="recordings")
def recorded() -> Path:
    return recorded_sets(
        "that what the venue really sent is understood, so an order or a trade could be misread"
    )


def load(path: Path):
    return parse_json(path.read_text())


def fixture(recordings: Path, name: str):
    return load(recordings / "messages" / "nautilus_test_data" / f"{name}.json")


def lines(path: Path):
    with gzip.open(path, "rt") as file:
        return [parse_json(line) for line in file]


def test_markets_of_march_are_known_by_rule_and_refused_where_their_fee_is_unknown(recordings):
    rules, refused = Counter(), Counter()
    for row in lines(recordings / "messages" / "gamma_markets_updown_20260311.jsonl.gz"):
        market = row.get("raw", row)
        without_fee = market | {"feesEnabled": False}
        listing = parse_market(without_fee, WireEventMetadata(), "", NOW)
        rules[listing.rule] += 1
        assert listing.version == "v1"
        assert listing.instrument in {"BTC", "ETH", "SOL", "XRP"}
        assert listing.interval in {"5m", "15m", "4h", "1h", "1d"}
        assert listing.up_token != listing.down_token
        if market.get("feesEnabled"):
            with pytest.raises(UnknownFeeType):  # the fees of that spring had another formula
                parse_market(market, WireEventMetadata(), "", NOW)
            refused["fee"] += 1
    assert sum(rules.values()) == 40
    assert set(rules) == {SettlementRule.CHAINLINK_SPOT, SettlementRule.BINANCE_CANDLE}
    assert refused["fee"] > 20


def test_a_market_of_the_average_era_is_read_as_it_trades(recordings):
    market = load(recordings / "messages" / "gamma_market_crypto_twap_20260822.json")
    listing = parse_market(market, WireEventMetadata(), "", NOW)
    assert (listing.rule, listing.lookback_s, listing.fee) == (SettlementRule.CHAINLINK_TWAP, 60, FEE)
    assert (listing.instrument, listing.interval, listing.tick, listing.accepting) == (
        "BTC",
        "5m",
        Decimal("0.01"),
        True,
    )
    assert (listing.closes_at - listing.opens_at).total_seconds() == 300


def test_an_event_of_june_is_read(recordings):
    (event,) = load(recordings / "messages" / "rest_hugompt" / "gamma_event_crypto_updown.json")
    (listing,) = parse_event(event, NOW)
    assert (listing.window_id, listing.instrument, listing.rule) == (
        event["slug"],
        "HYPE",
        SettlementRule.CHAINLINK_SPOT,
    )


def test_a_recorded_book_is_sorted_best_first(recordings):
    book = parse_book(load(recordings / "messages" / "rest_hugompt" / "clob_book.json"), NOW)
    assert (book.best_bid, book.best_ask) == (Decimal("0.49"), Decimal("0.51"))
    assert len(book.bids) == len(book.asks) == 35


def test_the_venues_own_answers_to_orders_are_judged(recordings):
    known = Counter()
    for line in (recordings / "messages" / "post_order_results.jsonl").read_text().splitlines():
        row = parse_json(line)
        made = intent(amount=row["price"] * row["size"] + 1, limit_price=Decimal(row["price"]))
        order = build_order(made, maker=OWNER, signer=OWNER, signature_type=0)
        prepared = prepared_order(made, order, signature="0x", owner="k")
        answer = dict(row["response"])
        theirs = answer.get("orderID")
        if theirs:
            other = classify_order_answer(
                200, JSON, json.dumps(answer).encode(), None, began_send=True, expected=prepared
            )
            assert isinstance(other, Unknown)  # it is not our order's id
            answer["orderID"] = prepared.order_id
        outcome = classify_order_answer(
            row["http_status"], JSON, json.dumps(answer).encode(), None, began_send=True, expected=prepared
        )
        if isinstance(outcome, Success):
            known[outcome.value.status] += 1
            assert (outcome.value.shares > 0) == (outcome.value.status == "matched")
            assert outcome.value.usdc <= outcome.value.shares
        else:
            assert isinstance(outcome, KnownFailure)
            known[outcome.reason] += 1
    assert set(known) == {"matched", "live", "BLOCKED"}
    assert min(known.values()) > 3


def test_real_error_texts_are_judged(recordings):
    order = build_order(intent(), maker=OWNER, signer=OWNER, signature_type=0)
    prepared = prepared_order(intent(), order, signature="0x", owner="k")
    for row in load(recordings / "messages" / "clob_error_answers.json"):
        body = json.dumps({"error": row["error"]}).encode()
        outcome = classify_order_answer(
            row["http_status"], JSON, body, None, began_send=True, expected=prepared
        )
        expected = Unknown if row["error"] in {"OOM", "Invalid Heartbeat ID"} else KnownFailure
        assert isinstance(outcome, expected), row["error"]


def test_the_shapes_of_account_answers_are_read(recordings):
    for name in ("http_open_order", "http_open_order_sell_fok"):
        assert parse_order(fixture(recordings, name)).order_id.startswith("0x")
    page = fixture(recordings, "http_open_orders_page")
    assert all(parse_order(row) for row in page["data"])
    (trade,) = parse_trade(fixture(recordings, "http_trade_report"), api_key=OUR_KEY, fee_of=lambda _: FEE)
    assert (trade.shares, trade.usdc, trade.state, trade.side) == (
        25,
        Decimal("12.5"),
        FillState.CONFIRMED,
        OrderSide.BUY,
    )
    assert parse_balance(fixture(recordings, "http_balance_allowance_collateral")) == 1000
    for name, kept in (("http_cancel_response_ok", 0), ("http_cancel_response_failed", 1)):
        body = json.dumps(fixture(recordings, name)).encode()
        outcome = classify_cancel_answer(200, JSON, body, None, began_send=True)
        assert isinstance(outcome, Success)
        assert len(outcome.value.not_cancelled) == kept


def test_the_data_apis_second_version_is_read(recordings):
    answer = load(recordings / "messages" / "data_api_v2_positions_202610.json")["body"]
    rows = [parse_position(row) for row in read(WireDataPage, answer).data]
    assert rows
    assert all(row.shares > 0 for row in rows)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ws_market_book_msg", BookSnapshot),
        ("ws_market_price_change_msg", BookDelta),
        ("ws_market_best_bid_ask_msg", TopOfBook),
        ("ws_market_tick_size_msg", TickSizeChange),
        ("ws_market_last_trade_msg", LastTrade),
        ("ws_market_resolved_msg", MarketResolved),
        ("ws_market_new_market_msg", None),
    ],
)
def test_market_frames_are_read(recordings, name, kind):
    text = (recordings / "messages" / "nautilus_test_data" / f"{name}.json").read_text()
    assert [type(event) for event in parse_market_frame(text, NOW)] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("ws_user_order_placement", OrderEvent.RESTS),
        ("ws_user_order_update", None),
        ("ws_user_order_matched", OrderEvent.MATCHED),
        ("ws_user_order_cancellation", None),
        ("ws_user_order_fok_killed", OrderEvent.KILLED),
        ("ws_user_order_venue_cancel", None),
        ("ws_user_trade_msg", "trade"),
    ],
)
def test_user_frames_are_read(recordings, name, event):
    message = fixture(recordings, name)
    kind = "trade" if event == "trade" else "order"
    text = json.dumps({"event_type": kind} | message, default=str)
    (found,) = parse_user_frame(text, NOW, api_key=OUR_KEY, fee_of=lambda _: FEE)
    if kind == "trade":
        assert isinstance(found, TradeSeen)
        return
    assert isinstance(found, OrderUpdate)
    assert found.event == (event or order_event(found.status, found.matched_shares))


def market_sessions(recordings):
    """The market channel's frames of each recorded session, in order."""
    sessions = defaultdict(list)
    for row in lines(recordings / "raw_ws_20260428" / "raw_messages.jsonl.gz"):
        if row["source"] == "polymarket_clob":
            sessions[row["session"]].append(row)
    return sessions


def test_recorded_sessions_are_read_whole_and_their_books_never_contradict_the_venues_best_prices(recordings):
    sessions = market_sessions(recordings)
    seen, doubts = Counter(), []
    for rows in sessions.values():
        states: dict[str, BookState] = {}
        for row in sorted(rows, key=lambda row: row["seq"]):
            for event in parse_market_frame(row["payload"], NOW):
                seen[type(event).__name__] += 1
                if isinstance(event, UnknownEvent):
                    continue  # a book read by REST, recorded among the frames
                tokens = (
                    [change.token_id for change in event.changes]
                    if isinstance(event, BookDelta)
                    else [event.token_id]
                )
                for token in set(tokens):
                    before = states.get(token, BookState(token))
                    states[token] = fold(before, event)
                    if states[token].doubt and not before.doubt:
                        doubts.append(states[token].doubt)
    assert min(seen["BookSnapshot"], seen["BookDelta"]) > 40
    assert doubts == []


def test_a_recorded_change_left_out_is_noticed_by_the_hash_of_the_next_and_a_whole_session_by_none(
    recordings,
):
    found = Counter()
    for rows in market_sessions(recordings).values():
        told = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["seq"]):
            for event in parse_market_frame(row["payload"], NOW):
                if isinstance(event, BookSnapshot | BookDelta):
                    changed = event.changes if isinstance(event, BookDelta) else [event]
                    for token in {each.token_id for each in changed}:
                        told[token].append(event)
        for token, events in told.items():
            for left_out in (None, *(n for n, event in enumerate(events) if isinstance(event, BookDelta))):
                state, doubts = BookState(token), set()
                for event in (each for n, each in enumerate(events) if n != left_out):
                    state = fold(state, event)
                    doubts |= {state.doubt} - {""}
                assert state.seal is not None
                found["whole" if left_out is None else "cut", *doubts] += 1
    assert found.keys() == {("whole",), ("cut",), ("cut", CHANGE_LOST)}, found
    assert found["whole",] > 20
    assert found["cut", CHANGE_LOST] > 10, (
        "of most, the next snapshot is there before the next moment is over"
    )


def test_recorded_full_depth_frames_are_read(recordings):
    (path,) = (recordings / "book_l2_btc5m_20260416").glob("raw_frames_*.jsonl.gz")
    events = [
        event for row in lines(path) for event in parse_market_frame(json.dumps(row["raw"], default=str), NOW)
    ]
    assert len([event for event in events if isinstance(event, BookSnapshot)]) >= 600
    state = None
    for event in events:
        if isinstance(event, BookSnapshot):
            state = fold(state or BookState(event.token_id), event)
            assert not state.doubt
            assert state.seal is not None, "its hash is that of the book, whatever was traded last"


def test_recorded_binance_frames_are_read(recordings):
    with gzip.open(recordings / "binance_spot_raw_20240808" / "btcusdt_20240808.gz", "rt") as file:
        raw = [line.partition(" ")[2] for line, _ in zip(file, range(4000), strict=False)]
    kinds = Counter()
    for text in raw:
        try:
            event = parse_binance_frame(parse_json(text).get("data", {}), NOW, {"BTC"})
        except UnknownWord:
            kinds["refused"] += 1  # depth updates, which we do not ask for
            continue
        kinds[type(event).__name__] += 1
    assert kinds["FastPrice"] > 100
    assert kinds["FastQuote"] > 100


def test_a_recorded_frame_cut_anywhere_is_refused_and_not_misread(recordings):
    text = (
        (recordings / "messages" / "nautilus_test_data" / "ws_market_price_change_msg.json")
        .read_text()
        .strip()
    )
    for length in range(len(text)):
        with pytest.raises(Malformed):
            parse_market_frame(text[:length], NOW)
