"""Which markets the fake venue lists, and the recorded frames that keep their books moving. PURE."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol

from services.simulator.faults import Faults
from services.simulator.matching import MICRO, to_micro
from services.simulator.orders import Market
from services.simulator.timetable import Timetable
from services.simulator.world import Ladder, SimWindow, World

LOOK_EVERY_MS = 500
_FIRST_MARKET_ID = 5_300_000
_FIRST_EVENT_ID = 700_000


class Floor(Protocol):
    """Who runs the listed markets."""

    def listed(self, market: Market) -> None:
        """Hear that a market is on the books."""
        ...

    def frame(self, market: Market, bids: dict[int, int], asks: dict[int, int], now_ms: int) -> None:
        """Hear that the recorded liquidity changed."""
        ...

    def resolve(self, market: Market, now_ms: int) -> None:
        """Hear that the market's result is known."""
        ...


class Listing:
    """Every market so far, by condition id, slug, id and token."""

    def __init__(self, world: World, timetable: Timetable, faults: Faults, floor: Floor) -> None:
        self.markets: dict[str, Market] = {}
        self.by_slug: dict[str, Market] = {}
        self.by_token: dict[str, tuple[Market, bool]] = {}
        self._world, self._timetable, self._faults, self._floor = world, timetable, faults, floor
        self._listed = 0

    def look(self, now_ms: int) -> None:
        """List what the world shows by now, and look again soon."""
        windows = self._world.windows_until(now_ms)
        for window in windows[self._listed :]:
            self._list(window, now_ms)
        self._listed = len(windows)
        self._timetable.at(now_ms + LOOK_EVERY_MS, self.look)

    def _list(self, window: SimWindow, now_ms: int) -> None:
        place = len(self.markets) + 1
        fault = self._faults.take("listing", asset=window.asset, slug=window.slug)
        market = Market(
            window=window if fault is None else _spoilt(window, fault.kind.name),
            market_id=str(_FIRST_MARKET_ID + place),
            event_id=str(_FIRST_EVENT_ID + place),
            tick=int(window.tick * MICRO),
        )
        self.markets[market.condition_id] = market
        self.by_slug[window.slug] = market
        if fault is not None and fault.kind.name == "hidden_tokens":
            self._timetable.at(now_ms + int(fault.seconds * 1000), lambda _when: self._show(market))
        else:
            self._show(market)
        self._floor.listed(market)
        self._play(market, self._world.ladders(window), None, now_ms)
        self._timetable.at(window.resolves_at_ms, lambda when: self._floor.resolve(market, when))

    def _show(self, market: Market) -> None:
        """Let the CLOB know a market's tokens; Gamma may have shown them before."""
        for is_up in (True, False):
            self.by_token[market.token(is_up=is_up)] = (market, is_up)

    def _play(self, market: Market, frames: Iterator[Ladder], due: Ladder | None, now_ms: int) -> None:
        """Show the newest frame that is due and plan the next; frames missed by a stall are skipped."""
        if market.resolved_ms is not None:
            return
        for frame in frames:
            if frame.at_ms > now_ms:
                self._timetable.at(frame.at_ms, partial(self._play_on, market, frames, frame))
                break
            due = frame
        if due is not None:
            self._floor.frame(market, to_micro(due.bids), to_micro(due.asks), now_ms)

    def _play_on(self, market: Market, frames: Iterator[Ladder], frame: Ladder, _when_ms: int) -> None:
        self._play(market, frames, frame, self._timetable.now_ms)


def _spoilt(window: SimWindow, fault: str) -> SimWindow:
    """Return a window as a fault lists it."""
    match fault:
        case "unknown_market_version":
            return replace(window, version="v9")
        case "unknown_fee_type":
            return replace(window, fee_type="mystery_fees_v9")
        case "protocol_v2":
            return as_protocol_v2(window)
        case _:
            return window


def as_protocol_v2(window: SimWindow) -> SimWindow:
    """Return a window with the ids of Protocol V2.

    A position id is module (8 bits), hash (128), arity (16), reserved (64, zero), chain (16), condition (16), outcome
    (8); its first 31 bytes are the condition, which is shown with a zero byte behind.
    """
    condition = bytes([1]) + bytes.fromhex(window.condition_id[2:])[:16] + bytes(14)
    up_token, down_token = (str(int.from_bytes(condition + bytes([index]), "big")) for index in (0, 1))
    return replace(
        window,
        version="v2",
        condition_id=f"0x{condition.hex()}00",
        up_token=up_token,
        down_token=down_token,
    )
