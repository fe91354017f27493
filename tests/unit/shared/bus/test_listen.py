import pytest

from shared.bus.channels import OrderChanged, WindowChanged
from shared.bus.listen import WAITING_MESSAGES_MAX, Listener, Wakeup
from shared.runtime.clock import SystemClock

LONG_S = 30


@pytest.fixture
async def wakeup():
    fresh = Wakeup(frozenset({"order_changed"}))
    await fresh.wait(timeout_s=LONG_S)
    return fresh


async def test_whoever_starts_is_told_to_look_at_everything():
    woken = await Wakeup(frozenset({"order_changed"})).wait(timeout_s=LONG_S)
    assert woken.everything
    assert woken.messages == frozenset()


async def test_a_wait_without_news_ends_as_a_poll(wakeup):
    assert (await wakeup.wait(timeout_s=0.01)).everything


async def test_messages_between_two_looks_come_together_and_once(wakeup):
    for order_id in ("0x01", "0x02", "0x01"):
        wakeup.add(OrderChanged(order_id))
    woken = await wakeup.wait(timeout_s=LONG_S)
    assert woken.messages == {OrderChanged("0x01"), OrderChanged("0x02")}
    assert not woken.everything
    assert (await wakeup.wait(timeout_s=0.01)).messages == frozenset()


async def test_a_consumer_too_far_behind_looks_at_everything(wakeup):
    for n in range(WAITING_MESSAGES_MAX + 1):
        wakeup.add(WindowChanged(f"w{n}"))
    woken = await wakeup.wait(timeout_s=LONG_S)
    assert woken.everything
    assert len(woken.messages) == WAITING_MESSAGES_MAX


def test_a_channel_that_does_not_exist_cannot_be_subscribed():
    listener = Listener("postgresql://u@127.0.0.1:1/d", application_name="x", clock=SystemClock())
    with pytest.raises(ValueError, match="no_such"):
        listener.subscribe({"order_changed", "no_such"})
