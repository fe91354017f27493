"""The venue's own SDK, unmodified but for its addresses, trades against the simulator.

Time jumps: the venue's clock is the system's plus an offset, so a window of two minutes is over at once. The look-back
is 60 seconds because the SDK asks for no other.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal

import aiohttp
import pytest
from polymarket import AsyncSecureClient, environments
from polymarket.auth import RelayerApiKey
from polymarket.errors import RequestRejectedError
from polymarket.streams import CryptoTwapPriceSpec, MarketSpec, UserSpec

from services.simulator.config import SimulatorSettings
from services.simulator.orders import Market
from services.simulator.serving import Simulator, build, serve, start_ms
from services.simulator.signatures import SignedFields, deposit_wallet_of, domain_for, order_id
from services.simulator.sources import world_from
from shared.runtime.clock import SystemClock

PRIVATE_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"  # Anvil's first, public
OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
WALLET = deposit_wallet_of(OWNER)


class JumpingClock(SystemClock):
    """The system's clock, some way ahead."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@dataclasses.dataclass
class Running:
    simulator: Simulator
    clock: JumpingClock
    http: aiohttp.ClientSession

    @property
    def market(self) -> Market:
        return next(iter(self.simulator.venue.exchange.listing.markets.values()))

    @property
    def up(self) -> str:
        return self.market.window.up_token

    @property
    def environment(self) -> environments.Environment:
        urls = self.simulator.urls
        addresses = {
            name: urls[name]
            for name in (
                "clob_url",
                "gamma_url",
                "data_url",
                "relayer_url",
                "rpc_url",
                "clob_market_ws_url",
                "clob_user_ws_url",
            )
        }
        config = dataclasses.replace(
            environments.PRODUCTION._config,
            **addresses,
            realtime_ws_url=urls["polybolt_url"],
            relayer_poll_frequency_ms=20,
        )
        return environments._create_environment(name="local", config=config)

    async def fund(self, **account: object) -> dict[str, str]:
        url = f"{self.simulator.urls['control_url']}/_sim/accounts"
        async with self.http.post(url, json={"address": OWNER, "usdc": "100", **account}) as response:
            return await response.json()

    async def truth(self) -> dict:
        async with self.http.get(f"{self.simulator.urls['control_url']}/_sim/truth") as response:
            return await response.json()

    async def client(self, **options: object) -> AsyncSecureClient:
        funded = await self.fund()
        key = RelayerApiKey(key=funded["relayer_api_key"], address=OWNER)
        return await AsyncSecureClient.create(
            private_key=PRIVATE_KEY, environment=self.environment, api_key=key, **options
        )

    def jump(self, seconds: float) -> None:
        """Let the venue's time pass, in steps: at one go it would be a stall."""
        for _ in range(round(seconds * 10)):
            self.clock.ahead += timedelta(milliseconds=100)
            self.simulator.venue.exchange.timetable.run_until(self.simulator.venue.now_ms())


async def against_simulator(check: Callable[[Running], Awaitable[None]]) -> None:
    settings = SimulatorSettings(
        source="generator",
        first_open_in_s=60,  # the book stands still until then, however slow the machine is
        window_s=120,
        lookback_s=60,
        relayer_mined_s=0.02,
        taker_hold_ms=20,
        data_lag_s=20,
    )
    clock = JumpingClock()
    simulator = build(settings, world_from(settings, start_ms(clock)), clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(simulator, settings))
        await simulator.ready.wait()
        try:
            async with aiohttp.ClientSession() as http:
                await check(Running(simulator, clock, http))
        finally:
            simulator.stop.set()


async def test_a_deposit_wallet_trades_settles_and_redeems_to_the_last_cent():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            assert (client.wallet, client.wallet_type) == (WALLET, "DEPOSIT_WALLET")
            signed = await client.create_market_order(
                asset_id=running.up,
                side="BUY",
                amount=Decimal(5),
                max_price=Decimal("0.70"),
                order_type="FAK",
            )
            accepted = await client.post_order(signed)
            assert accepted.ok
            assert accepted.status == "matched"
            running.jump(5)
            await client.wait_for_order_fill_settlement(accepted)
            trades = (await client.list_account_trades().first_page()).items  # one for every level it met
            assert {trade.id for trade in trades} == set(accepted.trade_ids)
            assert {(trade.status, trade.taker_order_id, trade.trader_side) for trade in trades} == {
                ("CONFIRMED", accepted.order_id, "TAKER")
            }
            assert sum(trade.size for trade in trades) == accepted.taking_amount
            balance = await client.get_balance_allowance(asset_type="CONDITIONAL", asset_id=running.up)
            assert balance.balance == int(accepted.taking_amount * 1_000_000)
            truth = await running.truth()
            fee = Decimal(truth["orders"][0]["fee"])
            assert fee > 0
            assert Decimal(truth["wallets"][WALLET]["cash"]) == 100 - accepted.making_amount - fee
            running.jump(195)
            market = await client.get_market(slug=running.market.window.slug)
            assert market.state.closed
            assert [market.outcomes.yes.price, market.outcomes.no.price] in ([1, 0], [0, 1])
            outcome = await (await client.redeem_positions(condition_id=running.market.condition_id)).wait()
            truth = await running.truth()
            assert truth["redemptions"][0]["paid"] == (
                "%.6f" % (accepted.taking_amount * market.outcomes.yes.price)
            )
            assert outcome.transaction_hash
            assert truth["wallets"][WALLET]["tokens"] == {}

    await against_simulator(check)


async def test_a_limit_order_rests_is_read_back_and_cancelled():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            signed = [
                await client.create_limit_order(
                    asset_id=running.up, price=price, size="10", side="BUY", post_only=True
                )
                for price in ("0.10", "0.11", "0.12")
            ]
            first = await client.post_order(signed[0])
            others = await client.post_orders(signed[1:])
            ids = [first.order_id, *(other.order_id for other in others)]
            found = await client.get_order(order_id=first.order_id)
            assert (found.status, found.price, found.original_size, found.size_matched) == (
                "LIVE",
                Decimal("0.1"),
                10,
                0,
            )
            assert [order.id for order in (await client.list_open_orders().first_page()).items] == ids
            cancelled = await client.cancel_order(order_id=ids[0])
            assert cancelled.canceled == (ids[0],)
            again = await client.cancel_order(order_id=ids[0])
            assert (again.canceled, list(again.not_canceled)) == ((), [ids[0]])
            assert set((await client.cancel_all()).canceled) == set(ids[1:])
            assert (await client.get_order(order_id=ids[1])).status == "CANCELED"

    await against_simulator(check)


async def test_the_order_id_is_known_before_the_post_and_never_free_again():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            signed = await client.create_limit_order(asset_id=running.up, price="0.10", size="10", side="BUY")
            fields = SignedFields(
                signed.salt,
                signed.maker,
                signed.signer,
                int(signed.token_id),
                signed.maker_amount,
                signed.taker_amount,
                signed.side,
                signed.signature_type,
                signed.timestamp,
                signed.metadata,
                signed.builder,
            )
            accepted = await client.post_order(signed)
            assert accepted.order_id == order_id(fields, domain_for(int(signed.token_id), neg_risk=False))
            with pytest.raises(RequestRejectedError, match="Duplicated"):
                await client.post_order(signed)
            unmatched = await client.create_market_order(
                asset_id=running.up,
                side="BUY",
                amount=Decimal(5),
                max_price=Decimal("0.02"),
                order_type="FOK",
            )
            with pytest.raises(RequestRejectedError, match="fully filled or killed"):
                await client.post_order(unmatched)

    await against_simulator(check)


async def test_an_account_that_existed_before_may_trade_and_redeem_by_its_own_key():
    async def check(running: Running) -> None:
        await running.fund(wallet=OWNER, signature_type=0)
        async with await AsyncSecureClient.create(
            private_key=PRIVATE_KEY, wallet=OWNER, environment=running.environment
        ) as client:
            assert client.wallet_type == "EOA"
            signed = await client.create_market_order(
                asset_id=running.up,
                side="BUY",
                amount=Decimal("1.20"),
                max_price=Decimal("0.70"),
                order_type="FAK",
            )
            assert (await client.post_order(signed)).ok
            running.jump(195)
            handle = await client.redeem_positions(condition_id=running.market.condition_id)
            running.jump(1)
            await handle.wait()
            truth = await running.truth()
            assert truth["wallets"][OWNER]["tokens"] == {}
            assert len(truth["redemptions"]) == 1

    await against_simulator(check)


async def test_the_streams_tell_of_the_book_the_order_and_the_price():
    async def check(running: Running) -> None:
        async with await running.client() as client, asyncio.timeout(20):
            market = await client.subscribe(
                MarketSpec(
                    asset_ids=[running.up, running.market.window.down_token], custom_feature_enabled=True
                )
            )
            user = await client.subscribe(UserSpec())
            prices = await client.subscribe(CryptoTwapPriceSpec(symbols=["btcusd"]))
            first = await anext(market)
            assert first.type == "book"
            assert first.payload.asset_id in (running.up, running.market.window.down_token)
            assert first.payload.bids[-1].price < first.payload.asks[-1].price
            while not running.simulator.streams._user:  # a login is not answered
                await anext(market)
            while (price := await anext(prices)).type != "update":
                pass
            assert price.payload.value > 0
            signed = await client.create_market_order(
                asset_id=running.up,
                side="BUY",
                amount=Decimal(5),
                max_price=Decimal("0.70"),
                order_type="FAK",
            )
            accepted = await client.post_order(signed)
            told = 0
            while told < accepted.taking_amount:
                event = await anext(market)
                told += event.payload.size if event.type == "last_trade_price" else 0
            assert told == accepted.taking_amount
            order = await anext(user)
            assert (order.type, order.payload.status, order.payload.id) == (
                "order",
                "MATCHED",
                accepted.order_id,
            )
            statuses = {trade_id: [] for trade_id in accepted.trade_ids}
            for _ in range(3):
                for _ in accepted.trade_ids:
                    trade = await anext(user)
                    statuses[trade.payload.id].append(trade.payload.status)
                running.jump(1)
            assert all(said == ["MATCHED", "MINED", "CONFIRMED"] for said in statuses.values())
            running.jump(195)
            while (event := await anext(market)).type != "market_resolved":
                pass
            assert event.payload.winning_outcome in ("Up", "Down")

    await against_simulator(check)


async def test_the_data_api_shows_positions_activity_and_resolutions_after_its_lag():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            signed = await client.create_market_order(
                asset_id=running.up,
                side="BUY",
                amount=Decimal(5),
                max_price=Decimal("0.70"),
                order_type="FAK",
            )
            accepted = await client.post_order(signed)
            assert (await client.list_positions(user=WALLET).first_page()).items == ()
            running.jump(21)
            (position,) = (await client.list_positions(user=WALLET).first_page()).items
            assert (position.asset_id, position.current_size, position.status) == (
                running.up,
                accepted.taking_amount,
                "OPEN",
            )
            running.jump(195)
            (position,) = (await client.list_positions(user=WALLET, status="REDEEMABLE").first_page()).items
            assert position.redeemable
            (resolution,) = await client.get_resolutions(condition_ids=[running.market.condition_id])
            assert resolution.payouts in ((1, 0), (0, 1))
            await (await client.redeem_positions(condition_id=running.market.condition_id)).wait()
            running.jump(21)
            assert (await client.list_positions(user=WALLET).first_page()).items == ()
            activities = (await client.list_activity(user=WALLET).first_page()).items
            assert {activity.type for activity in activities} == {"TRADE", "REDEEM"}

    await against_simulator(check)


async def test_credentials_are_derived_again_and_foreign_ones_are_refused():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            credentials = client.credentials
        async with await running.client() as again:
            assert again.credentials == credentials
            assert await again.fetch_api_keys() == (credentials.key,)
        forged = credentials.model_copy(update={"secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        async with await running.client(credentials=forged) as recovered:
            assert recovered.credentials == credentials  # the forged ones were found inactive

    await against_simulator(check)


async def test_a_heartbeat_arms_the_key_and_a_stale_one_names_the_next():
    async def check(running: Running) -> None:
        async with await running.client() as client:
            first = await client.send_order_heartbeat()
            second = await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)
            assert first.heartbeat_id != second.heartbeat_id
            with pytest.raises(RequestRejectedError):
                await client.send_order_heartbeat(heartbeat_id=first.heartbeat_id)

    await against_simulator(check)
