"""Our client of the venue trades against the simulator over real sockets: the undisturbed way."""

import asyncio
from decimal import Decimal

import pytest

from shared.domain.books import Level
from shared.domain.orders import OrderEvent, OrderSide, OrderType
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.domain.trades import FillState
from shared.domain.windows import Side
from shared.venue.accounts import OrderStatus
from shared.venue.executor import RedemptionRequest, RedemptionStage
from shared.venue.listings import MarketListing
from shared.venue.onboarding import credentials
from shared.venue.refusals import LoginFailed
from tests.contract.venue_running import INSTRUMENT, KEY, Running, Trader, against_simulator, trader, yes


async def redeemed(me: Trader, listing: MarketListing, up: Decimal, down: Decimal) -> None:
    request = RedemptionRequest(
        "red-1",
        listing.window_id,
        listing.condition_id,
        listing.up_token,
        listing.down_token,
        "v1",
        False,
        up,
        down,
    )
    outcome = await me.trading.redeem(request)
    assert isinstance(outcome, Success)
    async with asyncio.timeout(10):
        while True:
            reading = await me.trading.redemption_state(outcome.value)
            if reading.stage is not RedemptionStage.PENDING:
                break
    assert reading.stage is RedemptionStage.CONFIRMED
    assert reading.transaction_hash


async def test_a_position_is_bought_confirmed_settled_and_redeemed_and_both_sides_agree_to_the_micro_unit():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            assert outcome.value.status == "matched"
            (trade,) = matched = await me.trading.trades(prepared, market=me.market(listing))
            assert (trade.order_id, trade.state) == (prepared.order_id, FillState.MATCHED)
            assert outcome.value.shares == sum(trade.shares for trade in matched)
            assert outcome.value.usdc == sum(trade.usdc for trade in matched)
            assert outcome.value.trade_ids == (trade.trade_id,)
            running.jump(5)
            (trade,) = await me.trading.trades(prepared, market=me.market(listing))
            assert trade.state is FillState.CONFIRMED
            reading = await me.account.order(prepared.order_id)
            assert (reading.event, reading.matched_shares) == (OrderEvent.MATCHED, trade.shares)
            held = await me.trading.balances([listing.up_token], refresh=True)
            spent = trade.usdc + trade.fee_usdc
            assert (held.collateral, held.tokens[listing.up_token]) == (100 - spent, trade.shares)
            running.jump(90)
            found = await me.public.resolutions(listing.window_id, listing.condition_id)
            assert (len(found.found), found.failed) == (3, ())
            assert len({resolution.winner for resolution in found.found}) == 1
            paid = trade.shares if found.found[0].winner is Side.UP else Decimal(0)
            await redeemed(me, listing, trade.shares, Decimal(0))
            await redeemed(
                me, listing, Decimal(0), Decimal(0)
            )  # a second time finds nothing and harms nothing
            held = await me.trading.balances([listing.up_token], refresh=True)
            assert (held.collateral, held.tokens[listing.up_token]) == (100 - spent + paid, 0)
            truth = (await running.truth())["wallets"][me.signer.wallet]
            assert (Decimal(truth["cash"]), truth["tokens"]) == (held.collateral, {})
            listing = await me.public.market(listing.window_id)
            assert (listing.closed, listing.resolution.winner) == (True, found.found[0].winner)
            assert (listing.final_price >= listing.strike) == (found.found[0].winner is Side.UP)

    await against_simulator(check)


async def test_a_bought_token_is_sold_again_once_it_is_mined():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            bought = await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
            sale = {"side": OrderSide.SELL, "limit_price": Decimal("0.20")}
            lots = bought.value.shares.quantize(Decimal("0.01"), rounding="ROUND_DOWN")
            early = await me.trading.submit(
                me.trading.prepare(me.intent(listing, amount=lots, **sale)), before_send=yes
            )
            assert isinstance(early, KnownFailure)
            assert early.reason == "NOT_ENOUGH_BALANCE"
            running.jump(3)
            prepared = me.trading.prepare(me.intent(listing, amount=lots, **sale))
            sold = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(sold, Success)
            assert sold.value.shares == lots
            assert sold.value.usdc == sum(
                t.usdc for t in await me.trading.trades(prepared, market=me.market(listing))
            )

    await against_simulator(check)


async def test_a_resting_order_is_read_and_cancelled_and_a_second_cancel_says_why_not():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            rest = {"order_type": OrderType.GTC, "limit_price": Decimal("0.02"), "amount": Decimal(100)}
            first, second = (me.trading.prepare(me.intent(listing, **rest)) for _ in range(2))
            for prepared in (first, second):
                outcome = await me.trading.submit(prepared, before_send=yes)
                assert isinstance(outcome, Success)
                assert (outcome.value.status, outcome.value.shares) == ("live", 0)
            assert {order.order_id for order in await me.account.open_orders()} == {
                first.order_id,
                second.order_id,
            }
            cancelled = await me.cancelling.cancel(first.order_id)
            assert cancelled.value.cancelled == (first.order_id,)
            again = await me.cancelling.cancel(first.order_id)
            assert (again.value.cancelled, list(again.value.not_cancelled)) == ((), [first.order_id])
            assert (await me.account.order(first.order_id)).status is OrderStatus.CANCELED
            assert (await me.cancelling.cancel_market(listing.condition_id)).value.cancelled == (
                second.order_id,
            )
            assert isinstance(await me.cancelling.cancel_all(), Success)
            assert await me.account.open_orders() == ()

    await against_simulator(check)


async def test_refusals_are_known_and_a_duplicate_proves_only_that_the_first_arrived():
    async def check(running: Running) -> None:
        async with trader(running, usdc="10") as me:
            listing = await me.open_market()
            far = {"limit_price": Decimal("0.02")}  # nobody sells that low

            async def reason(**changes):
                outcome = await me.trading.submit(
                    me.trading.prepare(me.intent(listing, **changes)), before_send=yes
                )
                assert isinstance(outcome, KnownFailure)
                return outcome.reason

            assert await reason(amount=Decimal(50)) == "NOT_ENOUGH_BALANCE"
            assert await reason(**far) == "FAK_NOT_FILLED"
            assert await reason(**far, order_type=OrderType.FOK) == "FOK_NOT_FILLED"
            assert await reason(amount=Decimal("0.50")) == "TOO_SMALL"
            assert await reason(neg_risk=True) in {"INVALID_SIGNATURE", "VERSION_MISMATCH"}
            prepared = me.trading.prepare(me.intent(listing))
            assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)
            again = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(again, Unknown)
            assert again.reason == "DUPLICATED"
            assert len((await running.truth())["orders"]) >= 1

    await against_simulator(check)


async def test_credentials_are_the_same_at_every_login_and_a_strangers_are_refused():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            assert await credentials(me.signer, running.urls, running.clock) == me.credentials

            class Liar:
                address = "0x" + "11" * 20
                sign_login = me.signer.sign_login

            with pytest.raises(LoginFailed) as raised:
                await credentials(Liar(), running.urls, running.clock)
            assert KEY.get_secret_value() not in str(raised.value)

    await against_simulator(check)


async def test_the_clob_gamma_and_the_stored_book_tell_the_same_market():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            market = await me.public.clob_market(listing.condition_id)
            assert (market.up_token, market.down_token) == (listing.up_token, listing.down_token)
            assert (market.fee, market.min_size, market.version) == (
                listing.fee,
                listing.min_size,
                listing.version,
            )
            assert market.accepting
            async with asyncio.timeout(10):
                while True:  # the book may move between the two reads
                    up, down = await me.book(listing), await me.book(listing, Side.DOWN)
                    if up.source_at == down.source_at:
                        break
            assert up.source_at <= running.clock.now()
            assert up.bids[:1] == tuple(Level(1 - level.price, level.size) for level in down.asks[:1])
            assert await me.public.book("5") is None
            offset_s = (await me.public.venue_time()).offset_s
            assert abs(offset_s) < 1
            assert (await me.public.discover(INSTRUMENT, "15m", running.clock.now())).refused == ()

    await against_simulator(check)


async def test_the_data_api_shows_position_and_activity_after_its_lag():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            bought = await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
            running.jump(10)
            (position,) = await me.public.positions(me.signer.wallet, listing.condition_id)
            assert (position.token_id, position.shares) == (listing.up_token, bought.value.shares)
            activity = await me.public.activity(me.signer.wallet, listing.opens_at)
            assert [(each.kind, each.usdc) for each in activity] == [("TRADE", bought.value.usdc)]

    await against_simulator(check)
