"""Controls: typed, bounded, one spelling; what cannot be read is refused, never guessed."""

from decimal import Decimal

import pytest

from shared.domain.breaker import KillSwitch
from shared.domain.controls import DEFINITIONS, ControlInvalid, Controls, allows, normalise, parse_controls
from shared.domain.modes import Mode


def test_without_rows_the_defaults_are_in_force():
    assert parse_controls({}) == Controls()


def test_every_default_is_a_lawful_value_in_its_one_spelling():
    for key, definition in DEFINITIONS.items():
        assert normalise(key, definition.default) == definition.default.replace("0.20", "0.2")


def test_by_default_nothing_is_allowed_to_trade():
    controls = parse_controls({})
    assert not allows(controls.allowed_instruments, "BTC")
    assert not allows(controls.allowed_strategies, "canary")


def test_every_row_is_read_into_its_type():
    controls = parse_controls(
        {
            "kill_switch": "PAUSE",
            "trading_mode": "PAPER",
            "max_position_usd": "1.5",
            "max_session_loss": "10",
            "max_instrument_usd": "7",
            "max_open_positions": "2",
            "max_exposure_usd": "12",
            "allowed_instruments": "ETH,BTC",
            "allowed_strategies": "*",
            "cooldown_s": "30",
            "anti_flip_s": "0",
            "signal_lifetime_s": "2",
            "entry_slippage": "0.01",
            "stop_loss": "off",
            "take_profit": "0.5",
            "trailing_stop": "0.1",
            "exit_slippage": "0.03",
            "daily_drawdown": "0.1",
        }
    )
    assert controls == Controls(
        kill_switch=KillSwitch.PAUSE,
        trading_mode=Mode.PAPER,
        max_position_usdc=Decimal("1.5"),
        max_session_loss_usdc=Decimal(10),
        max_instrument_usdc=Decimal(7),
        max_open_positions=2,
        max_exposure_usdc=Decimal(12),
        allowed_instruments=frozenset({"BTC", "ETH"}),
        allowed_strategies=frozenset({"*"}),
        cooldown_s=Decimal(30),
        anti_flip_s=Decimal(0),
        signal_lifetime_s=Decimal(2),
        entry_slippage=Decimal("0.01"),
        stop_loss=None,
        take_profit=Decimal("0.5"),
        trailing_stop=Decimal("0.1"),
        exit_slippage=Decimal("0.03"),
        daily_drawdown=Decimal("0.1"),
    )


@pytest.mark.parametrize(
    ("key", "text", "kept"),
    [
        ("max_position_usd", " 5.50 ", "5.5"),
        ("max_position_usd", "1E+2", "100"),
        ("max_open_positions", "3.0", "3"),
        ("allowed_instruments", " ETH , BTC,ETH ", "BTC,ETH"),
        ("allowed_instruments", "", ""),
        ("allowed_instruments", " * ", "*"),
        ("kill_switch", "pause", "PAUSE"),
        ("stop_loss", "OFF", "off"),
        ("stop_loss", "1", "1"),
    ],
)
def test_a_value_has_one_spelling(key, text, kept):
    assert normalise(key, text) == kept


@pytest.mark.parametrize(
    ("key", "text", "says"),
    [
        ("max_positions", "5", "there is no control"),
        ("max_position_usd", "1000.01", "between 0 and 1000"),
        ("max_position_usd", "-1", "between 0 and 1000"),
        ("max_position_usd", "five", "a number of usdc"),
        ("max_position_usd", "NaN", "a number of usdc"),
        ("max_position_usd", "Infinity", "a number of usdc"),
        ("max_position_usd", "0.0000001", "six decimals"),
        ("max_position_usd", "off", "a number of usdc"),
        ("max_open_positions", "1.5", "whole number"),
        ("max_open_positions", "51", "between 0 and 50"),
        ("kill_switch", "STOP", "one of OFF, PAUSE, FLATTEN, EMERGENCY"),
        ("trading_mode", "BACKTEST", "one of PAPER, DRY_RUN, LIVE"),
        ("allowed_instruments", "BTC,*", "not both"),
        ("stop_loss", "0", "between 0.01 and 1"),
        ("signal_lifetime_s", "0", "between 0.1 and 60"),
    ],
)
def test_an_unlawful_value_is_refused_with_what_would_be_lawful(key, text, says):
    with pytest.raises(ControlInvalid, match=says.replace(".", r"\.").replace("*", r"\*")):
        normalise(key, text)


def test_one_unlawful_row_fails_the_whole_reading():
    with pytest.raises(ControlInvalid):
        parse_controls({"max_position_usd": "5", "kill_switch": "???"})
