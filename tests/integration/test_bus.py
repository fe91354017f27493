"""Notifications through a real server: what wakes whom, and what happens when they are lost."""

import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from shared.bus.channels import CHANNELS, GateChanged, MarketMoved, OrderChanged, WindowChanged, parse
from shared.bus.listen import Listener
from shared.bus.notify import notify
from shared.domain.ids import AccountId, OrderId, WindowId
from shared.runtime.clock import SystemClock
from shared.runtime.pulse import LoopPulse

POLL_S = 60
"""Longer than any test: what ends a wait here is news, never the poll."""
WITHIN_S = 20
ORDER = OrderChanged(OrderId("0x01"))


@asynccontextmanager
async def running(listener):
    """Let the listener run."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.run(LoopPulse("listener", SystemClock(), stale_after_s=15)))
        yield
        task.cancel()


async def news(wakeup):
    async with asyncio.timeout(WITHIN_S):
        return await wakeup.wait(timeout_s=POLL_S)


async def ready(listener, *wakeups):
    """Wait until LISTEN is in place, and take what the consumers were told until then."""
    async with asyncio.timeout(WITHIN_S):
        await listener.connected.wait()
    for wakeup in wakeups:
        await news(wakeup)


@pytest.fixture
def listener(database_url):
    return Listener(database_url, application_name="test_bus", clock=SystemClock())


async def test_a_committed_notification_wakes_its_subscriber_with_the_message(db, listener):
    database = await db()
    wakeup = listener.subscribe({"order_changed"})
    async with running(listener):
        await ready(listener, wakeup)
        async with database.begin() as tx:
            await notify(tx, ORDER)
        woken = await news(wakeup)
    assert woken.messages == {ORDER}
    assert not woken.everything


async def test_a_rolled_back_notification_wakes_nobody(db, listener):
    database = await db()
    wakeup = listener.subscribe({"order_changed"})
    async with running(listener):
        await ready(listener, wakeup)
        with pytest.raises(RuntimeError, match="changed its mind"):
            async with database.begin() as tx:
                await notify(tx, OrderChanged(OrderId("0xdead")))
                raise RuntimeError("changed its mind")
        async with database.begin() as tx:
            await notify(tx, ORDER)
        woken = await news(wakeup)
    assert woken.messages == {ORDER}


async def test_consumers_hear_their_own_channels_only(db, listener):
    database = await db()
    orders, windows = listener.subscribe({"order_changed"}), listener.subscribe({"window_changed"})
    async with running(listener):
        await ready(listener, orders, windows)
        async with database.begin() as tx:
            await notify(tx, ORDER)
            await notify(tx, WindowChanged(WindowId("w")))
        assert (await news(windows)).messages == {WindowChanged(WindowId("w"))}
        assert (await news(orders)).messages == {ORDER}


async def test_notifications_while_a_consumer_works_are_one_wake_up(db, listener):
    database = await db()
    busy, witness = (
        listener.subscribe({"order_changed"}),
        listener.subscribe({"order_changed", "gate_changed"}),
    )
    sent = [OrderChanged(OrderId(f"0x{n}")) for n in range(5)]
    async with running(listener):
        await ready(listener, busy, witness)
        for message in sent:
            async with database.begin() as tx:
                await notify(tx, message)
        async with database.begin() as tx:
            await notify(tx, GateChanged(AccountId("a"), "PAPER"))
        seen = set()
        while GateChanged(AccountId("a"), "PAPER") not in seen:
            seen |= (await news(witness)).messages
        assert (await news(busy)).messages == set(sent)
        assert (await busy.wait(timeout_s=0.01)).everything


async def test_a_cut_connection_is_made_anew_and_everybody_told_to_look(db, listener, database_url):
    database = await db()
    wakeup = listener.subscribe({"order_changed"})
    async with running(listener):
        await ready(listener, wakeup)
        with psycopg.connect(database_url, autocommit=True) as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test_bus_listener'"
                " AND datname = current_database()"
            )
        assert (await news(wakeup)).everything
        async with database.begin() as tx:
            await notify(tx, ORDER)
        assert (await news(wakeup)).messages == {ORDER}


async def test_a_listener_without_a_server_keeps_trying_and_consumers_keep_polling():
    listener = Listener("postgresql://u@127.0.0.1:1/d", application_name="nowhere", clock=SystemClock())
    wakeup = listener.subscribe({"order_changed"})
    async with running(listener):
        assert (await wakeup.wait(timeout_s=0.01)).everything
        assert (await wakeup.wait(timeout_s=0.01)).everything


async def test_a_payload_nobody_understands_makes_everybody_look(listener, database_url):
    wakeup = listener.subscribe({"command_created"})
    async with running(listener):
        await ready(listener, wakeup)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as person:
            await person.execute(sql.SQL("NOTIFY command_created, 'not a number'"))
        assert (await news(wakeup)).everything


async def test_what_sql_sends_is_what_python_reads(db, listener):
    database = await db()
    wakeup = listener.subscribe(CHANNELS)
    sent = {
        "order_changed": "0x01",
        "gate_changed": "main/*",
        "market_moved": "",
        "command_created": "7",
    }
    async with running(listener):
        await ready(listener, wakeup)
        async with database.begin() as tx:
            for channel, payload in sent.items():
                await tx.execute(text("SELECT pg_notify(:c, :p)"), {"c": channel, "p": payload})
        seen = set()
        while len(seen) < len(sent):
            seen |= (await news(wakeup)).messages
    assert seen == {parse(channel, payload) for channel, payload in sent.items()}
    assert MarketMoved() in seen
