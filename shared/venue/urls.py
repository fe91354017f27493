"""Where the world is: a service knows nothing of the venue but these addresses (D11)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VenueUrls:
    """Base addresses without a trailing slash; the defaults are the real venue's (October 2026)."""

    clob: str = "https://clob.polymarket.com"
    gamma: str = "https://gamma-api.polymarket.com"
    data: str = "https://data-api.polymarket.com"
    site: str = "https://polymarket.com"
    relayer: str = "https://relayer-v2.polymarket.com"
    rpc: str = "https://polygon.drpc.org"
    market_stream: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    user_stream: str = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    polybolt: str = "wss://ws-live-v2.polymarket.com/ws"
    binance: str = "wss://stream.binance.com:9443/stream"
