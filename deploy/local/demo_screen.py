"""The demo as a person sees it: a screen that lives where there is a terminal, plain lines where there is none."""

import io
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from deploy.local.demo_panels import SILENT_AFTER_S, Course, details_of, draw, shorten
from services.dashboard.api.schemas import EventScreen, Overview

STATUS_EVERY = timedelta(seconds=15)
PICTURE_WIDTH, PICTURE_HEIGHT = 150, 46


class Screen(Protocol):
    """What the demo shows itself on."""

    def step(self, text: str) -> None:
        """Say one thing that is being done or was done."""
        ...

    def show(self, overview: Overview, course: Course) -> None:
        """Show how things stand."""
        ...

    def alive(self) -> AbstractContextManager[object]:
        """Return the context in which ``show`` draws."""
        ...


class PlainScreen:
    """Lines for a log: every event of the Book once, and a line of state now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_event = 0
        self._said_at: datetime | None = None

    def step(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def alive(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, overview: Overview, course: Course) -> None:
        for event in sorted(overview.events, key=lambda each: each.event_id):
            if event.event_id > self._last_event:
                self._last_event = event.event_id
                self.step(_line_of(event))
        if self._said_at is None or overview.read_at - self._said_at >= STATUS_EVERY:
            self._said_at = overview.read_at
            self.step(_status_line(overview, course))


class LiveScreen:
    """The whole deployment on one screen, drawn twice a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, transient=True)

    def step(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def alive(self) -> AbstractContextManager[object]:
        return self._live

    def show(self, overview: Overview, course: Course) -> None:
        self._live.update(draw(overview, course), refresh=True)


def save_picture(overview: Overview, course: Course, path: Path) -> None:
    """Write the screen as an SVG picture."""
    console = Console(
        record=True, width=PICTURE_WIDTH, height=PICTURE_HEIGHT, file=io.StringIO(), force_terminal=True
    )
    console.print(draw(overview, course), height=PICTURE_HEIGHT)
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="make demo")


def _line_of(event: EventScreen) -> str:
    words = [
        f"{event.at:%H:%M:%S.%f}"[:-3],
        event.account,
        event.kind.replace("_", " "),
        event.window_id or "",
        details_of(event),
    ]
    return "  ".join(word for word in words if word)


def _status_line(overview: Overview, course: Course) -> str:
    now = overview.read_at
    windows = ", ".join(
        f"{each.window_id} {(each.closes_at - now).total_seconds():.0f} s left,"
        f" UP {shorten(each.up.bid)}/{shorten(each.up.ask)}"
        for each in overview.windows
        if each.opens_at <= now < each.closes_at
    )
    accounts = "; ".join(
        f"{each.account} net {each.net_pnl:+f}, {each.open_count} open" for each in overview.accounts
    )
    unfit = [each.service for each in overview.services if each.age_s > SILENT_AFTER_S or not each.healthy]
    parts = (
        f"{course.traded} traded, {course.settled} settled",
        windows or "no window is open",
        accounts,
        f"not fit: {', '.join(unfit)}" if unfit else "all fit",
        course.note,
    )
    return "-- " + " | ".join(part for part in parts if part)
