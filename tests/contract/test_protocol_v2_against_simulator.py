"""A window of Protocol V2 from its listing to its redemption: other ids, another domain, another contract."""

import asyncio
from decimal import Decimal

from shared.domain.outcomes import Success
from shared.domain.windows import Side
from shared.venue.executor import RedemptionRequest, RedemptionStage
from tests.contract.venue_running import INSTRUMENT, Running, against_simulator, trader, yes


async def test_a_protocol_v2_window_is_bought_settled_and_redeemed_to_the_micro_unit():
    async def check(running: Running) -> None:
        await running.fault("protocol_v2", times=-1)
        running.jump(70)
        async with trader(running) as me:
            found = await me.public.discover(INSTRUMENT, "15m", running.clock.now())
            listing = next(each for each in found.listings if each.version == "v2")
            running.jump(max((listing.opens_at - running.clock.now()).total_seconds() + 1, 0))
            book = await me.book(listing)
            assert (book.token_id, bool(book.asks)) == (listing.up_token, True)
            assert (await me.public.clob_market(listing.condition_id)).version == "v2"
            prepared = me.trading.prepare(me.intent(listing))
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            running.jump(5)
            trades = await me.trading.trades(prepared, market=me.market(listing))
            spent = sum(trade.usdc + trade.fee_usdc for trade in trades)
            running.jump((listing.closes_at - running.clock.now()).total_seconds() + 20)
            settled = await me.public.market(listing.window_id)
            paid = outcome.value.shares if settled.resolution.winner is Side.UP else Decimal(0)
            request = RedemptionRequest(
                "red-1",
                listing.window_id,
                listing.condition_id,
                listing.up_token,
                listing.down_token,
                "v2",
                False,
                outcome.value.shares,
                Decimal(0),
            )
            ticket = await me.trading.redeem(request)
            assert isinstance(ticket, Success)
            async with asyncio.timeout(10):
                while (
                    state := await me.trading.redemption_state(ticket.value)
                ).stage is RedemptionStage.PENDING:
                    pass
            assert state.stage is RedemptionStage.CONFIRMED
            truth = (await running.truth())["wallets"][me.signer.wallet]
            assert (Decimal(truth["cash"]), truth["tokens"]) == (100 - spent + paid, {})

    await against_simulator(check)
