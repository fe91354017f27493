"""What the demo's screen shows, panel by panel: pure drawings of an overview of the Book."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.local.processes import Watched
from services.dashboard.api.schemas import (
    AccountScreen,
    BookTop,
    EventScreen,
    OrderScreen,
    Overview,
    PositionScreen,
    WindowScreen,
)

SILENT_AFTER_S = Decimal(10)
_WINDOWS_SHOWN, _ROWS_SHOWN, _EVENTS_SHOWN = 5, 8, 30
_DETAILS_SHOWN = (
    "key",
    "new",
    "reason",
    "limit_price",
    "shares",
    "price",
    "fee_usdc",
    "paid_usdc",
    "expected_usdc",
)


@dataclass(frozen=True, slots=True)
class Course:
    """How far the demo is, for the head of the screen."""

    mode: str
    source: str
    elapsed: timedelta
    wanted: int
    traded: int
    settled: int
    note: str
    page: str
    watched: Iterable[Watched] = ()


def draw(overview: Overview, course: Course) -> Layout:
    """Return the screen."""
    layout = Layout()
    layout.split_column(
        Layout(_head(overview, course), name="head", size=4),
        Layout(name="now", size=_WINDOWS_SHOWN + 3),
        Layout(name="rows", size=_ROWS_SHOWN + 3),
        Layout(name="last"),
    )
    layout["now"].split_row(
        Layout(_panel("Windows", _windows(overview)), ratio=3),
        Layout(_panel("Accounts, USDC", _accounts(overview)), ratio=2),
    )
    layout["rows"].split_row(
        Layout(_panel("Positions", _positions(overview.positions))),
        Layout(_panel("Orders", _orders(overview.orders))),
    )
    layout["last"].split_row(
        Layout(_panel("What happened", _events(overview.events)), ratio=3),
        Layout(_panel("Services and feeds", _health(overview, course.watched)), ratio=2),
    )
    return layout


def _panel(title: str, inside: RenderableType) -> Panel:
    return Panel(inside, title=title, title_align="left", border_style="bright_black", padding=(0, 1))


def _head(overview: Overview, course: Course) -> Panel:
    seconds = int(course.elapsed.total_seconds())
    line = Text.assemble(
        ("Onebook ", "bold"),
        (f" {course.mode} ", "bold white on red" if course.mode == "LIVE" else "bold black on cyan"),
        f"  {course.source}  {seconds // 60}:{seconds % 60:02d}   ",
        (course.page, "underline blue"),
        "   ",
        _trader(overview),
    )
    wanted = f"of {course.wanted} " if course.wanted else ""
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(f"windows: {course.traded} {wanted}traded, {course.settled} settled"),
        ProgressBar(
            total=course.wanted or 1,
            completed=course.settled if course.wanted else 0,
            width=30,
            complete_style="green",
        ),
        Text(course.note, style="yellow"),
    )
    return Panel(Group(line, bar), border_style="bright_black", padding=(0, 1))


def _trader(overview: Overview) -> tuple[str, str]:
    if overview.executor is None:
        return "nobody leads yet", "yellow"
    if not overview.executor.reconciled:
        return f"epoch {overview.executor.epoch}: comparing with the venue", "yellow"
    return f"epoch {overview.executor.epoch}: trading", "green"


def _grid(*columns: str) -> Table:
    """Return a table without lines. >name is aligned right, name:8 is eight wide, name* takes what is left."""
    table = Table(box=None, padding=(0, 1, 0, 0), expand=True, header_style="bright_black")
    for column in columns:
        name, _, width = column.removeprefix(">").partition(":")
        table.add_column(
            name.removesuffix("*"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=True,
            width=int(width) if width else None,
            ratio=1 if name.endswith("*") else None,
        )
    return table


def _windows(overview: Overview) -> Table:
    table = _grid(
        "window:12", "state*", ":10", ">UP bid/ask:11", ">DOWN bid/ask:12", ">to beat:9", ">oracle:9"
    )
    oracle = {feed.symbol: feed for feed in overview.feeds if feed.feed == "chainlink"}
    for each in _newest_windows(overview.windows):
        length = (each.closes_at - each.opens_at).total_seconds()
        elapsed = (overview.read_at - each.opens_at).total_seconds()
        is_open = 0 <= elapsed < length
        feed = oracle.get(each.instrument)
        price = feed.price if feed is not None and is_open else None
        above = price is not None and each.strike is not None and price > each.strike
        table.add_row(
            Text(f"{each.instrument} {each.opens_at:%H:%M:%S}", style="bold" if is_open else "dim"),
            _window_state(each, elapsed, length),
            ProgressBar(total=length, completed=min(max(elapsed, 0), length), width=10),
            _top(each.up, shown=is_open),
            _top(each.down, shown=is_open),
            _cents(each.strike),
            Text(_cents(price), style="green" if above else "red"),
        )
    return table


def _newest_windows(windows: Iterable[WindowScreen]) -> list[WindowScreen]:
    """Return what fits: all that is not resolved, then the newest results, in order of time."""
    ordered = sorted(windows, key=lambda each: (each.state == "RESOLVED", -each.opens_at.timestamp()))
    unresolved = [each for each in ordered if each.state != "RESOLVED"]
    kept = [*unresolved, *(each for each in ordered if each.state == "RESOLVED")][:_WINDOWS_SHOWN]
    return sorted(kept, key=lambda each: each.opens_at)


def _window_state(each: WindowScreen, elapsed: float, length: float) -> Text:
    if each.winner is not None:
        return Text(f"{each.winner} won", style="green" if each.winner == "UP" else "red")
    if elapsed < 0:
        return Text(f"opens in {-elapsed:.0f} s", style="dim")
    if elapsed < length:
        return Text(f"{length - elapsed:.0f} s left", style="cyan")
    return Text("awaits its result", style="yellow")


def _top(top: BookTop, *, shown: bool) -> Text:
    if not shown:
        return Text("")
    if top.age_s is None:
        return Text("no book", style="dim")
    doubt = not top.continuous or top.age_s > SILENT_AFTER_S
    return Text(f"{shorten(top.bid)}/{shorten(top.ask)}", style="dim strike" if doubt else "")


def _accounts(overview: Overview) -> Table:
    table = _grid("account*", "gate:8", ">cash:8", ">at work:7", ">fees:6", ">net:8", ">won:4")
    for each in overview.accounts:
        table.add_row(
            Text(each.account, style="bold"),
            _gate(each),
            _brief(each.cash),
            _brief(each.reserved + each.positions + each.receivable),
            _brief(each.fees),
            _signed(each.net_pnl),
            f"{each.wins}/{each.losses}",
        )
    return table


def _gate(each: AccountScreen) -> Text:
    if each.breaker != "CLOSED":
        return Text(str(each.breaker_reason), style="bold red")
    if each.kill_switch != "OFF":
        return Text(each.kill_switch, style="yellow")
    return Text("open", style="green")


def _positions(positions: Iterable[PositionScreen]) -> Table:
    table = _grid("account:7", "window:8", "side:4", "state*", ">shares:8", ">paid:7", ">bid:4", ">net:8")
    for each in list(positions)[:_ROWS_SHOWN]:
        over = each.state in {"CLOSED", "VOID"}
        state = f"{each.state} {each.exit_reason}" if each.exit_reason else each.state
        table.add_row(
            each.account,
            f"{each.window_opens_at:%H:%M:%S}",
            Text(each.side, style="green" if each.side == "UP" else "red"),
            Text(state, style="dim" if over else "cyan"),
            _brief(each.shares),
            _brief(each.cost),
            "" if over else shorten(each.mark),
            _signed(each.net_pnl),
        )
    return table


def _orders(orders: Iterable[OrderScreen]) -> Table:
    table = _grid("time:8", "account:7", "order:10", "state*", ">limit:6", ">shares:8", ">fee:6", ">ms:6")
    for each in list(orders)[:_ROWS_SHOWN]:
        state = f"{each.state} {each.reason}" if each.reason else each.state
        table.add_row(
            Text(f"{each.claimed_at:%H:%M:%S}", style="dim"),
            each.account,
            f"{each.purpose} {each.outcome}",
            Text(state, style="bold red" if each.state == "UNKNOWN" else ""),
            shorten(each.limit_price),
            _brief(each.shares),
            _brief(each.fee),
            "" if each.signal_to_sent_ms is None else f"{each.signal_to_sent_ms:.1f}",
        )
    return table


def _events(events: Iterable[EventScreen]) -> Table:
    table = _grid("time:12", "account:7", "event:24", "*")
    for each in list(events)[:_EVENTS_SHOWN]:
        table.add_row(
            Text(f"{each.at:%H:%M:%S.%f}"[:-3], style="dim"),
            each.account,
            Text(each.kind.replace("_", " "), style="bold"),
            Text(details_of(each), style="dim"),
        )
    return table


def _health(overview: Overview, watched: Iterable[Watched]) -> Group:
    services = _grid("service*", "fit:6", ">beat:7", ">restarts:8")
    beats = {each.service: each for each in overview.services}
    for each in watched:
        beat = beats.get(each.name)
        if each.pid is None:
            services.add_row(each.name, Text("down", style="bold red"), "", str(each.restarts or ""))
        elif beat is None:
            services.add_row(each.name, Text("runs", style="dim"), "", str(each.restarts or ""))
        else:
            silent = beat.age_s > SILENT_AFTER_S
            fit = (
                Text("silent", style="red")
                if silent
                else Text("yes", style="green")
                if beat.healthy
                else Text("no", style="yellow")
            )
            services.add_row(each.name, fit, f"{beat.age_s:.1f} s", str(each.restarts or ""))
    feeds = _grid("feed*", ":5", ">price:10", ">age:7")
    for feed in overview.feeds:
        if feed.age_s is None:
            continue  # it has not spoken yet, or has no price of its own
        feeds.add_row(
            feed.feed,
            feed.symbol,
            _cents(feed.price),
            Text(f"{feed.age_s:.1f} s", style="red" if feed.stale else "green"),
        )
    return Group(services, Text(), feeds)


def details_of(event: EventScreen) -> str:
    """Return the part of an event's details that fits a line."""
    return " ".join(
        f"{name.removesuffix('_usdc')} {event.details[name]}"
        for name in _DETAILS_SHOWN
        if event.details.get(name) not in {None, ""}
    )


def shorten(amount: Decimal | None) -> str:
    """Return an amount without the zeros nobody needs, but with cents."""
    if amount is None:
        return "-"
    text = f"{amount.normalize():f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction:0<2}"


def _brief(amount: Decimal) -> str:
    """Return an amount rounded for the eye; what is exact stands in the Book."""
    return f"{amount:.4f}"


def _cents(price: Decimal | None) -> str:
    return "" if price is None else f"{price:.2f}"


def _signed(amount: Decimal) -> Text:
    return Text(f"{amount:+.4f}", style="green" if amount > 0 else "red" if amount < 0 else "dim")
