"""Every channel there is, and what travels on it: ids and nothing else (D6).

The lifecycle functions of the Book send the same payloads from SQL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from shared.domain.ids import AccountId, OrderId, PositionId, SignalId, WindowId

PAYLOAD_BYTES_MAX = 7_900
"""Postgres takes less than 8,000 bytes."""
ANY = "*"
"""In place of an account or a mode: all of them."""


@dataclass(frozen=True, slots=True)
class WindowChanged:
    """A window's state, ids or strike changed."""

    channel: ClassVar[str] = "window_changed"
    window_id: WindowId

    def payload(self) -> str:
        return self.window_id


@dataclass(frozen=True, slots=True)
class MarketMoved:
    """Books or prices of these windows moved; empty: of any. Sent at most every few milliseconds, coalesced."""

    channel: ClassVar[str] = "market_moved"
    window_ids: frozenset[WindowId] = frozenset()

    def payload(self) -> str:
        """Return the ids, or nothing when they do not fit: "look at all" is always true."""
        text = ",".join(sorted(self.window_ids))
        return text if len(text.encode()) <= PAYLOAD_BYTES_MAX else ""


@dataclass(frozen=True, slots=True)
class SignalCreated:
    """A strategy spoke."""

    channel: ClassVar[str] = "signal_created"
    signal_id: SignalId

    def payload(self) -> str:
        return self.signal_id


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order's state or fills changed."""

    channel: ClassVar[str] = "order_changed"
    order_id: OrderId

    def payload(self) -> str:
        return self.order_id


@dataclass(frozen=True, slots=True)
class PositionChanged:
    """A position's state, shares or cost changed."""

    channel: ClassVar[str] = "position_changed"
    position_id: PositionId

    def payload(self) -> str:
        return self.position_id


@dataclass(frozen=True, slots=True)
class ExitRequested:
    """A position is to be sold: its owner is now the executor."""

    channel: ClassVar[str] = "exit_requested"
    position_id: PositionId

    def payload(self) -> str:
        return self.position_id


@dataclass(frozen=True, slots=True)
class GateChanged:
    """Breaker, kill switch, mode ceiling, a control or the executor's epoch changed."""

    channel: ClassVar[str] = "gate_changed"
    account_id: AccountId
    mode: str

    def payload(self) -> str:
        return f"{self.account_id}/{self.mode}"


@dataclass(frozen=True, slots=True)
class CommandCreated:
    """A person asked for something."""

    channel: ClassVar[str] = "command_created"
    command_id: int

    def payload(self) -> str:
        return str(self.command_id)


Message: TypeAlias = (
    WindowChanged
    | MarketMoved
    | SignalCreated
    | OrderChanged
    | PositionChanged
    | ExitRequested
    | GateChanged
    | CommandCreated
)


def _market_moved(payload: str) -> MarketMoved:
    return MarketMoved(frozenset(WindowId(part) for part in payload.split(",") if part))


def _gate_changed(payload: str) -> GateChanged:
    account, _, mode = payload.rpartition("/")
    return GateChanged(AccountId(account or ANY), mode or ANY)


_PARSERS: dict[str, Callable[[str], Message]] = {
    WindowChanged.channel: lambda payload: WindowChanged(WindowId(payload)),
    MarketMoved.channel: _market_moved,
    SignalCreated.channel: lambda payload: SignalCreated(SignalId(payload)),
    OrderChanged.channel: lambda payload: OrderChanged(OrderId(payload)),
    PositionChanged.channel: lambda payload: PositionChanged(PositionId(payload)),
    ExitRequested.channel: lambda payload: ExitRequested(PositionId(payload)),
    GateChanged.channel: _gate_changed,
    CommandCreated.channel: lambda payload: CommandCreated(int(payload)),
}

CHANNELS = frozenset(_PARSERS)


def parse(channel: str, payload: str) -> Message:
    """Return the message; raises KeyError for an unknown channel, ValueError for a payload that is none of ours."""
    return _PARSERS[channel](payload)
