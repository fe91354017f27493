"""PURE: markets and their ends → our values. What decides money and is unknown is refused by name (D2, D9)."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

from shared.domain.fees import is_supported
from shared.domain.ids import ConditionId, Instrument, TokenId, WindowId
from shared.domain.money import ONE, ZERO, from_micro
from shared.domain.windows import FeeSchedule, SettlementRule
from shared.venue.listings import ClobMarket, MarketListing, Resolution
from shared.venue.order_struct import is_v2_position_id
from shared.venue.parse import read
from shared.venue.refusals import Malformed, UnknownFeeType, UnknownRule, UnknownVersion
from shared.venue.wire import (
    WireClobMarket,
    WireEventMetadata,
    WireGammaEvent,
    WireGammaMarket,
    WireLongMarket,
    WireResolution,
)

T = TypeVar("T")

FEE_TYPES = frozenset({"crypto_fees_v2"})
"""The fee types whose schedule we know how to compute."""
NO_FEE = FeeSchedule(ZERO, 1)
_HALF = Decimal("0.5")
_OUTCOMES = ("Up", "Down")
_NAMES: Mapping[str, Instrument] = MappingProxyType(
    {
        "bitcoin": Instrument("BTC"),
        "ethereum": Instrument("ETH"),
        "solana": Instrument("SOL"),
        "dogecoin": Instrument("DOGE"),
        "hyperliquid": Instrument("HYPE"),
    }
)
"""Hourly and daily slugs spell these out; every other slug begins with the symbol."""
_EPOCH_SLUG = re.compile(r"^[a-z0-9]+-updown-(?P<interval>\d+[mhd])-\d+$")
_TWAP_SECONDS = re.compile(r"-twap-(?P<seconds>\d+)s")


def parse_event(data: object, read_at: datetime) -> tuple[MarketListing, ...]:
    """Return the markets of an event; in these series it is one, with the strike in the event's metadata.

    Raises:
        Refusal: the first market that is malformed or of an unknown version, fee or rule.
    """
    event = read(WireGammaEvent, data)
    metadata = event.metadata or WireEventMetadata()
    series = event.series[0].slug if event.series else ""
    return tuple(parse_market(market, metadata, series, read_at) for market in event.markets)


def parse_market(data: object, metadata: WireEventMetadata, series: str, read_at: datetime) -> MarketListing:
    """Return one Gamma market; raises a Refusal as ``parse_event``."""
    wire = read(WireGammaMarket, data)
    if wire.outcomes != _OUTCOMES:
        raise Malformed(f"{wire.slug}: outcomes are {wire.outcomes}, not Up and Down in this order")
    if wire.closes_at <= wire.opens_at:
        raise Malformed(f"{wire.slug}: it ends before it starts")
    version, up_token, down_token = _tokens(wire)
    rule, lookback_s = _rule(wire)
    return MarketListing(
        window_id=WindowId(wire.slug),
        instrument=instrument_of(wire.slug, wire.config.asset if wire.config else None),
        series=series,
        interval=_interval(wire),
        opens_at=wire.opens_at,
        closes_at=wire.closes_at,
        condition_id=ConditionId(wire.condition_id) if wire.condition_id else None,
        up_token=up_token,
        down_token=down_token,
        tick=wire.tick,
        min_size=wire.min_size,
        fee=_gamma_fee(wire),
        version=version,
        neg_risk=wire.neg_risk,
        rule=rule,
        lookback_s=lookback_s,
        resolution_source=wire.resolution_source,
        accepting=wire.accepting,
        closed=wire.closed,
        strike=metadata.strike,
        final_price=metadata.final_price,
        outcome_prices=_pair(wire.outcome_prices),
        resolution=_gamma_resolution(wire),
        read_at=read_at,
    )


def instrument_of(slug: str, asset: str | None) -> Instrument:
    """Return the upper-case symbol a market is about, by its own metadata or else by its slug."""
    word = (asset or slug.partition("-")[0]).lower()
    return _NAMES.get(word, Instrument(word.upper()))


def _interval(wire: WireGammaMarket) -> str:
    if wire.config and wire.config.duration:
        return wire.config.duration
    found = _EPOCH_SLUG.match(wire.slug)
    if found:
        return found["interval"]
    return "1d" if "-up-or-down-on-" in wire.slug else "1h"


def _tokens(wire: WireGammaMarket) -> tuple[str, TokenId | None, TokenId | None]:
    """Return version and the two asset ids, None while the venue has not made them yet.

    Markets listed before Protocol V2 have no version; their asset ids say that they are v1.
    """
    if wire.version not in {None, "v1", "v2"}:
        raise UnknownVersion(
            f"{wire.slug}: market version {wire.version!r} is not known; trading it needs new code",
            version=str(wire.version),
        )
    ids = wire.position_ids if wire.version == "v2" else wire.token_ids
    if not ids:
        return wire.version or "v1", None, None
    pair = _pair(ids)
    if pair is None or pair[0] == pair[1]:
        raise Malformed(f"{wire.slug}: it does not have two asset ids")
    up_token, down_token = TokenId(pair[0]), TokenId(pair[1])
    version = wire.version or "v1"
    if any(is_v2_position_id(token) != (version == "v2") for token in (up_token, down_token)):
        raise UnknownVersion(
            f"{wire.slug}: its asset ids are not those of a {version} market", version=version
        )
    return version, up_token, down_token


def _rule(wire: WireGammaMarket) -> tuple[SettlementRule, int]:
    """Return which price decides, and how far back its average looks, by the market's own metadata (D9)."""
    source = wire.resolution_source.lower()
    if wire.config and wire.config.twap_enabled:
        if not wire.config.lookback_s or wire.config.lookback_s < 0:
            raise UnknownRule(f"{wire.slug}: an average decides, but not over how many seconds")
        return SettlementRule.CHAINLINK_TWAP, wire.config.lookback_s
    if "data.chain.link" in source:
        found = _TWAP_SECONDS.search(source)
        if found:
            return SettlementRule.CHAINLINK_TWAP, int(found["seconds"])
        return SettlementRule.CHAINLINK_SPOT, 0
    if "binance.com" in source:
        return SettlementRule.BINANCE_CANDLE, 0
    raise UnknownRule(f"{wire.slug}: no rule is known for resolution source {wire.resolution_source!r}")


def _gamma_fee(wire: WireGammaMarket) -> FeeSchedule:
    if not wire.fees_enabled:
        return NO_FEE
    if wire.fee_type is not None and wire.fee_type not in FEE_TYPES:
        raise UnknownFeeType(f"{wire.slug}: fee type {wire.fee_type!r} is not known", fee_type=wire.fee_type)
    if wire.fee is None:
        raise UnknownFeeType(f"{wire.slug}: fees are on, but it has no fee schedule")
    return _schedule(wire.slug, wire.fee.rate, wire.fee.exponent, taker_only=wire.fee.takerOnly)


def _schedule(name: str, rate: Decimal, exponent: Decimal, *, taker_only: bool) -> FeeSchedule:
    schedule = FeeSchedule(rate, int(exponent), taker_only)
    if exponent != int(exponent) or not is_supported(schedule):
        raise UnknownFeeType(
            f"{name}: a fee of rate {rate}, exponent {exponent}, taker only {taker_only} is not known"
        )
    return schedule


def _gamma_resolution(wire: WireGammaMarket) -> Resolution | None:
    """Return the payout once the market is closed at exact prices; before, prices drift to 0.9995 and mean nothing."""
    prices = _pair(wire.outcome_prices)
    if not wire.closed or prices is None or not _is_payout(prices):
        return None
    return Resolution(prices[0], prices[1], wire.closed_at, "gamma")


def _is_payout(pair: tuple[Decimal, Decimal]) -> bool:
    return pair in {(ONE, ZERO), (ZERO, ONE), (_HALF, _HALF)}


def _pair(values: Sequence[T] | None) -> tuple[T, T] | None:
    return (values[0], values[1]) if values is not None and len(values) == 2 else None  # noqa: PLR2004


def parse_clob_market(data: object, read_at: datetime) -> ClobMarket:
    """Return the matching engine's view of a market; raises a Refusal as ``parse_event``."""
    wire = read(WireClobMarket, data)
    tokens = {token.outcome: TokenId(token.token) for token in wire.tokens}
    if set(tokens) != set(_OUTCOMES):
        raise Malformed(f"{wire.condition}: outcomes are {sorted(tokens)}, not Up and Down")
    version = wire.version or "v1"  # v1 markets leave it out
    if version not in {"v1", "v2"}:
        raise UnknownVersion(f"{wire.condition}: market version {version!r} is not known", version=version)
    return ClobMarket(
        condition_id=ConditionId(wire.condition),
        up_token=tokens["Up"],
        down_token=tokens["Down"],
        tick=wire.tick,
        min_size=wire.min_size,
        fee=_clob_fee(wire),
        version=version,
        neg_risk=wire.neg_risk,
        accepting=wire.accepting,
        taker_delay=wire.taker_delay,
        read_at=read_at,
    )


def _clob_fee(wire: WireClobMarket) -> FeeSchedule:
    if wire.fee is None:
        raise UnknownFeeType(f"{wire.condition}: the CLOB gives no fee for it")
    return _schedule(wire.condition, wire.fee.rate, wire.fee.exponent, taker_only=wire.fee.taker_only)


def parse_clob_winner(data: object) -> Resolution | None:
    """Return what the CLOB's own winner flags say; None until it has closed the market and named one."""
    wire = read(WireLongMarket, data)
    winners = {token.outcome: token.winner for token in wire.tokens}
    if set(winners) != set(_OUTCOMES):
        raise Malformed(f"{wire.condition_id}: outcomes are {sorted(winners)}, not Up and Down")
    if not wire.closed:
        return None
    if wire.is_50_50_outcome:
        return Resolution(_HALF, _HALF, None, "clob")
    if winners["Up"] == winners["Down"]:
        return None
    return Resolution(Decimal(winners["Up"]), Decimal(winners["Down"]), None, "clob")


def parse_resolution(data: object) -> Resolution | None:
    """Return what the Data API says of the payout, None before ``resolved``; payouts are micro-USDC, Up first."""
    wire = read(WireResolution, data)
    if wire.status != "resolved":
        return None
    paid = _pair(wire.payouts)
    if paid is None or not _is_payout((from_micro(paid[0]), from_micro(paid[1]))):
        raise Malformed(f"{wire.condition_id}: payouts are {wire.payouts}")
    return Resolution(from_micro(paid[0]), from_micro(paid[1]), wire.resolved_at, "data")
