"""What the recordings taught: the constants of derived and generated worlds, and how each was measured.

Each figure is measured again from ONEBOOK_RECORDINGS by tests/unit/services/simulator/test_calibration.py.
Times are seconds of a real window, basis points are 1e-4 of the price. PURE.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Lag:
    """Receive time minus source time: a floor and a log-normal excess."""

    floor_s: float
    excess_median_s: float
    excess_spread: float


@dataclass(frozen=True, slots=True)
class AssetFigures:
    """One coin: where its price starts and how it moves; ``measured`` is False where no recording has it."""

    name: str
    series_id: str
    level: float  # USD, mean of latency_ticks_4assets_20260427
    volatility_bp: float  # per square root of a second
    basis_bp: float  # Binance over Chainlink, standing part
    basis_spread_bp: float  # standard deviation of the moving part
    price_step: Decimal  # Binance's tick
    measured: bool = True


# chainlink_btc_settlement_20260608, receive - feed time of 84,558 reports: p5 0.99, p50 1.32, p95 1.90 s;
# latency_ticks_4assets_20260427 agrees for four assets (1.05, 1.31, 1.80 s).
CHAINLINK_LAG = Lag(floor_s=0.57, excess_median_s=0.75, excess_spread=0.35)
# latency_ticks_4assets_20260427, Binance through the relay: p5 0.34-0.42, p50 0.39-0.47, p95 0.51-0.63 s.
# The direct socket of that recording stamps at receipt, so its own lag is not known and this stands for it.
BINANCE_LAG = Lag(floor_s=0.33, excess_median_s=0.09, excess_spread=0.60)

# BTC volatility: chainlink_btc_settlement_20260608, returns over 60 to 900 s, 0.95-1.02 bp per root second.
# The others: their 1 s volatility over BTC's in latency_ticks_4assets_20260427 (ETH 1.8, SOL 1.2, XRP 0.8).
# Basis: Binance mid over the Chainlink report of the same second there, mean and standard deviation.
# Series ids: only BTC's 15-minute one is the venue's; the others follow it so that they differ.
ASSETS: Mapping[str, AssetFigures] = MappingProxyType(
    {
        "btc": AssetFigures("Bitcoin", "10192", 76_978.0, 1.00, 0.32, 0.22, Decimal("0.01")),
        "eth": AssetFigures("Ethereum", "10193", 2_292.4, 1.80, 0.15, 0.58, Decimal("0.01")),
        "sol": AssetFigures("Solana", "10194", 84.48, 1.24, -0.15, 0.44, Decimal("0.01")),
        "xrp": AssetFigures("XRP", "10195", 1.3958, 0.77, 0.38, 0.27, Decimal("0.0001")),
        "doge": AssetFigures("Dogecoin", "10196", 0.1, 1.50, 0.2, 0.4, Decimal("0.00001"), measured=False),
        "bnb": AssetFigures("BNB", "10197", 620.0, 0.80, 0.2, 0.4, Decimal("0.01"), measured=False),
    }
)
SERIES_ID_BTC_5M = "10684"

# Standard deviation of log volatility from one 15 minutes to the next (same recording, 60 s returns: 0.39,
# of which about a quarter is the error of estimating it from 15 returns).
VOLATILITY_SPREAD = 0.33
# Chainlink against the quoted side, chainlink_quote_btc5m_20260707: within a window the market's z-score strays
# from the one the price gives by 0.29 (median window), half of it gone after 10 s of 300. Half of it is taken:
# the measured one also holds the error of assuming one volatility for the whole window.
OPINION_SPREAD = 0.15
OPINION_MEMORY = 0.05  # of the window's length

# book_l2_btc5m_20260416, 50,683 frames: spread in cents and its share of the frames.
SPREAD_CENTS: tuple[tuple[int, float], ...] = ((1, 0.807), (2, 0.105), (3, 0.043), (4, 0.022), (5, 0.023))
# Same frames: shares at the best level and at the seven behind it, median and spread of the logarithm.
BEST_SIZE_MEDIAN, BEST_SIZE_SPREAD = 261.0, 1.57
DEEP_SIZE_MEDIAN, DEEP_SIZE_SPREAD = 430.0, 1.05
LADDER_LEVELS = 8
# Same frames: one every 98 ms on average; the best price moves in 15 % of them.
FRAME_GAP_S = 0.098
BEST_MOVES_SHARE = 0.154

# Gamma `closed` after the end: median 55 s of a 15-minute window (October 2026).
RESOLUTION_DELAY_SHARE = 55 / 900
