import pytest

from shared.bus.channels import (
    CHANNELS,
    PAYLOAD_BYTES_MAX,
    CommandCreated,
    ExitRequested,
    GateChanged,
    MarketMoved,
    OrderChanged,
    PositionChanged,
    SignalCreated,
    WindowChanged,
    parse,
)

MESSAGES = [
    WindowChanged("btc-updown-15m-1791241200"),
    MarketMoved(),
    MarketMoved(frozenset({"w1", "w2"})),
    SignalCreated("sig-1"),
    OrderChanged("0x01"),
    PositionChanged("pos-1"),
    ExitRequested("pos-1"),
    GateChanged("main", "LIVE"),
    GateChanged("desk/1", "PAPER"),
    GateChanged("main", "*"),
    GateChanged("*", "*"),
    CommandCreated(7),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{message.channel}:{message.payload()}")
def test_every_message_survives_its_payload(message):
    assert parse(message.channel, message.payload()) == message


def test_every_channel_is_tried_above():
    assert {message.channel for message in MESSAGES} == CHANNELS


def test_a_gate_message_without_an_account_means_all_of_them():
    assert parse("gate_changed", "*") == GateChanged("*", "*")


def test_too_many_windows_become_look_at_all():
    message = MarketMoved(frozenset(f"btc-updown-15m-{n}" for n in range(1000)))
    assert message.payload() == ""
    almost = MarketMoved(frozenset({"w" * PAYLOAD_BYTES_MAX}))
    assert almost.payload() == "w" * PAYLOAD_BYTES_MAX


@pytest.mark.parametrize(("channel", "payload"), [("no_such_channel", "1"), ("command_created", "x")])
def test_what_is_none_of_ours_is_refused(channel, payload):
    with pytest.raises((KeyError, ValueError)):
        parse(channel, payload)
