"""Measures the constants of calibration.py again, from the recordings themselves."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import exp, isfinite, log
from pathlib import Path
from statistics import NormalDist, fmean, median, quantiles, stdev
from typing import Any

import pytest
from pyarrow import parquet

from services.simulator import calibration
from services.simulator.calibration import ASSETS, BINANCE_LAG, CHAINLINK_LAG, SPREAD_CENTS, Lag
from tests.recordings import recorded_sets

MEASURED = [asset for asset, figures in ASSETS.items() if figures.measured]


@pytest.fixture(scope="module")
def root() -> Path:
    return recorded_sets(
        "that generated markets move like recorded ones, so a strategy tried on them could learn what is not so"
    )


def columns(path: Path, *names: str) -> list[Sequence[Any]]:
    table = parquet.read_table(path, columns=list(names))
    return [table.column(name).to_pylist() for name in names]


def modelled(lag: Lag, share: float) -> float:
    return lag.floor_s + lag.excess_median_s * exp(lag.excess_spread * NormalDist().inv_cdf(share))


def percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(values, n=20)
    return cuts[0], median(values), cuts[18]


@pytest.fixture(scope="module")
def relay(root: Path) -> dict[tuple[str, str], list[tuple[int, int, float]]]:
    """Source and asset -> (source ms, receive ms, price)."""
    ticks = defaultdict(list)
    path = root / "latency_ticks_4assets_20260427" / "ticks.parquet"
    for source, asset, price, sent_ms, received_ms in zip(
        *columns(path, "source", "asset", "price", "msg_ts_ms", "recv_ts_ms"), strict=True
    ):
        ticks[source, asset.lower()].append((sent_ms, received_ms, price))
    return ticks


@pytest.fixture(scope="module")
def frames(root: Path) -> list[Sequence[Any]]:
    path = root / "book_l2_btc5m_20260416" / "book_l2_top8.parquet"
    return columns(path, "asset_id", "ts_ms", "best_bid", "best_ask", "bid_sz")


def test_chainlink_lags_as_over_a_whole_day(root: Path) -> None:
    path = root / "chainlink_btc_settlement_20260608" / "chainlink_btcusd_1s.parquet"
    lags = [
        (received - sent) / 1000
        for received, sent in zip(*columns(path, "recv_ms", "feed_ts_ms"), strict=True)
    ]
    for share, measured in zip((0.05, 0.5, 0.95), percentiles(lags), strict=True):
        assert modelled(CHAINLINK_LAG, share) == pytest.approx(measured, abs=0.07)


@pytest.mark.parametrize("asset", MEASURED)
def test_both_lags_fit_the_relay_for_every_asset(
    relay: dict[tuple[str, str], list[tuple[int, int, float]]], asset: str
) -> None:
    for source, lag in (("chainlink_rtds", CHAINLINK_LAG), ("binance_rtds", BINANCE_LAG)):
        lags = [(received - sent) / 1000 for sent, received, _ in relay[source, asset]]
        for share, measured in zip((0.05, 0.5, 0.95), percentiles(lags), strict=True):
            assert modelled(lag, share) == pytest.approx(measured, abs=0.13)


@pytest.mark.parametrize("asset", MEASURED)
def test_the_level_and_the_basis_are_those_of_the_four_assets(
    relay: dict[tuple[str, str], list[tuple[int, int, float]]], asset: str
) -> None:
    reports = sorted(relay["chainlink_rtds", asset])
    binance = sorted((received, price) for _, received, price in relay["binance_direct", asset])
    gaps, latest = [], 0
    for at_ms, _, price in reports:
        while latest + 1 < len(binance) and binance[latest + 1][0] <= at_ms:
            latest += 1
        gaps.append((binance[latest][1] / price - 1) * 1e4)
    figures = ASSETS[asset]
    assert fmean(price for _, _, price in reports) == pytest.approx(figures.level, rel=1e-3)
    assert fmean(gaps) == pytest.approx(figures.basis_bp, abs=0.06)
    assert stdev(gaps) == pytest.approx(figures.basis_spread_bp, abs=0.06)


def test_the_volatility_of_bitcoin_is_that_of_a_whole_day(root: Path) -> None:
    path = root / "chainlink_btc_settlement_20260608" / "chainlink_btcusd_1s.parquet"
    prices = dict(zip(*columns(path, "feed_ts_ms", "value"), strict=True))
    for horizon_s in (60, 300, 900):
        moves = [
            log(prices[at_ms + horizon_s * 1000] / price)
            for at_ms, price in prices.items()
            if at_ms % (horizon_s * 1000) == 0 and at_ms + horizon_s * 1000 in prices
        ]
        assert stdev(moves) * 1e4 / horizon_s**0.5 == pytest.approx(ASSETS["btc"].volatility_bp, rel=0.1)


@pytest.mark.parametrize("asset", [asset for asset in MEASURED if asset != "btc"])
def test_the_other_volatilities_stand_to_bitcoins_as_recorded(
    relay: dict[tuple[str, str], list[tuple[int, int, float]]], asset: str
) -> None:
    def volatility(name: str) -> float:
        prices = [price for _, _, price in sorted(relay["chainlink_rtds", name])]
        return stdev(log(later / price) for price, later in pairwise(prices))

    assert volatility(asset) / volatility("btc") == pytest.approx(ASSETS[asset].volatility_bp, abs=0.1)


def test_spreads_occur_as_often_as_in_the_deep_recording(frames: list[Sequence[Any]]) -> None:
    cents = [
        max(round((ask - bid) * 100), 1)
        for bid, ask in zip(frames[2], frames[3], strict=True)
        if bid is not None and ask is not None and isfinite(ask - bid)
    ]
    for width, share in SPREAD_CENTS:
        widest = width == SPREAD_CENTS[-1][0]
        found = sum(value >= width if widest else value == width for value in cents)
        assert found / len(cents) == pytest.approx(share, abs=0.005)
    assert sum(share for _, share in SPREAD_CENTS) == pytest.approx(1)


def test_sizes_are_those_of_the_deep_recording(frames: list[Sequence[Any]]) -> None:
    ladders = [sizes for sizes in frames[4] if len(sizes) == calibration.LADDER_LEVELS]
    best = [sizes[0] for sizes in ladders]
    deep = [size for sizes in ladders for size in sizes[1:]]
    assert median(best) == pytest.approx(calibration.BEST_SIZE_MEDIAN, rel=0.05)
    assert median(deep) == pytest.approx(calibration.DEEP_SIZE_MEDIAN, rel=0.05)
    assert stdev(map(log, best)) == pytest.approx(calibration.BEST_SIZE_SPREAD, rel=0.05)
    assert stdev(map(log, deep)) == pytest.approx(calibration.DEEP_SIZE_SPREAD, rel=0.05)


def test_books_change_as_often_as_in_the_deep_recording(frames: list[Sequence[Any]]) -> None:
    by_token = defaultdict(list)
    for token, at_ms, bid, ask in zip(*frames[:4], strict=True):
        by_token[token].append((at_ms, str(bid), str(ask)))
    gaps, moved = [], 0
    for found in by_token.values():
        for (at_ms, *best), (later_ms, *later_best) in pairwise(sorted(found)):
            gaps.append((later_ms - at_ms) / 1000)
            moved += best != later_best
    assert fmean(gaps) == pytest.approx(calibration.FRAME_GAP_S, rel=0.03)
    assert moved / len(gaps) == pytest.approx(calibration.BEST_MOVES_SHARE, abs=0.01)


def test_the_opinion_is_half_of_what_markets_stray_from_the_price(root: Path) -> None:
    folder = root / "chainlink_quote_btc5m_20260707"
    with (folder / "windows.csv").open(newline="") as opened:
        strikes = {int(row["window_epoch"]): float(row["price_to_beat"]) for row in csv.DictReader(opened)}
    pairs = defaultdict(list)
    names = ("window_epoch", "seconds_left", "quoted_side", "quote", "chainlink_btcusd")
    for epoch, left_s, side, quote, price in zip(
        *columns(folder / "quote_chainlink_1s.parquet", *names), strict=True
    ):
        chance = 0.5 if side == "EVEN" else quote if side == "UP" or quote is None else 1 - quote
        if left_s > 10 and chance is not None and 0.1 < chance < 0.9:
            pairs[epoch].append((NormalDist().inv_cdf(chance), (price - strikes[epoch]) / left_s**0.5))
    everything = [pair for found in pairs.values() for pair in found]
    dollars = sum(z * moved for z, moved in everything) / sum(z * z for z, _ in everything)
    strays = [stdev(moved / dollars - z for z, moved in found) for found in pairs.values()]
    assert median(strays) / 2 == pytest.approx(calibration.OPINION_SPREAD, abs=0.02)
