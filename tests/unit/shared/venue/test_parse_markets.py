import json
from decimal import Decimal

import pytest

from shared.domain.windows import FeeSchedule, SettlementRule, Side, WindowState
from shared.venue.parse_markets import (
    instrument_of,
    parse_clob_market,
    parse_clob_winner,
    parse_event,
    parse_resolution,
)
from shared.venue.refusals import Malformed, UnknownFeeType, UnknownRule, UnknownVersion
from tests.unit.shared.venue.venue_values import CONDITION, FEE, NOW, OTHER_TOKEN, TOKEN, V2_TOKEN

MARKET = {
    "slug": "btc-updown-15m-1791241200",
    "conditionId": CONDITION,
    "resolutionSource": "https://data.chain.link/streams/btc-usd-twap-60s-streams",
    "startDate": "2026-10-04T23:08:46.486981Z",
    "eventStartTime": "2026-10-05T23:00:00Z",
    "endDate": "2026-10-05T23:15:00Z",
    "outcomes": '["Up", "Down"]',
    "outcomePrices": '["0.905", "0.095"]',
    "clobTokenIds": json.dumps([TOKEN, OTHER_TOKEN]),
    "closed": False,
    "acceptingOrders": True,
    "orderPriceMinTickSize": Decimal("0.01"),
    "orderMinSize": 5,
    "feesEnabled": True,
    "feeType": "crypto_fees_v2",
    "feeSchedule": {"exponent": 1, "rate": Decimal("0.07"), "takerOnly": True, "rebateRate": Decimal("0.2")},
    "negRisk": False,
    "cryptoMarketConfig": {"asset": "btc", "duration": "15m", "twapEnabled": True, "twapLookbackSeconds": 60},
    "version": "v1",
}
CLOB_MARKET = {
    "t": [{"t": TOKEN, "o": "Up"}, {"t": OTHER_TOKEN, "o": "Down"}],
    "c": CONDITION,
    "mos": 5,
    "mts": Decimal("0.01"),
    "ao": True,
    "itode": True,
    "fd": {"r": Decimal("0.07"), "e": 1, "to": True},
}
LONG_MARKET = {
    "condition_id": CONDITION,
    "closed": True,
    "tokens": [
        {"token_id": TOKEN, "outcome": "Up", "winner": True},
        {"token_id": OTHER_TOKEN, "outcome": "Down", "winner": False},
    ],
}


def listing(metadata=None, **changes):
    event = {
        "slug": MARKET["slug"],
        "series": [{"id": "10192", "slug": "btc-up-or-down-15m"}],
        "markets": [MARKET | changes],
    }
    (found,) = parse_event(event | ({"eventMetadata": metadata} if metadata else {}), NOW)
    return found


def test_a_market_is_read_by_its_own_metadata():
    found = listing({"priceToBeat": Decimal("61035.86")})
    window = found.as_window()
    assert (window.window_id, window.instrument, window.series) == (
        MARKET["slug"],
        "BTC",
        "btc-up-or-down-15m",
    )
    assert (window.opens_at.isoformat(), window.interval_s) == ("2026-10-05T23:00:00+00:00", 900)
    assert (window.token(Side.UP), window.token(Side.DOWN), window.condition_id) == (
        TOKEN,
        OTHER_TOKEN,
        CONDITION,
    )
    assert (window.tick, window.min_size, window.fee) == (Decimal("0.01"), 5, FEE)
    assert (window.rule, window.lookback_s) == (SettlementRule.CHAINLINK_TWAP, 60)
    assert (window.strike, window.accepting, window.version) == (Decimal("61035.86"), True, "v1")
    assert window.state is WindowState.DISCOVERED
    assert found.interval == "15m"
    assert found.resolution is None


def test_a_window_may_have_any_length_and_look_back():
    found = listing(
        endDate="2026-10-05T23:00:40.500Z",
        cryptoMarketConfig={"asset": "sol", "duration": "15m", "twapEnabled": True, "twapLookbackSeconds": 4},
    )
    assert (found.closes_at - found.opens_at).total_seconds() == 40.5
    assert (found.lookback_s, found.instrument) == (4, "SOL")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"version": "v9"}, UnknownVersion),
        ({"version": "v2"}, None),  # no position ids yet
        ({"version": "v2", "positionIds": [TOKEN, OTHER_TOKEN]}, UnknownVersion),
        ({"clobTokenIds": json.dumps([V2_TOKEN, str(int(V2_TOKEN) + 1)])}, UnknownVersion),
        ({"feeType": "crypto_fees_v9"}, UnknownFeeType),
        ({"feeSchedule": None}, UnknownFeeType),
        ({"feeSchedule": {"exponent": 3, "rate": Decimal("0.07"), "takerOnly": True}}, UnknownFeeType),
        ({"feeSchedule": {"exponent": Decimal("1.5"), "rate": Decimal("0.07"), "takerOnly": True}}, UnknownFeeType),
        ({"feeSchedule": {"exponent": 1, "rate": Decimal("-0.07"), "takerOnly": True}}, UnknownFeeType),
        ({"feeSchedule": {"exponent": 1, "rate": Decimal("0.07"), "takerOnly": False}}, UnknownFeeType),
        ({"resolutionSource": "https://somebody.example", "cryptoMarketConfig": None}, UnknownRule),
        ({"cryptoMarketConfig": {"twapEnabled": True}}, UnknownRule),
        ({"outcomes": '["Down", "Up"]'}, Malformed),
        ({"outcomes": '["Yes", "No"]'}, Malformed),
        ({"outcomes": "not json"}, Malformed),
        ({"clobTokenIds": json.dumps([TOKEN])}, Malformed),
        ({"clobTokenIds": json.dumps([TOKEN, TOKEN])}, Malformed),
        ({"clobTokenIds": json.dumps([TOKEN, "abc"])}, Malformed),
        ({"endDate": "2026-10-05T23:00:00Z"}, Malformed),
        ({"endDate": "2026-10-05T23:15:00"}, Malformed),  # no zone: not a moment
        ({"eventStartTime": None}, Malformed),
        ({"orderPriceMinTickSize": None}, Malformed),
    ],
)  # fmt: skip
def test_what_decides_money_and_is_unknown_is_refused_by_name(changes, refusal):
    if refusal is None:
        assert listing(**changes).up_token is None
        return
    with pytest.raises(refusal) as raised:
        listing(**changes)
    assert raised.value.kind == refusal.__name__


@pytest.mark.parametrize("nothing", ["", None, "[]"])
def test_a_market_whose_tokens_are_not_made_yet_is_listed_without_them(nothing):
    found = listing(clobTokenIds=nothing)
    assert (found.up_token, found.down_token) == (None, None)


def test_a_protocol_v2_market_has_its_ids_elsewhere():
    pair = [V2_TOKEN, str(int(V2_TOKEN) + 1)]
    found = listing(version="v2", positionIds=pair)
    assert (found.version, found.up_token, found.down_token) == ("v2", *pair)


def test_a_market_from_before_versions_is_told_by_its_asset_ids():
    assert listing(version=None).version == "v1"
    with pytest.raises(UnknownVersion):
        listing(version=None, clobTokenIds=json.dumps([V2_TOKEN, str(int(V2_TOKEN) + 1)]))


def test_a_market_without_fees_costs_none():
    assert listing(feesEnabled=False, feeSchedule=None, feeType=None).fee == FeeSchedule(Decimal(0), 1)


@pytest.mark.parametrize(
    ("source", "rule", "lookback_s"),
    [
        ("https://data.chain.link/streams/btc-usd-twap-30s-streams", SettlementRule.CHAINLINK_TWAP, 30),
        ("https://data.chain.link/streams/btc-usd", SettlementRule.CHAINLINK_SPOT, 0),
        ("https://www.binance.com/en/trade/BTC_USDT", SettlementRule.BINANCE_CANDLE, 0),
    ],
)
def test_without_its_own_metadata_the_resolution_source_says_the_rule(source, rule, lookback_s):
    found = listing(resolutionSource=source, cryptoMarketConfig=None)
    assert (found.rule, found.lookback_s) == (rule, lookback_s)


@pytest.mark.parametrize(
    ("slug", "instrument", "interval"),
    [
        ("eth-updown-5m-1791241200", "ETH", "5m"),
        ("bitcoin-up-or-down-september-13-2026-3pm-et", "BTC", "1h"),
        ("solana-up-or-down-on-march-12", "SOL", "1d"),
    ],
)
def test_a_slug_tells_instrument_and_interval(slug, instrument, interval):
    found = listing(slug=slug, cryptoMarketConfig=None)
    assert (found.instrument, found.interval) == (instrument, interval)
    assert instrument_of(slug, None) == instrument


@pytest.mark.parametrize(
    ("closed", "prices", "payout"),
    [
        (True, ["1", "0"], (1, 0)),
        (True, ["0", "1"], (0, 1)),
        (True, ["0.5", "0.5"], (Decimal("0.5"), Decimal("0.5"))),
        (True, ["0.9995", "0.0005"], None),
        (False, ["1", "0"], None),
        (True, ["1", "1"], None),
        (True, ["1"], None),
    ],
)
def test_gamma_has_resolved_only_when_closed_at_exact_prices(closed, prices, payout):
    found = listing(
        closed=closed, outcomePrices=json.dumps(prices), umaEndDate="2026-10-05T23:15:53Z"
    ).resolution
    assert (None if found is None else (found.payout_up, found.payout_down)) == payout


def test_the_winner_is_the_side_that_was_paid():
    assert listing(closed=True, outcomePrices='["0", "1"]').resolution.winner is Side.DOWN
    assert listing(closed=True, outcomePrices='["0.5", "0.5"]').resolution.winner is None


def test_the_clobs_own_market_is_read():
    market = parse_clob_market(CLOB_MARKET, NOW)
    assert (market.up_token, market.down_token, market.tick, market.min_size) == (
        TOKEN,
        OTHER_TOKEN,
        Decimal("0.01"),
        5,
    )
    assert (market.fee, market.version, market.accepting, market.taker_delay) == (FEE, "v1", True, True)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"v": "v9"}, UnknownVersion),
        ({"fd": None}, UnknownFeeType),
        ({"fd": {"r": Decimal("0.07"), "e": 7, "to": True}}, UnknownFeeType),
        ({"t": [{"t": TOKEN, "o": "Up"}]}, Malformed),
        ({"mts": "NaN"}, Malformed),
    ],
)
def test_an_unknown_clob_market_is_refused_by_name(changes, refusal):
    with pytest.raises(refusal):
        parse_clob_market(CLOB_MARKET | changes, NOW)


def test_the_clobs_winner_flags_are_believed_only_when_it_has_closed_and_named_one():
    assert parse_clob_winner(LONG_MARKET).winner is Side.UP
    assert parse_clob_winner(LONG_MARKET | {"closed": False}) is None
    undecided = [token | {"winner": False} for token in LONG_MARKET["tokens"]]
    assert parse_clob_winner(LONG_MARKET | {"tokens": undecided}) is None
    assert parse_clob_winner(LONG_MARKET | {"is_50_50_outcome": True}).payout_up == Decimal("0.5")


def test_the_data_apis_payouts_are_micro_dollars_in_outcome_order():
    row = {
        "condition_id": CONDITION,
        "status": "resolved",
        "payouts": [0, 1000000],
        "resolved_at": "2026-10-05T23:00:53Z",
    }
    found = parse_resolution(row)
    assert (found.winner, found.resolved_at.second, found.source) == (Side.DOWN, 53, "data")
    assert parse_resolution(row | {"status": "proposed"}) is None
    for bad in ([1000000, 1000000], [1000000], [1, 0], None):
        with pytest.raises(Malformed):
            parse_resolution(row | {"payouts": bad})
