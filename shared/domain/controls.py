"""What a person may set while it runs: the runtime controls, typed and bounded (R7, D16).

A control lives in the Book as text under its key; an absent one has its default. This page is the definition, which the
migration writes into the database, so that set_control refuses what parse refuses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from shared.domain.breaker import KillSwitch
from shared.domain.modes import Mode
from shared.domain.money import parse

ALL = "*"
"""In a list of names: every name."""


class ControlKind(StrEnum):
    """How the text of a control is read."""

    USDC = "usdc"
    INTEGER = "integer"
    SECONDS = "seconds"
    FRACTION = "fraction"
    LIST = "list"
    CHOICE = "choice"


class ControlInvalid(ValueError):
    """The text is not a lawful value of this control; the message says which values are."""


@dataclass(frozen=True, slots=True)
class ControlDefinition:
    """One control: its key, how to read it, and what it may be."""

    key: str
    kind: ControlKind
    default: str
    meaning: str
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    choices: tuple[str, ...] = ()
    """The lawful words; of a number: the words that may stand in its place."""


OFF = "off"


def _number(
    key: str,
    kind: ControlKind,
    default: str,
    bounds: tuple[str, str],
    meaning: str,
    *,
    optional: bool = False,
) -> ControlDefinition:
    """Return the definition of a number between two bounds, both allowed."""
    low, high = bounds
    return ControlDefinition(
        key,
        kind,
        default,
        meaning,
        minimum=Decimal(low),
        maximum=Decimal(high),
        choices=(OFF,) if optional else (),
    )


_K = ControlKind
_LIST = (
    ControlDefinition(
        "kill_switch",
        _K.CHOICE,
        KillSwitch.OFF.value,
        "OFF trades; PAUSE takes no entries; FLATTEN sells all; EMERGENCY cancels and sells all, no floor",
        choices=tuple(switch.value for switch in KillSwitch),
    ),
    ControlDefinition(
        "trading_mode",
        _K.CHOICE,
        Mode.LIVE.value,
        "lowers the mode the process was started in, never raises it",
        choices=tuple(mode.value for mode in Mode if mode is not Mode.BACKTEST),
    ),
    _number("max_position_usd", _K.USDC, "5", ("0", "1000"), "USDC one position may cost, fee included"),
    _number(
        "max_session_loss", _K.USDC, "20", ("0", "1000"), "USDC a session may lose, and may have deployed"
    ),
    _number("max_instrument_usd", _K.USDC, "10", ("0", "1000"), "USDC of exposure in one instrument"),
    _number("max_open_positions", _K.INTEGER, "5", ("0", "50"), "positions open at once"),
    _number("max_exposure_usd", _K.USDC, "25", ("0", "1000"), "USDC of exposure in all; 1000 is the ceiling"),
    ControlDefinition(
        "allowed_instruments", _K.LIST, "", "names, comma separated; empty denies all, * allows all"
    ),
    ControlDefinition(
        "allowed_strategies", _K.LIST, "", "names, comma separated; empty denies all, * allows all"
    ),
    _number("cooldown_s", _K.SECONDS, "0", ("0", "86400"), "seconds between two entries in one instrument"),
    _number(
        "anti_flip_s",
        _K.SECONDS,
        "300",
        ("0", "86400"),
        "seconds before the other side of one instrument is entered",
    ),
    _number("signal_lifetime_s", _K.SECONDS, "5", ("0.1", "60"), "seconds a signal may wait for its order"),
    _number(
        "entry_slippage",
        _K.USDC,
        "0.02",
        ("0", "0.5"),
        "USDC per share an entry may pay above its signal, at most",
    ),
    _number(
        "stop_loss",
        _K.FRACTION,
        "0.15",
        ("0.01", "1"),
        "default loss, of the entry cost, to sell at",
        optional=True,
    ),
    _number(
        "take_profit",
        _K.FRACTION,
        "0.20",
        ("0.01", "100"),
        "default gain over the entry cost to sell at",
        optional=True,
    ),
    _number(
        "trailing_stop",
        _K.FRACTION,
        OFF,
        ("0.01", "1"),
        "default fall from the highest bid to sell at",
        optional=True,
    ),
    _number(
        "exit_slippage", _K.USDC, "0.05", ("0", "1"), "USDC per share an exit accepts below the bid at first"
    ),
    _number(
        "daily_drawdown", _K.FRACTION, "0.05", ("0", "1"), "fraction of the day's first equity a day may lose"
    ),
    _number(
        "max_strategy_loss",
        _K.USDC,
        "10",
        ("0", "1000"),
        "USDC one strategy may lose in a session or a day before it is stopped",
    ),
)
DEFINITIONS: Mapping[str, ControlDefinition] = MappingProxyType({each.key: each for each in _LIST})


@dataclass(frozen=True, slots=True)
class Controls:
    """Every control in force for an account, typed. Money is USDC, exits are fractions of the entry cost."""

    kill_switch: KillSwitch = KillSwitch.OFF
    trading_mode: Mode = Mode.LIVE
    max_position_usdc: Decimal = Decimal(5)
    max_session_loss_usdc: Decimal = Decimal(20)
    max_instrument_usdc: Decimal = Decimal(10)
    max_open_positions: int = 5
    max_exposure_usdc: Decimal = Decimal(25)
    allowed_instruments: frozenset[str] = frozenset()
    allowed_strategies: frozenset[str] = frozenset()
    cooldown_s: Decimal = Decimal(0)
    anti_flip_s: Decimal = Decimal(300)
    signal_lifetime_s: Decimal = Decimal(5)
    entry_slippage: Decimal = Decimal("0.02")
    stop_loss: Decimal | None = Decimal("0.15")
    take_profit: Decimal | None = Decimal("0.20")
    trailing_stop: Decimal | None = None
    exit_slippage: Decimal = Decimal("0.05")
    daily_drawdown: Decimal = Decimal("0.05")
    max_strategy_loss_usdc: Decimal = Decimal(10)


def allows(names: frozenset[str], name: str) -> bool:
    """Return whether a list of names admits one: an empty list admits nobody (E10)."""
    return ALL in names or name in names


def normalise(key: str, text: str) -> str:
    """Return the one spelling under which the Book keeps this value.

    Raises:
        ControlInvalid: no such control, or not a lawful value; the message says what would be.
    """
    definition = DEFINITIONS.get(key)
    if definition is None:
        raise ControlInvalid(f"there is no control {key!r}; there are {', '.join(DEFINITIONS)}")
    text = text.strip()
    if definition.kind is ControlKind.CHOICE:
        return _choice(definition, text)
    if text.lower() in definition.choices:
        return text.lower()
    if definition.kind is ControlKind.LIST:
        return _names(definition, text)
    return _amount(definition, text)


def parse_controls(rows: Mapping[str, str]) -> Controls:
    """Return the controls in force: what the rows say, and defaults for the rest.

    Raises:
        ControlInvalid: a row has an unknown key or an unlawful value. Nothing is guessed: who reads controls and
            cannot, treats every limit as broken (P3).
    """
    text = {key: definition.default for key, definition in DEFINITIONS.items()}
    text.update({key: normalise(key, value) for key, value in rows.items()})
    return Controls(
        kill_switch=KillSwitch(text["kill_switch"]),
        trading_mode=Mode(text["trading_mode"]),
        max_position_usdc=Decimal(text["max_position_usd"]),
        max_session_loss_usdc=Decimal(text["max_session_loss"]),
        max_instrument_usdc=Decimal(text["max_instrument_usd"]),
        max_open_positions=int(text["max_open_positions"]),
        max_exposure_usdc=Decimal(text["max_exposure_usd"]),
        allowed_instruments=_split(text["allowed_instruments"]),
        allowed_strategies=_split(text["allowed_strategies"]),
        cooldown_s=Decimal(text["cooldown_s"]),
        anti_flip_s=Decimal(text["anti_flip_s"]),
        signal_lifetime_s=Decimal(text["signal_lifetime_s"]),
        entry_slippage=Decimal(text["entry_slippage"]),
        stop_loss=_optional(text["stop_loss"]),
        take_profit=_optional(text["take_profit"]),
        trailing_stop=_optional(text["trailing_stop"]),
        exit_slippage=Decimal(text["exit_slippage"]),
        daily_drawdown=Decimal(text["daily_drawdown"]),
        max_strategy_loss_usdc=Decimal(text["max_strategy_loss"]),
    )


def _choice(definition: ControlDefinition, text: str) -> str:
    """Return the choice meant, in any case of letters."""
    if text.upper() not in definition.choices:
        raise ControlInvalid(f"{definition.key} is one of {', '.join(definition.choices)}, not {text!r}")
    return text.upper()


def _names(definition: ControlDefinition, text: str) -> str:
    """Return the names sorted, without spaces and repeats."""
    names = sorted({name.strip() for name in text.split(",")} - {""})
    if ALL in names and len(names) > 1:
        raise ControlInvalid(f"{definition.key} is either * for all or a list of names, not both: {text!r}")
    return ",".join(names)


def _amount(definition: ControlDefinition, text: str) -> str:
    """Return a number within the control's bounds, written plainly."""
    try:
        value = parse(text)
    except ValueError as error:
        raise ControlInvalid(f"{definition.key} is a number of {definition.kind}, not {text!r}") from error
    if definition.kind is ControlKind.INTEGER and value != value.to_integral_value():
        raise ControlInvalid(f"{definition.key} is a whole number, not {text!r}")
    low, high = definition.minimum, definition.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise ControlInvalid(f"{definition.key} is between {low} and {high}, not {text!r}")
    if value != round(value, 6):
        raise ControlInvalid(f"{definition.key} has six decimals at most, not {text!r}")
    return f"{value.normalize():f}"


def _split(text: str) -> frozenset[str]:
    """Return the names of a stored list."""
    return frozenset(text.split(",")) - {""}


def _optional(text: str) -> Decimal | None:
    """Return the number, or None where the rule is switched off."""
    return None if text == OFF else Decimal(text)
