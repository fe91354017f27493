"""What rests at the venue, over real sockets: it expires, it is cancelled, and silence of its switch cancels it."""

from decimal import Decimal

import pytest

from shared.domain.orders import OrderEvent, OrderType
from shared.domain.outcomes import KnownFailure, Success
from shared.venue.deadman import DeadManSwitch
from shared.venue.refusals import Malformed
from tests.contract.venue_running import Running, Trader, against_simulator, trader, yes

FAR = {"order_type": OrderType.GTC, "limit_price": Decimal("0.02"), "amount": Decimal(100)}


async def rest(me: Trader, **changes):
    prepared = me.trading.prepare(me.intent(await me.open_market(), **(FAR | changes)))
    outcome = await me.trading.submit(prepared, before_send=yes)
    assert isinstance(outcome, Success), outcome
    assert outcome.value.status == "live"
    return prepared.order_id


async def test_a_good_till_date_order_ends_a_minute_before_its_date_and_says_so():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            now_s = int(running.clock.now().timestamp())
            order = await rest(me, order_type=OrderType.GTD, expires_s=now_s + 240)
            running.jump(100)
            assert (await me.account.order(order)).event is OrderEvent.RESTS
            running.jump(100)
            reading = await me.account.order(order)
            assert reading.event is OrderEvent.EXPIRED
            assert reading.order_type is OrderType.GTD

    await against_simulator(check, window_s=900)


async def test_a_date_too_near_is_refused_and_only_good_till_date_has_one():
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            now_s = int(running.clock.now().timestamp())
            near = me.trading.prepare(
                me.intent(listing, **(FAR | {"order_type": OrderType.GTD, "expires_s": now_s + 30}))
            )
            outcome = await me.trading.submit(near, before_send=yes)
            assert isinstance(outcome, KnownFailure)
            assert outcome.reason == "INVALID_EXPIRATION"
            for wrong in ({"expires_s": now_s + 240}, {"order_type": OrderType.GTD}):
                with pytest.raises(Malformed, match="GTD"):
                    me.trading.prepare(me.intent(listing, **(FAR | wrong)))

    await against_simulator(check)


async def test_a_fed_switch_keeps_what_rests_and_silence_cancels_it():
    async def check(running: Running) -> None:
        async with (
            trader(running) as me,
            DeadManSwitch(running.urls, me.credentials, running.clock) as switch,
        ):
            order = await rest(me)
            running.jump(15)
            assert (await me.account.order(order)).event is OrderEvent.RESTS, "never fed, never armed"
            beat = await switch.feed("")
            for _ in range(4):
                assert beat.accepted
                running.jump(8)
                beat = await switch.feed(beat.next_id)
            assert (await me.account.order(order)).event is OrderEvent.RESTS
            running.jump(16)
            assert (await me.account.order(order)).event is OrderEvent.KILLED

    await against_simulator(check, window_s=900)


async def test_a_heartbeat_of_an_old_id_learns_the_new_one_and_counts():
    async def check(running: Running) -> None:
        async with (
            trader(running) as me,
            DeadManSwitch(running.urls, me.credentials, running.clock) as switch,
        ):
            first = await switch.feed("")
            lost = await switch.feed(first.next_id)
            again = await switch.feed(first.next_id)
            assert again.accepted
            assert again.next_id not in {first.next_id, lost.next_id}
            running.jump(30)
            after_silence = await switch.feed(again.next_id)
            assert after_silence.accepted, "the venue forgot us, and begins anew"

    await against_simulator(check)


async def test_a_heartbeat_nobody_answers_was_not_accepted():
    async def check(running: Running) -> None:
        async with (
            trader(running) as me,
            DeadManSwitch(running.urls, me.credentials, running.clock) as switch,
        ):
            match = {"method": "POST", "path": "/v1/heartbeats"}
            for name in ("accept_then_reset", "http_500", "unreadable_answer"):
                await running.fault(name, match=match)
                beat = await switch.feed("")
                assert not beat.accepted
                assert beat.next_id is None
            assert (await switch.feed("")).accepted

    await against_simulator(check)
