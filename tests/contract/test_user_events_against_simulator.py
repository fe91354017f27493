"""Our user channel against the simulator's: events in order, lost, repeated, shuffled and late."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from shared.domain.outcomes import Success
from shared.venue.events import Connected, OrderUpdate, TradeSeen
from shared.venue.user_feed import UserFeed
from tests.contract.venue_running import Running, against_simulator, trader, yes

UNDISTURBED = ["order MATCHED", "trade MATCHED", "trade MINED", "trade CONFIRMED"]


def told(event: object) -> str:
    if isinstance(event, OrderUpdate):
        return f"order {event.status}"
    assert isinstance(event, TradeSeen)
    return f"trade {event.trade.state}"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, UNDISTURBED),
        ({"name": "drop_event", "match": {"event": "order"}}, UNDISTURBED[1:]),
        ({"name": "drop_event", "match": {"status": "MINED"}}, [*UNDISTURBED[:2], UNDISTURBED[3]]),
        ({"name": "duplicate_event", "match": {"event": "trade"}, "times": -1}, [
            UNDISTURBED[0], *(each for each in UNDISTURBED[1:] for _ in range(2))
        ]),
        ({"name": "reorder_events", "seconds": 60}, [UNDISTURBED[1], UNDISTURBED[0], *UNDISTURBED[2:]]),
        ({"name": "reorder_events", "match": {"event": "trade"}, "times": 2, "seconds": 60}, [
            UNDISTURBED[0], UNDISTURBED[3], UNDISTURBED[2], UNDISTURBED[1]
        ]),
        ({"name": "delay_event", "match": {"event": "order"}, "seconds": 4}, [
            *UNDISTURBED[1:], UNDISTURBED[0]
        ]),
    ],
)  # fmt: skip
async def test_what_the_user_channel_tells_of_one_order(fault: Mapping[str, Any] | None, expected: list[str]):
    async def check(running: Running) -> None:
        async with trader(running) as me:
            listing = await me.open_market()
            feed = UserFeed(
                running.urls.user_stream,
                me.credentials,
                running.clock,
                random.Random(1),
                fee_of=lambda _token: listing.fee,
            )
            if fault is not None:
                scoped = {**fault.get("match", {}), "channel": "user", "wallet": me.signer.wallet}
                await running.tell("faults", **{**fault, "match": scoped})
            heard = []
            async with asyncio.timeout(20), feed:
                events = aiter(feed)
                assert isinstance(await anext(events), Connected)
                assert isinstance(
                    await me.trading.submit(me.trading.prepare(me.intent(listing)), before_send=yes), Success
                )
                running.jump(6)
                while len(heard) < len(expected):
                    heard.append(told(await anext(events)))
            assert heard == expected

    await against_simulator(check)
