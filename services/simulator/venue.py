"""The whole fake venue in one hand: what every surface of it is given."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from services.simulator.arrivals import Arrivals
from services.simulator.exchange import Exchange
from services.simulator.faults import Faults
from services.simulator.rate_limits import RateLimits
from services.simulator.venue_auth import ApiKeys
from services.simulator.wire import compact
from shared.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Venue:
    """Engine, keys, faults and time."""

    exchange: Exchange
    keys: ApiKeys
    faults: Faults
    clock: Clock
    arrivals: Arrivals = field(default_factory=Arrivals)
    limits: RateLimits = field(default_factory=RateLimits)

    def now_ms(self) -> int:
        """Unix milliseconds of the venue's clock."""
        return to_ms(self.clock.now())

    def wallets_of_key(self, api_key: str) -> list[str]:
        """Return the wallets an API key may trade with."""
        owner = self.keys.address_of(api_key)
        return [wallet.address for wallet in self.exchange.wallets.values() if wallet.owner == owner]


def to_ms(moment: datetime) -> int:
    """Return Unix milliseconds."""
    return int(moment.timestamp() * 1000)


def answer(body: Any, status: int = 200) -> web.Response:
    """Return compact JSON."""
    return web.Response(text=compact(body), status=status, content_type="application/json")


def error(status: int, text: str) -> web.Response:
    """Return the venue's error shape."""
    return answer({"error": text}, status)
