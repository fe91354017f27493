"""What is being watched right now: the windows as last read, the venue's clock, and who is to be woken."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from services.feed_collector.decide import tokens_to_follow
from shared.domain.ids import Instrument, TokenId, WindowId
from shared.domain.windows import SettlementRule, Window, WindowState
from shared.runtime.clock import Clock

FOLLOW_AHEAD = timedelta(seconds=90)
DEFAULT_LOOKBACK_S = 60
"""What PolyBolt averages over where no window says otherwise."""
_ACTIVE = frozenset({WindowState.DISCOVERED, WindowState.OPEN})


@dataclass(slots=True)
class Watch:
    """Shared by the collector's loops; all of it can be read anew, none of it is the truth."""

    clock: Clock
    windows: tuple[Window, ...] = ()
    offset: timedelta = timedelta(0)
    """Venue's clock minus ours."""
    offset_error_ms: Decimal = Decimal(500)
    """How wide the readings left it; one reading of whole seconds alone is half a second off."""
    discovered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the Book's windows changed: look now."""
    resolved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the venue hinted that a market is resolved: ask now."""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: set[WindowId] = field(default_factory=set)

    def venue_now(self) -> datetime:
        """Return the time by the venue's clock."""
        return self.clock.now() + self.offset

    @property
    def open_windows(self) -> tuple[Window, ...]:
        return tuple(window for window in self.windows if window.state is WindowState.OPEN)

    @property
    def lookback_s(self) -> int | None:
        """Return the look-back of the averages that settle the soonest window; None while no window is known."""
        active = [window for window in self.windows if window.state in _ACTIVE]
        averaged = (window.lookback_s for window in active if window.rule is SettlementRule.CHAINLINK_TWAP)
        return next(averaged, DEFAULT_LOOKBACK_S) if active else None

    def tokens(self) -> dict[TokenId, Window]:
        """Return the tokens whose books are wanted, each with its window."""
        wanted = tokens_to_follow(self.windows, self.venue_now(), FOLLOW_AHEAD)
        return {
            token: window
            for window in self.windows
            for token in (window.up_token, window.down_token)
            if token is not None and token in wanted
        }

    def announce(self, windows: Iterable[WindowId]) -> None:
        """Have whoever looks at these windows woken."""
        self._moved.update(windows)
        if self._moved:
            self.moved.set()

    def announce_instruments(self, instruments: Iterable[Instrument]) -> None:
        """Have whoever looks at open windows of these instruments woken."""
        names = set(instruments)
        self.announce(window.window_id for window in self.open_windows if window.instrument in names)

    def take_moved(self) -> frozenset[WindowId]:
        """Return the windows to announce."""
        moved = frozenset(self._moved)
        self._moved.clear()
        self.moved.clear()
        return moved
