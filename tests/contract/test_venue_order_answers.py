"""What becomes of an order, by name, and what our client makes of each answer; the truth stands beside it."""

import asyncio
from decimal import Decimal

import pytest

from services.simulator.refusal_texts import KILLED, REFUSALS
from shared.domain.orders import OrderEvent, OrderType
from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.domain.trades import FillState
from tests.contract.venue_running import (
    OTHER_KEY,
    Running,
    against_simulator,
    arrivals,
    money,
    order_truth,
    placed,
    trader,
    yes,
)

JUDGED = {
    "payload": "INVALID_PAYLOAD",
    "owner": "OWNER_MISMATCH",
    "signer": "SIGNER_MISMATCH",
    "maker": "MAKER_NOT_ALLOWED",
    "banned": "BANNED",
    "closed_only": "CLOSED_ONLY",
    "post_only_crosses": "POST_ONLY_CROSSES",
    "off_tick": "OFF_TICK",
    "too_small": "TOO_SMALL",
    "crosses": "CROSSES_BOOK",
    "balance": "NOT_ENOUGH_BALANCE",
    "allowance": "NOT_ENOUGH_BALANCE",
    "balance_locked": "NOT_ENOUGH_BALANCE",
    "expiration": "INVALID_EXPIRATION",
    "nonce": "INVALID_NONCE",
    "signature": "INVALID_SIGNATURE",
    "version": "VERSION_MISMATCH",
    "cancelled_on_chain": "CANCELLED_ON_CHAIN",
    "match_delayed": "MATCH_DELAYED",
    "fok_not_filled": "FOK_NOT_FILLED",
    "fak_not_filled": "FAK_NOT_FILLED",
    "not_ready": "MARKET_NOT_READY",
    "marketable_too_small": "TOO_SMALL",
    "unauthorized": "UNAUTHORIZED",
    "disabled": "RESTRICTED",
    "trading_is_disabled": "RESTRICTED",
    "cancel_only": "RESTRICTED",
    "post_only": "RESTRICTED",
    # Not on the list of refusals: each may hide an order.
    "duplicated": Unknown("DUPLICATED"),
    "timed_out": Unknown("UNLISTED_TEXT"),
    "context_canceled": Unknown("UNLISTED_TEXT"),
    "insert": Unknown("HTTP_500"),
    "no_match": Unknown("HTTP_500"),
    "fok_killed": Unknown("HTTP_500"),
    "rounding": Unknown("HTTP_500"),
    "discrepancy": Unknown("HTTP_500"),
}


async def test_every_refusal_of_the_venue_is_judged_by_the_list_and_moves_no_money():
    assert set(JUDGED) == set(REFUSALS)

    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            for text, expected in JUDGED.items():
                prepared = me.trading.prepare(me.intent(listing))
                await running.fault("refused", match={"wallet": me.signer.wallet, "side": "BUY"}, text=text)
                outcome = await me.trading.submit(prepared, before_send=yes)
                if isinstance(expected, Unknown):
                    assert isinstance(outcome, Unknown), text
                    assert outcome.reason == expected.reason
                else:
                    assert isinstance(outcome, KnownFailure), text
                    assert (text, outcome.reason) == (text, expected)
                assert await placed(running, prepared.order_id) is (text in KILLED)
            truth = await running.truth()
            assert (truth["trades"], truth["open_orders"]) == ([], [])
            assert truth["wallets"][me.signer.wallet]["cash"] == "100.000000"

    await against_simulator(check)


@pytest.mark.parametrize("text", ["disabled", "trading_is_disabled", "cancel_only", "post_only"])
async def test_a_restriction_is_known_and_says_when_to_come_back(text):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            prepared = me.trading.prepare(me.intent(await me.open_market()))
            await running.fault("http_503", text=text, seconds=9)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, KnownFailure)
            assert (outcome.reason, outcome.detail["retry_after"]) == ("RESTRICTED", "9")
            assert not await placed(running, prepared.order_id)

    await against_simulator(check)


async def test_a_part_filled_is_a_success_that_says_how_much():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault("partly_filled", share="0.4")
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            truth = await order_truth(running, prepared.order_id)
            assert (outcome.value.status, truth["status"]) == ("matched", "MATCHED")
            assert (outcome.value.shares, outcome.value.usdc) == (
                Decimal(truth["matched"]),
                Decimal(truth["cash"]),
            )
            assert outcome.value.usdc <= Decimal(2)
            assert (await me.account.order(prepared.order_id)).matched_shares == outcome.value.shares
            assert await money(running, me) == 100 - Decimal(truth["cash"]) - Decimal(truth["fee"])

    await against_simulator(check)


@pytest.mark.parametrize("result", ["matched", "killed"])
async def test_a_delayed_order_is_a_success_with_nothing_yet_and_is_read_until_it_is_decided(result):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault("delayed", seconds=2, result=result)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            assert (outcome.value.status, outcome.value.shares) == ("delayed", 0)
            assert (await me.account.order(prepared.order_id)).event is OrderEvent.DELAYED
            kept = (await me.cancelling.cancel(prepared.order_id)).value.not_cancelled
            assert "delayed" in kept[prepared.order_id]
            running.jump(2.5)
            found = await me.trading.trades(prepared, market=me.market(listing))
            reading = await me.account.order(prepared.order_id)
            truth = await order_truth(running, prepared.order_id)
            assert sum(trade.shares for trade in found) == reading.matched_shares == Decimal(truth["matched"])
            assert reading.event is (OrderEvent.MATCHED if result == "matched" else OrderEvent.KILLED)
            assert bool(found) is (result == "matched")

    await against_simulator(check)


async def test_a_fak_answered_live_rests_until_the_venue_kills_it():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            prepared = me.trading.prepare(me.intent(await me.open_market()))
            await running.fault("resting", seconds=2)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            assert (outcome.value.status, outcome.value.shares) == ("live", 0)
            assert [order.order_id for order in await me.account.open_orders()] == [prepared.order_id]
            running.jump(2.5)
            assert await me.account.open_orders() == ()
            assert (await me.account.order(prepared.order_id)).event is OrderEvent.KILLED
            assert await money(running, me) == 100

    await against_simulator(check)


@pytest.mark.parametrize("order_type", [OrderType.FAK, OrderType.GTC])
async def test_a_fill_after_a_live_answer_is_found_among_the_trades(order_type):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing, order_type=order_type))
            await running.fault("late_fill", seconds=2)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Success)
            assert (outcome.value.status, outcome.value.shares) == ("live", 0)
            assert await me.trading.trades(prepared, market=me.market(listing)) == ()
            running.jump(2.5)
            found = await me.trading.trades(prepared, market=me.market(listing))
            truth = await order_truth(running, prepared.order_id)
            assert sum(trade.shares for trade in found) == Decimal(truth["matched"]) > 0
            spent = sum(trade.usdc + trade.fee_usdc for trade in found)
            assert await money(running, me) == 100 - spent

    await against_simulator(check)


@pytest.mark.usefixtures("impatient")
async def test_an_order_that_arrives_late_is_unknown_first_and_placed_then():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            prepared = me.trading.prepare(me.intent(await me.open_market()))
            await running.fault("late_arrival", seconds=0.4)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Unknown)
            assert outcome.reason == "TIMEOUT"
            assert await me.account.order(prepared.order_id) is None
            async with asyncio.timeout(10):
                while not (read := await me.account.order(prepared.order_id)) or not read.matched_shares:
                    pass
            (arrival,) = await arrivals(running, prepared.order_id)
            truth = await order_truth(running, prepared.order_id)
            assert (arrival["http"], truth["created_ms"] - arrival["arrived_ms"] >= 400) == (None, True)

    await against_simulator(check)


@pytest.mark.parametrize(
    ("fault", "state"),
    [("match_then_failed", FillState.FAILED), ("match_then_retrying", FillState.CONFIRMED)],
)
async def test_a_match_can_fail_on_chain_or_be_tried_again(fault, state):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault(fault, match={"wallet": me.signer.wallet, "side": "BUY"})
            assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)
            running.jump(1.5)
            first = await me.trading.trades(prepared, market=me.market(listing))
            assert {trade.state for trade in first} == {
                FillState.FAILED if state is FillState.FAILED else FillState.RETRYING
            }
            running.jump(4)
            found = await me.trading.trades(prepared, market=me.market(listing))
            assert {trade.state for trade in found} == {state}
            spent = sum(trade.usdc + trade.fee_usdc for trade in found if trade.state is not FillState.FAILED)
            assert await money(running, me) == 100 - spent

    await against_simulator(check)


@pytest.mark.parametrize(
    ("result", "last"), [("failed", FillState.FAILED), ("confirmed", FillState.CONFIRMED)]
)
async def test_a_mined_trade_can_be_reorganised_away(result, last):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault("mined_then_reorganised", match={"wallet": me.signer.wallet}, result=result)
            assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)
            seen = []
            for _ in range(9):
                running.jump(0.5)
                (trade,) = await me.trading.trades(prepared, market=me.market(listing))
                if trade.state not in seen[-1:]:
                    seen.append(trade.state)
            again = [FillState.MINED] if last is FillState.CONFIRMED else []
            assert seen == [FillState.MATCHED, FillState.MINED, FillState.RETRYING, *again, last]
            spent = trade.usdc + trade.fee_usdc if last is FillState.CONFIRMED else 0
            assert await money(running, me) == 100 - spent

    await against_simulator(check)


async def test_stale_balances_lag_behind_the_truth_also_after_an_update():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            assert isinstance(
                await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes), Success
            )
            running.jump(3)
            now = await me.trading.balances([listing.up_token], refresh=True)
            assert now.collateral == await money(running, me) < 100
            await running.fault("stale_balance", times=-1, seconds=20, match={"wallet": me.signer.wallet})
            stale = await me.trading.balances([listing.up_token], refresh=True)
            assert (stale.collateral, stale.tokens[listing.up_token]) == (100, 0)
            running.jump(25)
            again = await me.trading.balances([listing.up_token], refresh=True)
            assert (again.collateral, again.tokens) == (now.collateral, now.tokens)

    await against_simulator(check)


async def test_a_restricted_account_is_told_so_and_the_breaker_must_open():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            for restriction, reason in (("closed_only", "CLOSED_ONLY"), ("banned", "BANNED")):
                await running.tell("restrict", wallet=me.signer.wallet, restriction=restriction)
                outcome = await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
                assert isinstance(outcome, KnownFailure)
                assert (outcome.reason, outcome.trips) == (reason, True)
            assert (await running.truth())["orders"] == []

    await against_simulator(check)


async def test_a_restart_refuses_cancels_too_and_its_post_only_phase_takes_them():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            rest = {"order_type": OrderType.GTC, "limit_price": Decimal("0.02"), "amount": Decimal(100)}
            resting = me.trading.prepare(me.intent(listing, **rest))
            assert isinstance(await me.trading.submit(resting, before_send=yes), Success)
            await running.tell("mode", mode="restarting", seconds=2, post_only_seconds=3)
            refused = await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
            assert isinstance(refused, KnownFailure)
            assert refused.reason == "ENGINE_RESTARTING"
            assert isinstance(await me.cancelling.cancel(resting.order_id), KnownFailure)
            assert [order.order_id for order in await me.account.open_orders()] == [resting.order_id]
            running.jump(2.5)
            refused = await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes)
            assert isinstance(refused, KnownFailure)
            assert refused.reason == "RESTRICTED"
            assert (await me.cancelling.cancel(resting.order_id)).value.cancelled == (resting.order_id,)
            running.jump(3)
            assert isinstance(
                await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes), Success
            )

    await against_simulator(check)


async def test_a_fault_of_one_wallet_leaves_the_others_alone():
    async def check(running: Running) -> None:
        async with trader(running) as me, trader(running, key=OTHER_KEY) as other:
            listing = await me.open_market()
            await running.fault("http_425", match={"wallet": me.signer.wallet, "side": "BUY"}, times=-1)
            for each, kind in ((other, Success), (me, KnownFailure), (other, Success)):
                outcome = await each.trading.submit(
                    each.trading.prepare(each.intent(listing)), before_send=yes
                )
                assert isinstance(outcome, kind)

    await against_simulator(check)
