"""Our client against the simulator's named faults: what is known, what is not, and what was really done."""

import pytest

from shared.domain.outcomes import KnownFailure, Success, Unknown
from shared.venue.refusals import ReadFailed
from tests.contract.venue_running import Running, against_simulator, arrivals, placed, trader, yes


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "reason", "really_placed"),
    [
        ("accept_then_timeout", "TIMEOUT", True),
        ("timeout_not_placed", "TIMEOUT", False),
        ("accept_then_reset", "LOST", True),
        ("idle_closed", "LOST", False),
        ("duplicated", "DUPLICATED", True),
        ("duplicated_not_placed", "DUPLICATED", False),
        ("http_500_after_accept", "HTTP_500", True),
        ("http_500", "HTTP_500", False),
        ("unreadable_answer", "UNREADABLE", True),
    ],
)
async def test_a_lost_or_unreadable_answer_is_unknown_whatever_the_venue_did(fault, reason, really_placed):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault(fault)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, Unknown)
            assert outcome.reason == reason
            assert await placed(running, prepared.order_id) is really_placed
            (arrival,) = await arrivals(running, prepared.order_id)  # once, and never again by itself
            assert arrival["fault"] == fault
            assert (await me.account.order(prepared.order_id) is not None) is really_placed

    await against_simulator(check)


@pytest.mark.parametrize(
    ("fault", "reason", "trips"),
    [
        ("http_425", "ENGINE_RESTARTING", False),
        ("http_429", "RATE_LIMITED", False),
        ("http_503", "RESTRICTED", False),
        ("html_403", "BLOCKED", True),
    ],
)
async def test_a_refusal_on_the_list_is_known_and_nothing_was_done(fault, reason, trips):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            await running.fault(fault)
            outcome = await me.trading.submit(prepared, before_send=yes)
            assert isinstance(outcome, KnownFailure)
            assert (outcome.reason, outcome.trips) == (reason, trips)
            assert not await placed(running, prepared.order_id)
            assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)

    await against_simulator(check)


async def test_an_order_whose_last_check_fails_never_leaves():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            prepared = me.trading.prepare(me.intent(listing))
            outcome = await me.trading.submit(prepared, before_send=lambda: False)
            assert outcome == KnownFailure("NOT_SENT")
            assert not await placed(running, prepared.order_id)

    await against_simulator(check)


@pytest.mark.usefixtures("impatient")
async def test_a_lost_cancel_is_unknown():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            await me.open_market()
            await running.fault("accept_then_timeout", match={"method": "DELETE", "path": "/cancel-all"})
            assert isinstance(await me.cancelling.cancel_all(), Unknown)
            assert isinstance(await me.cancelling.cancel_all(), Success)

    await against_simulator(check)


@pytest.mark.parametrize(
    ("fault", "kind"), [("unknown_market_version", "UnknownVersion"), ("unknown_fee_type", "UnknownFeeType")]
)
async def test_a_market_with_unknown_terms_is_refused_by_name_and_the_others_stay(fault, kind):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            known = await me.public.discover("BTC", "15m", running.clock.now())
            await running.fault(fault)
            running.jump(70)
            found = await me.public.discover("BTC", "15m", running.clock.now())
            assert [refused.kind for refused in found.refused] == [kind]
            assert found.refused[0].window_id not in {listing.window_id for listing in found.listings}
            assert {listing.window_id for listing in found.listings} & {
                listing.window_id for listing in known.listings
            }

    await against_simulator(check)


async def test_a_read_that_keeps_failing_is_an_error_and_one_that_recovers_is_not_noticed():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            trades = {"method": "GET", "path": "/data/trades"}
            await running.fault("accept_then_reset", match=trades, times=1)
            assert await me.account.trades(listing.condition_id, listing.fee) == ()
            await running.fault("accept_then_reset", match=trades, times=3)
            with pytest.raises(ReadFailed):
                await me.account.trades(listing.condition_id, listing.fee)

    await against_simulator(check)


async def test_a_connection_the_venue_closed_while_idle_costs_no_order():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            for _ in range(2):
                assert await me.trading.warm()
                idle = me.trading._writes._idle[0]
                prepared = me.trading.prepare(me.intent(listing))
                await idle._changed.wait()  # the venue has hung up
                assert isinstance(await me.trading.submit(prepared, before_send=yes), Success)
                assert len(await arrivals(running, prepared.order_id)) == 1

    await against_simulator(check, keepalive_s=0.1)
