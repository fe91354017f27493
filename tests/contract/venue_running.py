"""The simulator, served on loopback inside the test, and our own client of it.

The simulator and the client share one clock, so time can jump: a window of two minutes is over at once.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
from pydantic import SecretStr

from services.simulator.config import SimulatorSettings
from services.simulator.serving import Simulator, build, serve, start_ms
from services.simulator.sources import world_from
from shared.domain.books import Book
from shared.domain.ids import AccountId, PositionId, SignalId, order_salt
from shared.domain.modes import Mode
from shared.domain.orders import OrderSide, OrderType, Purpose
from shared.domain.prepared import OrderIntent
from shared.domain.windows import Side
from shared.runtime.clock import SystemClock
from shared.venue.account_reading import AccountReading
from shared.venue.cancelling import Cancelling
from shared.venue.credentials import Credentials, RelayerKey
from shared.venue.executor import TradedMarket
from shared.venue.listings import MarketListing
from shared.venue.onboarding import credentials
from shared.venue.reading import PublicReading
from shared.venue.redeeming import RelayerRedeeming
from shared.venue.signing import DEPOSIT_WALLET, OrderSigner
from shared.venue.trading import LiveTrading, order_signer
from shared.venue.urls import VenueUrls

KEY = SecretStr("0x" + "5a" * 32)
OTHER_KEY = SecretStr("0x" + "6b" * 32)
INSTRUMENT = "BTC"


class JumpingClock(SystemClock):
    """The system's clock, some way ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclass
class Running:
    """The fake venue and its addresses."""

    simulator: Simulator
    clock: JumpingClock
    control: httpx.AsyncClient
    lookback_s: int

    @property
    def urls(self) -> VenueUrls:
        urls = self.simulator.urls
        return VenueUrls(
            clob=urls["clob_url"],
            gamma=urls["gamma_url"],
            data=urls["data_url"],
            relayer=urls["relayer_url"],
            rpc=urls["rpc_url"],
            market_stream=urls["clob_market_ws_url"],
            user_stream=urls["clob_user_ws_url"],
            polybolt=urls["polybolt_url"],
            binance=urls["binance_url"],
        )

    async def tell(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.control.post(f"/_sim/{path}", json=body)
        answer.raise_for_status()
        return answer.json()

    async def truth(self) -> dict[str, Any]:
        return (await self.control.get("/_sim/truth")).json()

    async def fault(self, name: str, **options: Any) -> None:
        await self.tell("faults", name=name, **options)

    def jump(self, seconds: float) -> None:
        """Let the venue's time pass, in steps: at one go it would be a stall."""
        for _ in range(round(seconds * 10)):
            self.clock.ahead += timedelta(milliseconds=100)
            self.simulator.venue.exchange.timetable.run_until(self.simulator.venue.now_ms())


@dataclass
class Trader:
    """One funded deposit wallet and all our ways to the venue."""

    running: Running
    signer: OrderSigner
    credentials: Credentials
    public: PublicReading
    account: AccountReading
    trading: LiveTrading
    cancelling: Cancelling
    orders: int = 0

    async def open_market(self) -> MarketListing:
        """Return a market that is open, letting time pass until one is."""
        found = await self.public.discover(INSTRUMENT, "15m", self.running.clock.now())
        listing = found.listings[0]
        wait_s = (listing.opens_at - self.running.clock.now()).total_seconds() + 1
        self.running.jump(max(wait_s, 0))
        return listing

    async def book(self, listing: MarketListing, side: Side = Side.UP) -> Book:
        book = await self.public.book(listing.as_window().token(side))
        assert book is not None
        return book

    def intent(self, listing: MarketListing, **changes: Any) -> OrderIntent:
        self.orders += 1
        values = {
            "account_id": AccountId("default"),
            "mode": Mode.LIVE,
            "purpose": Purpose.ENTRY,
            "signal_id": SignalId("sig"),
            "position_id": PositionId("pos"),
            "window_id": listing.window_id,
            "token_id": listing.up_token,
            "side": OrderSide.BUY,
            "order_type": OrderType.FAK,
            "limit_price": Decimal("0.99"),
            "amount": Decimal(5),
            "tick": listing.tick,
            "neg_risk": listing.neg_risk,
            "version": listing.version,
            "salt": order_salt(f"intent {self.orders}"),
            "timestamp_ms": int(self.running.clock.now().timestamp() * 1000),
        }
        return OrderIntent(**(values | changes))

    def market(self, listing: MarketListing) -> TradedMarket:
        return TradedMarket(listing.condition_id, listing.fee)


def yes() -> bool:
    return True


@asynccontextmanager
async def trader(running: Running, *, usdc: str = "100", key: SecretStr = KEY) -> AsyncIterator[Trader]:
    """Return a wallet with money, logged in."""
    owner = order_signer(key).address
    funded = await running.tell("accounts", address=owner, signature_type=DEPOSIT_WALLET, usdc=usdc)
    signer = order_signer(key, wallet=funded["wallet"], signature_type=DEPOSIT_WALLET)
    urls, clock = running.urls, running.clock
    login = await credentials(signer, urls, clock)
    relayer_key = RelayerKey(SecretStr(funded["relayer_api_key"]), owner)
    async with (
        PublicReading(urls, clock) as public,
        AccountReading(urls, login, clock, signature_type=DEPOSIT_WALLET) as account,
        RelayerRedeeming(urls, signer, relayer_key, clock) as redeeming,
        LiveTrading(urls, signer, login, clock, account=account, redeeming=redeeming) as trading,
        Cancelling(urls, login, clock) as cancelling,
    ):
        yield Trader(running, signer, login, public, account, trading, cancelling)


async def against_simulator(check: Callable[[Running], Awaitable[None]], **changes: Any) -> None:
    """Run a check against a fresh simulator of its own."""
    values = {
        "source": "generator",
        "first_open_in_s": 3,
        "window_s": 60,
        "lookback_s": 4,
        "relayer_mined_s": 0.02,
        "taker_hold_ms": 5,
    }
    settings = SimulatorSettings(**(values | changes))
    clock = JumpingClock()
    simulator = build(settings, world_from(settings, start_ms(clock)), clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(simulator, settings))
        await simulator.ready.wait()
        try:
            async with httpx.AsyncClient(base_url=simulator.urls["control_url"]) as control:
                await check(Running(simulator, clock, control, settings.lookback_s or 60))
        finally:
            simulator.stop.set()


def chance() -> random.Random:
    return random.Random(7)


async def placed(running: Running, order_id: str) -> bool:
    """Return whether the venue really took the order."""
    return order_id in {row["id"] for row in (await running.truth())["orders"]}


async def order_truth(running: Running, order_id: str) -> dict[str, Any]:
    """Return what the order became at the venue."""
    (found,) = [row for row in (await running.truth())["orders"] if row["id"] == order_id]
    return found


async def arrivals(running: Running, order_id: str) -> list[dict[str, Any]]:
    """Return every time the order reached the venue, placed or not."""
    return [row for row in (await running.truth())["arrivals"] if row["id"] == order_id]


async def money(running: Running, me: Trader) -> Decimal:
    """Return the wallet's cash after everything on the way."""
    wallet = (await running.truth())["wallets"][me.signer.wallet]
    return Decimal(wallet["cash"]) + Decimal(wallet["cash_pending"])
